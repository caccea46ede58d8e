"""Small defects in large pictures: a whole picture as one input, and cut into tiles, on a drawn surface.

    python -m tests.benchmarks.tiles [--detector fused ...] [--defect 8 ...] [--way whole tiled ...]

Draws ground metal of 2048 x 2048 pixels, each picture another one; a nok picture has one square of the defect's side, lighter than its surroundings.
Learns and scores by the procedures that `trainer fit` and the inspector use, and prints one JSON object: image AUROC, how far the lowest nok score lies
above the highest ok one, in standard deviations of the ok scores, and the processor's seconds a picture.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from inspector.anomaly.choices import DetectorName
from inspector.anomaly.model.access import set_dl_model_param
from inspector.anomaly.model.model import AnomalyModel, apply_dl_model
from inspector.anomaly.model.param import INITIAL_MODEL_NAMES, create_initial_model
from inspector.anomaly.preprocess.param import create_dl_preprocess_param_from_model
from inspector.anomaly.preprocess.samples import gen_dl_samples_from_images
from inspector.anomaly.preprocess.tiling import TileParam
from inspector.anomaly.types import DLSample
from tests.benchmarks.accuracy.cells import DETECTORS
from tests.benchmarks.machine import describe_machine, describe_software
from trainer.evaluation.image_measures import auroc
from trainer.training.train import train_dl_model_anomaly_dataset
from trainer.training.train_param import create_dl_train_param

SIDE, INPUT = 2048, 256
TRAIN, TEST = 8, 12
CONTRAST = 60

Picture = NDArray[np.uint8]


def surface(rng: np.random.Generator, defect: int, side: int = SIDE) -> tuple[Picture, tuple[int, int]]:
    """(side, side) uint8: ground metal, unevenly lit; with a square of `defect` pixels a side, unless that is 0, and where it begins, (x, y)."""
    grooves = cv2.GaussianBlur(rng.normal(0, 1, (side, side)).astype(np.float32), (0, 0), 6, sigmaY=0.6)
    light = cv2.resize(rng.normal(0, 1, (4, 4)).astype(np.float32), (side, side), interpolation=cv2.INTER_CUBIC)
    value = 120 + 60 * grooves + 6 * light + rng.normal(0, 3, (side, side)).astype(np.float32)
    x, y = (int(start) for start in rng.integers(32, side - 32 - defect, 2)) if defect else (0, 0)
    value[y : y + defect, x : x + defect] += CONTRAST
    return value.clip(0, 255).astype(np.uint8), (x, y)


def drawn(seed: int, count: int, defect: int) -> list[DLSample]:
    """So many pictures, each the same whatever the others are."""
    pictures = [surface(np.random.default_rng([seed, defect, index]), defect)[0] for index in range(count)]
    return [replace(sample, image_label="ok") for sample in gen_dl_samples_from_images(pictures)]


def learnt(detector: DetectorName, samples: Sequence[DLSample], *, is_tiled: bool) -> AnomalyModel:
    """A model of whole pictures, or of tiles of the input's size."""
    model = create_initial_model(INITIAL_MODEL_NAMES[detector])
    set_dl_model_param(model, "image_dimensions", (INPUT, INPUT, 3))
    tile = TileParam(width=INPUT, height=INPUT) if is_tiled else None
    param = create_dl_preprocess_param_from_model(model, tile=tile)
    return train_dl_model_anomaly_dataset(model, samples, create_dl_train_param(model), preprocess_param=param).model


def measure(detector: DetectorName, defects: Sequence[int], *, is_tiled: bool) -> dict[str, Any]:
    """Learn from ok pictures, and tell others from those with a defect."""
    started = time.process_time()
    model = learnt(detector, drawn(0, TRAIN, 0), is_tiled=is_tiled)
    fitted = time.process_time()
    ok = _scores(model, drawn(1, TEST, 0))
    scored = time.process_time()
    found: dict[str, Any] = {
        "fit_cpu_seconds": round(fitted - started, 1),
        "cpu_seconds_a_picture": round((scored - fitted) / TEST, 3),
    }
    for defect in defects:
        nok = _scores(model, drawn(1, TEST, defect))
        gap = float((nok.min() - ok.max()) / ok.std())
        found[f"{defect}x{defect} px"] = {"image_auroc": auroc(ok, nok), "gap_in_ok_deviations": round(gap, 2)}
    return found


def _scores(model: AnomalyModel, samples: Sequence[DLSample]) -> NDArray[np.float64]:
    return np.array([result.anomaly_score for result in apply_dl_model(model, samples, batch_size=1)])


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.tiles", description=__doc__)
    parser.add_argument("--detector", choices=DETECTORS, nargs="+", default=["fused"])
    parser.add_argument("--defect", type=int, nargs="+", default=[8], help="side of the square in pixels")
    parser.add_argument("--way", choices=["whole", "tiled"], nargs="+", default=["whole", "tiled"])
    arguments = parser.parse_args()
    figures: dict[str, dict[str, Any]] = {}
    for detector in arguments.detector:
        for way in arguments.way:
            figures[f"{detector} {way}"] = measure(detector, arguments.defect, is_tiled=way == "tiled")
            print(detector, way, figures[f"{detector} {way}"], file=sys.stderr, flush=True)
    print(json.dumps({"figures": figures, "machine": describe_machine(), "software": describe_software()}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
