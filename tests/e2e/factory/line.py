"""The line of the factory: four cameras of two products, the settings of all processes, and the commands that are typed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.demo.cameras import CAMERAS as PRODUCTS
from deploy.demo.cameras import DemoCamera

LINE = "line1"
BUDGET_MS = 5_000
"""Ample for a part on a belt, and for two busy cores without a GPU."""

ALIENS, COOKIES = PRODUCTS


@dataclass(frozen=True)
class Camera:
    """One camera of the line.

    Attributes:
        product: what it sees.
        partition: of the frames topic.
    """

    camera_id: str
    product: DemoCamera
    partition: int

    @property
    def key(self) -> str:
        """`line_id/camera_id`."""
        return f"{LINE}/{self.camera_id}"


LEFT, RIGHT = Camera("aliens-left", ALIENS, 0), Camera("aliens-right", ALIENS, 1)
"""On these models are exchanged."""
CAMERAS = (LEFT, RIGHT, Camera("cookies-left", COOKIES, 2), Camera("cookies-right", COOKIES, 3))
NOISY, SILENT = CAMERAS[2], CAMERAS[3]
"""Whose frames are garbled, and which falls silent, once faults are provoked."""


@dataclass(frozen=True)
class Places:
    """Folders and ports of one run.

    Attributes:
        out: of everything that it writes.
        ports: where each inspector answers HTTP, and then the archive.
    """

    out: Path
    ports: tuple[int, int, int]

    @property
    def config(self) -> Path:
        """The settings of all processes."""
        return self.out / "line.toml"

    @property
    def archive(self) -> Path:
        """Pictures with their verdicts."""
        return self.out / "archive"

    @property
    def backtest(self) -> Path:
        """What `trainer backtest` writes."""
        return self.out / "backtest"

    @property
    def compare(self) -> Path:
        """What `trainer compare` writes."""
        return self.out / "compare"

    def bundle(self, name: str) -> Path:
        """The folder of a model."""
        return self.out / "models" / name

    def belt(self, camera: Camera) -> Path:
        """The folder of a camera's pictures."""
        return self.out / "belts" / camera.camera_id


def settings_toml(servers: str, prefix: str, places: Places) -> str:
    """Return the settings of inspectors, archive and trainer."""
    tables: list[tuple[str, dict[str, object]]] = [
        ("", {"decode_threads": 2, "device_threads": 1, "torch_threads": 1}),
        ("[kafka]", {"bootstrap_servers": servers, "group_id": prefix}),
        ("[topics]", {"prefix": prefix, "frames_partitions": len(CAMERAS)}),
        ("[deadline]", {"default_budget_ms": BUDGET_MS}),
        ("[http]", {"port": places.ports[0]}),
        ("[models]", {product.model: str(places.bundle(product.model)) for product in PRODUCTS}),
        ("[releases]", {"store": f"file://{places.out}/store/", "cache": str(places.out / "cache")}),
        (
            "[archive]",
            {
                "url": str(places.archive),
                "group_id": f"{prefix}-archive",
                "ok_per_day": 1_000,  # all of a short day
                "accept_simulated": True,  # frames of `inspector replay` say that they are
                "flush_ms": 500,
                "http_port": places.ports[2],
            },
        ),
    ]
    for camera in CAMERAS:
        names = {"line_id": LINE, "camera_id": camera.camera_id}
        tables.append(("[[cameras]]", {**names, "model": camera.product.model, "partition": camera.partition}))
    # JSON's strings, numbers and booleans are TOML's.
    return "\n".join(
        line for head, keys in tables for line in (head, *(f"{k} = {json.dumps(v)}" for k, v in keys.items()), "")
    )


def fit_command(product: DemoCamera, bundle: Path, *options: str) -> list[str]:
    """Learn from the product's ok images."""
    images = ["--images", str(product.images), "--out", str(bundle), "--name", bundle.name]
    return ["trainer", "fit", *images, *product.fit_options, *options, "--json"]


def refit_command(camera: Camera, places: Places, bundle: Path, in_use: Path) -> list[str]:
    """Learn from what the archive has kept of a camera; nothing is written where the model in use is better."""
    archive = ["--archive", str(places.archive), "--camera", camera.key]
    out = ["--out", str(bundle), "--name", bundle.name, "--not-worse-than", str(in_use)]
    return ["trainer", "fit", *archive, *out, "--quality", "fast", "--json"]


def backtest_command(camera: Camera, places: Places, bundle: Path, *, pictures: int) -> list[str]:
    """Let a model judge what the archive has kept of a camera."""
    archive = ["--archive", str(places.archive), "--camera", camera.key]
    out = ["--out", str(places.backtest), "--pictures", str(pictures)]
    return ["trainer", "backtest", "--bundle", str(bundle), *archive, *out, "--json"]


def compare_command(camera: Camera, places: Places, *, pictures: int) -> list[str]:
    """Hold what a model said in the shadow against the verdicts that counted."""
    out = ["--out", str(places.compare), "--pictures", str(pictures)]
    return ["trainer", "compare", "--camera", camera.key, *out, "--config", str(places.config), "--json"]


def release_command(verb: str, places: Places, cameras: Sequence[Camera], *options: str) -> list[str]:
    """`trainer release` or `trainer rollback`, of one camera or several."""
    named = [word for camera in cameras for word in ("--camera", camera.key)]
    return ["trainer", verb, *options, *named, "--config", str(places.config), "--by", "engineer@factory", "--json"]


def inspector_command(verb: str, places: Places, *options: str) -> list[str]:
    """Any command of the inspector with the line's settings."""
    return ["inspector", *verb.split(), *options, "--config", str(places.config)]


def replay_command(camera: Camera, places: Places, *, rate: float, first_seq: int) -> list[str]:
    """Be the camera until stopped."""
    pace = ["--rate", f"{rate:g}", "--cycle", "--first-seq", str(first_seq)]
    return inspector_command("replay", places, str(places.belt(camera)), "--camera", camera.key, *pace, "--json")
