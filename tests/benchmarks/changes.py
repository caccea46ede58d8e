"""Whether verdicts stand a change of the pictures that is no change of the part: camera noise, light, compression, a small shift, a little blur.

    python -m tests.benchmarks.changes --out tests/benchmarks/results/changes.json [--set mvtec_toothbrush ...] [--option=--camera-tolerance=0]

For each set a model is fitted by the command without options. Test pictures that are ok are then changed in memory and sent as PNG; what is counted
is the share that the shipped threshold rejects, beside that of the defects that it finds. The same pictures of each, 30 at most, in the order of their
names, and the same noise for every model. Goes on where it was cut off; prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from inspector.anomaly import apply_dl_model, decode_image, read_dl_model, threshold_dl_anomaly_results
from inspector.anomaly.model.model import AnomalyModel
from tests.benchmarks.accuracy.cells import SETS
from tests.benchmarks.accuracy.sets import divided, geometry_rule
from tests.benchmarks.store import write_store

MOST = 30

Picture = NDArray[np.uint8]
Change = Callable[[Picture, np.random.Generator], Picture]


def _rounded(picture: NDArray[Any]) -> Picture:
    return np.asarray(np.rint(picture).clip(0, 255), dtype=np.uint8)


def _noise(sigma: float) -> Change:
    return lambda picture, random: _rounded(picture + random.normal(0, sigma, picture.shape))


def _light(factor: float) -> Change:
    return lambda picture, _: _rounded(factor * picture.astype(np.float64))


def _jpeg(quality: int) -> Change:
    def change(picture: Picture, _: np.random.Generator) -> Picture:
        encoded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_UNCHANGED), dtype=np.uint8)

    return change


def _shift(pixels: int) -> Change:
    def change(picture: Picture, _: np.random.Generator) -> Picture:
        padded = np.pad(picture, [(pixels, 0), (pixels, 0)] + [(0, 0)] * (picture.ndim - 2), mode="edge")
        return padded[: picture.shape[0], : picture.shape[1]]

    return change


def _blur(sigma: float) -> Change:
    return lambda picture, _: np.asarray(cv2.GaussianBlur(picture, (0, 0), sigma), dtype=np.uint8)


CHANGES: Mapping[str, Change] = MappingProxyType(
    {
        "none": lambda picture, _: picture,
        "noise of 0.7 gray values": _noise(0.7),
        "noise of 2 gray values": _noise(2.0),
        "light + 3 %": _light(1.03),
        "light - 3 %": _light(0.97),
        "JPEG 90": _jpeg(90),
        "JPEG 80": _jpeg(80),
        "shift of 2 px": _shift(2),
        "blur of 0.7 px": _blur(0.7),
    }
)


def measure(name: str, options: list[str]) -> dict[str, Any]:
    """Fit by the command, and judge changed pictures."""
    dataset = divided(name, 0)
    with tempfile.TemporaryDirectory() as folder:
        bundle = Path(folder) / "bundle"
        command = [sys.executable, "-m", "trainer", "fit", "--images", str(dataset.image_dir), "--out", str(bundle)]
        command += [f"--geometry={geometry_rule(name)}", *options]
        subprocess.run(command, capture_output=True, check=True)
        model = read_dl_model(bundle)
    shown: dict[str, list[Picture]] = {}
    for label in ("ok", "nok"):
        tested = sorted(
            str(dataset.image_path(s)) for s in dataset.samples if s.split == "test" and s.image_label == label
        )
        shown[label] = [_read(path) for path in tested[:MOST]]
    rows = {}
    for change, function in CHANGES.items():
        rejected = {label: _rejected(model, pictures, function) for label, pictures in shown.items()}
        rows[change] = {"ok_rejected": rejected["ok"], "found": rejected["nok"]}
    return {"n_ok": len(shown["ok"]), "n_nok": len(shown["nok"]), "detector": model.detector.kind, "changes": rows}


def _read(path: str) -> Picture:
    """(H, W) or (H, W, 3) BGR, without transparency."""
    picture = np.asarray(cv2.imread(path, cv2.IMREAD_UNCHANGED), dtype=np.uint8)
    return picture if picture.ndim == 2 else picture[..., :3]


def _rejected(model: AnomalyModel, pictures: list[Picture], change: Change) -> float:
    """The share that the shipped threshold rejects."""
    random = np.random.default_rng(0)
    rejected = 0
    for picture in pictures:
        sample = decode_image(cv2.imencode(".png", change(picture, random))[1].tobytes())
        [result] = threshold_dl_anomaly_results(model, [sample], apply_dl_model(model, sample))
        rejected += result.anomaly_class == "nok"
    return round(rejected / len(pictures), 3)


def main() -> int:
    """Measure what is missing, write it, print it."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.changes", description=__doc__)
    parser.add_argument("--set", choices=SETS, action="append", dest="sets", help="all by default")
    parser.add_argument(
        "--option", action="append", default=[], help="one more option of trainer fit, as --option=--camera-tolerance=0"
    )
    parser.add_argument("--out", type=Path, required=True, help="JSON file to go on with")
    arguments = parser.parse_args()
    stored = json.loads(arguments.out.read_text()) if arguments.out.exists() else {"runs": {}}
    for name in arguments.sets or SETS:
        key = " ".join([name, *arguments.option])
        if key not in stored["runs"]:
            stored["runs"][key] = measure(name, arguments.option)
            write_store(arguments.out, stored)
            print(key, json.dumps(stored["runs"][key]), file=sys.stderr, flush=True)
    print(json.dumps(stored))
    return 0


if __name__ == "__main__":
    sys.exit(main())
