"""How large a region outlines a defect of known size: squares on a drawn surface of 1000 x 1000 pixels.

    python -m tests.benchmarks.boxes [--defect 8 125] [--option=--quality=fast]

Fits by `trainer fit` on 40 ok pictures and judges ten pictures with a square of each size at ten places, as the inspector does. Prints one JSON object:
how many were rejected, and of these the median sides of the box around the component that holds the strongest pixel, in pixels of the picture, how many
of these boxes overlap the square, and the processor's seconds of the fit.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from inspector.anomaly.model.bundle import read_dl_model
from inspector.anomaly.model.model import AnomalyModel, apply_dl_model
from inspector.anomaly.preprocess.samples import gen_dl_samples_from_images
from inspector.anomaly.verdict.threshold import threshold_dl_anomaly_results
from tests.benchmarks.machine import describe_machine, describe_software
from tests.benchmarks.tiles import surface

SIDE, TRAIN, PLACES = 1000, 40, 10


def fitted(folder: Path, options: Sequence[str]) -> tuple[AnomalyModel, float]:
    """The model that the command makes of drawn ok pictures, and the processor's seconds that it took."""
    images = folder / "train" / "good"
    images.mkdir(parents=True)
    for index in range(TRAIN):
        picture, _ = surface(np.random.default_rng([0, 0, index]), 0, SIDE)
        if not cv2.imwrite(str(images / f"{index:02}.png"), picture):
            raise OSError(f"{images} cannot be written")
    command = [
        sys.executable,
        "-m",
        "trainer",
        "fit",
        "--images",
        str(folder),
        "--out",
        str(folder / "bundle"),
        *options,
    ]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return read_dl_model(folder / "bundle"), seconds


def measure(model: AnomalyModel, defect: int) -> dict[str, Any]:
    """Judge ten pictures with a square of this side."""
    widths, heights, touching, rejected = [], [], 0, 0
    for index in range(PLACES):
        picture, (x, y) = surface(np.random.default_rng([1, defect, index]), defect, SIDE)
        samples = gen_dl_samples_from_images([picture])
        result = threshold_dl_anomaly_results(model, samples, apply_dl_model(model, samples))[0]
        rejected += result.anomaly_class == "nok"
        if result.anomaly_class != "nok" or result.anomaly_region is None:
            continue
        box = max(result.anomaly_region.components, key=lambda component: component.max_score)
        widths.append(box.width)
        heights.append(box.height)
        touching += x < box.x + box.width and box.x < x + defect and y < box.y + box.height and box.y < y + defect
    return {
        "rejected": rejected,
        "of": PLACES,
        "median_width": float(np.median(widths)) if widths else None,
        "median_height": float(np.median(heights)) if heights else None,
        "boxes_on_the_square": touching,
    }


def main() -> int:
    """Fit, judge, print."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.boxes", description=__doc__)
    parser.add_argument("--defect", type=int, nargs="+", default=[8, 125], help="side of the square in pixels")
    parser.add_argument("--option", action="append", default=[], help="one more option of trainer fit")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model, seconds = fitted(Path(folder), arguments.option)
    figures = {f"{defect}x{defect} px": measure(model, defect) for defect in arguments.defect}
    found = {"fit_cpu_seconds": round(seconds, 1), "figures": figures}
    print(json.dumps({**found, "machine": describe_machine(), "software": describe_software()}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
