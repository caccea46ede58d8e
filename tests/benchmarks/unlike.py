"""Images unlike the development sets: gray textures of varying size, parts in any rotation or wrong as a whole, thousands of images.

    python -m tests.benchmarks.unlike [--detector padim ...] [--kind textures ...] [--many 3000]

Draws each set, runs `trainer fit` on it as a user does (with the default detector unless others are named), and prints one JSON object: what it found,
what it took. `cpu_seconds` are the processor's, of the whole command: on a machine with other work they say more than `job_seconds`.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from tests.benchmarks.accuracy.cells import DETECTORS
from tests.benchmarks.machine import describe_machine, describe_software

Picture = NDArray[np.uint8]
Draw = Callable[[np.random.Generator, bool], tuple[Picture, NDArray[np.bool_]]]

DEFAULT = "fused"
FEW, TEST = 60, 30
SIDE = 256


def texture(rng: np.random.Generator, is_nok: bool) -> tuple[Picture, NDArray[np.bool_]]:  # noqa: FBT001
    """Woven gray cloth, 180 to 420 pixels square; a defect is a pulled thread or a patch of another weave."""
    side = int(rng.integers(180, 421))
    y, x = np.mgrid[:side, :side].astype(np.float32)
    phase = rng.uniform(0, 2 * np.pi, 2)
    weave = np.sin(x / 2.1 + phase[0]) * np.sin(y / 2.3 + phase[1])
    grain = cv2.GaussianBlur(rng.normal(0, 1, (side, side)).astype(np.float32), (0, 0), 1.5)
    cloud = cv2.resize(rng.normal(0, 1, (6, 6)).astype(np.float32), (side, side), interpolation=cv2.INTER_CUBIC)
    value = 128 + 30 * weave + 45 * grain + 8 * cloud
    mask = np.zeros((side, side), np.uint8)
    if is_nok:
        start = rng.integers(20, side - 60, 2)
        if rng.random() < 0.5:
            end = start + rng.integers(15, 45, 2)
            cv2.line(mask, start.tolist(), end.tolist(), 1, 3)
            value = np.where(mask > 0, value + 45, value)
        else:
            cv2.circle(mask, (start + 15).tolist(), int(rng.integers(9, 16)), 1, -1)
            value = np.where(mask > 0, 128 + 30 * np.sin((x + y) / 3.2), value)
    return value.clip(0, 255).astype(np.uint8), mask > 0


def rotated_part(rng: np.random.Generator, is_nok: bool) -> tuple[Picture, NDArray[np.bool_]]:  # noqa: FBT001
    """A gear with holes, in any rotation; a defect is a missing tooth or a filled hole."""
    picture = np.full((SIDE, SIDE, 3), (60, 62, 66), np.uint8)
    centre, turn = SIDE // 2 + rng.integers(-4, 5, 2), rng.uniform(0, 2 * np.pi)
    mask = np.zeros((SIDE, SIDE), np.uint8)
    spoilt = int(rng.integers(0, 12)) if is_nok else -1
    is_tooth = rng.random() < 0.5

    def at(radius: float, angle: float) -> list[int]:
        return [int(centre[0] + radius * np.cos(angle)), int(centre[1] + radius * np.sin(angle))]

    cv2.circle(picture, centre.tolist(), 82, (168, 172, 170), -1, cv2.LINE_AA)
    for tooth in range(12):
        place = at(86, turn + tooth * np.pi / 6)
        if tooth == spoilt and is_tooth:
            cv2.circle(mask, place, 9, 1, -1)
        else:
            cv2.circle(picture, place, 9, (168, 172, 170), -1, cv2.LINE_AA)
    for hole in range(6):
        place = at(48, turn + hole * np.pi / 3)
        if hole == spoilt % 6 and is_nok and not is_tooth:
            cv2.circle(mask, place, 11, 1, -1)
        else:
            cv2.circle(picture, place, 11, (50, 52, 58), -1, cv2.LINE_AA)
    noisy = picture + rng.normal(0, 3, picture.shape) + rng.uniform(-5, 5)
    return noisy.clip(0, 255).astype(np.uint8), mask > 0


def whole_part(rng: np.random.Generator, is_nok: bool) -> tuple[Picture, NDArray[np.bool_]]:  # noqa: FBT001
    """The same gear; what is wrong is all of it: it is missing, another part, out of focus or lit too little."""
    picture, _ = rotated_part(rng, is_nok=False)
    mask = np.zeros((SIDE, SIDE), np.uint8)
    cv2.circle(mask, (SIDE // 2, SIDE // 2), 95, 1, -1)
    if not is_nok:
        return picture, mask > 0
    kind = int(rng.integers(4))
    if kind == 2:
        return cv2.GaussianBlur(picture, (0, 0), 4).astype(np.uint8), mask > 0
    if kind == 3:
        return (picture * 0.5).astype(np.uint8), mask > 0
    picture = np.full((SIDE, SIDE, 3), (60, 62, 66), np.uint8)
    if kind == 1:
        corners = [
            [int(SIDE / 2 + 85 * f(turn)) for f in (np.cos, np.sin)]
            for turn in rng.uniform(0, np.pi) + np.arange(6) * np.pi / 3
        ]
        cv2.fillPoly(picture, [np.array(corners)], (168, 172, 170), cv2.LINE_AA)
    noisy = picture + rng.normal(0, 3, picture.shape) + rng.uniform(-5, 5)
    return noisy.clip(0, 255).astype(np.uint8), mask > 0


DRAWINGS: dict[str, Draw] = {
    "textures": texture,
    "rotated": rotated_part,
    "whole": whole_part,
    "many": rotated_part,
}


def draw_set(folder: Path, draw: Draw, *, train: int, test: int, seed: int = 0) -> None:
    """Write a set in MVTec AD layout, with masks."""
    rng = np.random.default_rng(seed)
    for part, count, is_nok in (("train/good", train, False), ("test/good", test, False), ("test/defect", test, True)):
        for index in range(count):
            picture, mask = draw(rng, is_nok)
            _write(folder / part / f"{index:05}.png", picture if picture.ndim == 2 else picture[..., ::-1])
            if is_nok:
                _write(folder / "ground_truth/defect" / f"{index:05}_mask.png", mask.astype(np.uint8) * 255)


def _write(path: Path, picture: NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(path), picture):
        raise OSError(f"{path} cannot be written")


def fit(images: Path, out: Path, detector: str) -> dict[str, Any]:
    """What `trainer fit --json` says."""
    command = [sys.executable, "-m", "trainer", "fit", "--images", str(images), "--out", str(out)]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([*command, "--detector", detector, "--json"], stdout=subprocess.PIPE, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    said: dict[str, Any] = json.loads(done.stdout)
    said["cpu_seconds"] = round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 1)
    wanted = (
        "image_auroc", "pixel_auroc", "aupro", "recall", "false_rejects", "n_test_ok", "n_train", "fit_seconds",
        "job_seconds", "cpu_seconds", "peak_rss_mb",
    )  # fmt: skip
    return {name: said[name] for name in wanted}


def main() -> int:
    """Draw, fit, print."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.unlike", description=__doc__)
    parser.add_argument("--detector", action="append", choices=DETECTORS)
    parser.add_argument("--kind", action="append", choices=list(DRAWINGS))
    parser.add_argument("--many", type=int, default=3000, help="training images of the kind `many`")
    arguments = parser.parse_args()
    figures: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for kind in arguments.kind or DRAWINGS:
            images = Path(scratch) / kind
            draw_set(images, DRAWINGS[kind], train=arguments.many if kind == "many" else FEW, test=TEST)
            figures[kind] = {
                detector: fit(images, Path(scratch) / f"{kind}-{detector}", detector)
                for detector in arguments.detector or [DEFAULT]
            }
            print(kind, figures[kind], file=sys.stderr, flush=True)
    print(json.dumps({"figures": figures, "machine": describe_machine(), "software": describe_software()}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
