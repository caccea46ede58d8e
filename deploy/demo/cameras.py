"""The two cameras of the demo, the inspector's settings for them, and the commands, as a user would type them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.local.base import Broker
from deploy.local.broker import CHECKOUT
from inspector.anomaly.network.cores import usable_cores

LINE = "line1"
BUDGET_MS = 5_000
"""Ample for a part on a belt, and for two busy cores without a GPU."""

PARTITIONS = 2
# The embedded broker answers a fetch only when its wait is over.
FETCH_MAX_WAIT_MS = 20

_DATA = CHECKOUT / "tests" / "data"
_OK_FOLDER = "good"
_IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png"})


@dataclass(frozen=True)
class DemoCamera:
    """One camera: its images, its model and its partition.

    Attributes:
        title: for people.
        images: data set in the MVTec AD layout; the camera shows what is in `test/`.
        fit_options: what `trainer fit` is told of this line beside its images.
    """

    camera_id: str
    title: str
    images: Path
    partition: int
    fit_options: tuple[str, ...] = ()

    @property
    def model(self) -> str:
        """Name of the camera's model."""
        return self.camera_id

    @property
    def key(self) -> str:
        """`line_id/camera_id`."""
        return f"{LINE}/{self.camera_id}"

    @property
    def test_folder(self) -> Path:
        """What the camera sees."""
        return self.images / "test"

    def test_images(self) -> list[Path]:
        """Return the test images, in the order of their names."""
        return sorted(path for path in self.test_folder.rglob("*") if path.suffix.lower() in _IMAGE_SUFFIXES)


_COOKIE_DOMAIN = "80,60 300,60 384,130 384,400 310,460 110,475 0,370 0,150"
"""Holds each cookie, of which the widest have half a percent outside; crumbs and the next cookie mostly lie beside it."""

CAMERAS = (
    DemoCamera("aliens", "Toy aliens", _DATA / "aws_alien", 1),
    DemoCamera(
        "cookies",
        "Cookies",
        _DATA / "aws_cookie",
        0,
        # The whole picture stays in sight, as edges of the domain would look like edges of parts. Of 31 ok pictures one shows another
        # tray and would lay a threshold of few false rejects alone; a broken cookie that is sold costs more than a whole one.
        ("--domain", _COOKIE_DOMAIN, "--domain-handling", "keep_domain", "--false-rejects", "0.2"),
    ),
)


def is_ok(image: Path) -> bool:
    """Whether a test image shows an ok part: its folder says so."""
    return image.parent.name == _OK_FOLDER


def settings_toml(
    broker: Broker, *, prefix: str, http_port: int, bundles: Path, cameras: Sequence[DemoCamera] = CAMERAS
) -> str:
    """Return the inspector's settings file.

    Args:
        broker: where the topics are.
        prefix: common beginning of topics and group; nobody else's.
        http_port: for metrics and health.
        bundles: folder with one bundle for each camera.
        cameras: the cameras.
    """
    lines = [
        "# Settings of this run of the demo: inspector run --config FILE",
        # The other half of the cores is left to the cameras, the broker and the screen.
        f"device_threads = {max(1, usable_cores() // 2)}",
        "",
        "[kafka]",
        f"bootstrap_servers = {_toml(broker.bootstrap_servers)}",
        f"group_id = {_toml(prefix)}",
        f"fetch_max_wait_ms = {FETCH_MAX_WAIT_MS}",
        f"idempotent = {_toml(broker.supports_idempotence)}",
        "",
        "[topics]",
        f"prefix = {_toml(prefix)}",
        f"frames_partitions = {PARTITIONS}",
        "",
        "[deadline]",
        f"default_budget_ms = {BUDGET_MS}",
        "",
        "[http]",
        f"port = {http_port}",
        "",
        "[models]",
        *(f"{camera.model} = {_toml(str(bundles / camera.model))}" for camera in cameras),
    ]
    for camera in cameras:
        lines += [
            "",
            "[[cameras]]",
            f"line_id = {_toml(LINE)}",
            f"camera_id = {_toml(camera.camera_id)}",
            f"model = {_toml(camera.model)}",
            f"partition = {camera.partition}",
        ]
    return "\n".join(lines) + "\n"


def _toml(value: object) -> str:
    """Return a string, number or boolean as TOML; JSON writes them alike."""
    return json.dumps(value, ensure_ascii=False)


def fit_command(camera: DemoCamera, bundle: Path) -> list[str]:
    """Learn from the camera's ok images, with default settings but for what the line knows better."""
    return ["trainer", "fit", "--images", str(camera.images), "--out", str(bundle), *camera.fit_options, "--json"]


def apply_command(camera: DemoCamera, bundle: Path, pictures: Path) -> list[str]:
    """Score the test images without a broker, and draw them."""
    return ["trainer", "apply", str(bundle), str(camera.test_folder), "--json", "--pictures", str(pictures)]


def topics_command(config: Path) -> list[str]:
    """Create the topics; one broker keeps one copy."""
    return ["inspector", "topics", "apply", "--replication", "1", "--config", str(config)]


def run_command(config: Path) -> list[str]:
    """The service."""
    return ["inspector", "run", "--config", str(config)]


def results_command(config: Path) -> list[str]:
    """Read every verdict of this run, also those that come before the reader is there."""
    return ["inspector", "results", "--follow", "--from-beginning", "--json", "--config", str(config)]


def replay_command(
    camera: DemoCamera,
    config: Path,
    *,
    rate: float,
    count: int | None = None,
    first_seq: int = 0,
    budget_ms: int | None = None,
) -> list[str]:
    """Be the camera.

    Args:
        camera: which one.
        config: the inspector's settings.
        rate: frames a second; 0: as fast as the broker takes them.
        count: frames to send, the images in cycles; None: each image once.
        first_seq: number of the first frame.
        budget_ms: from capture to verdict; None: the inspector's.
    """
    command = ["inspector", "replay", str(camera.test_folder), "--camera", camera.key, "--rate", f"{rate:.4g}"]
    if count is not None:
        command += ["--cycle", "--count", str(count)]
    if first_seq:
        command += ["--first-seq", str(first_seq)]
    if budget_ms is not None:
        command += ["--budget-ms", str(budget_ms)]
    return [*command, "--json", "--config", str(config)]
