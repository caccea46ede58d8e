"""A backbone of one's own on the sets of ../shared/data: image AUROC, AUPRO and seconds a frame of each detector, as JSON.

    pip install '.[timm]'
    python -m tests.benchmarks.own_backbone --backbone timm:wide_resnet50_2 [--weights FILE] [--detector patchcore ...] [--set mvtec_screw ...]

Without --weights timm fetches what it publishes for that network. `--backbone efficientnet_lite0` measures what it is to be compared with.
By the procedures that `trainer fit` uses, with its defaults for that backbone.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import get_args

from inspector.anomaly.choices import DetectorName
from inspector.anomaly.errors import ParameterError
from inspector.anomaly.model.access import set_dl_model_param
from inspector.anomaly.model.param import INITIAL_MODEL_NAMES, InitialModel, create_initial_model
from inspector.anomaly.types import Thresholds
from tests.benchmarks.accuracy.cells import SETS
from tests.benchmarks.accuracy.sets import divided
from trainer.dataset.dataset import trained_geometry
from trainer.evaluation.evaluate import evaluate_dl_model
from trainer.training.network import default_input_size
from trainer.training.train import train_dl_model
from trainer.training.train_param import create_dl_train_param


def untrained(detector: DetectorName, backbone: str, weights: str | None) -> InitialModel:
    """The initial model on this backbone.

    Raises:
        ParameterError: The detector cannot use it.
    """
    model = create_initial_model(INITIAL_MODEL_NAMES[detector])
    set_dl_model_param(model, "backbone", backbone)
    set_dl_model_param(model, "weights", weights)
    return model


def measure(model: InitialModel, name: str, seed: int) -> dict[str, float | None]:
    """Train on the ok images of a set and judge its test images."""
    dataset = divided(name, seed)
    width, height = default_input_size(trained_geometry(dataset.samples), size_step=model.param.size_step)
    set_dl_model_param(model, "image_dimensions", (width, height, 3))
    started = time.perf_counter()
    trained = train_dl_model(dataset, model, create_dl_train_param(model, seed=seed)).model
    fitted = time.perf_counter()
    # Nothing here depends on thresholds; the procedure wants some to judge.
    trained.thresholds = Thresholds(classification=0.5, segmentation=0.5)
    found = evaluate_dl_model(dataset, trained, "split", "test")
    seconds = (time.perf_counter() - fitted) / len(dataset.test)
    return {
        "image_auroc": found.image_auroc,
        "aupro": found.aupro,
        "fit_seconds": round(fitted - started, 1),
        "test_seconds_a_frame": round(seconds, 4),
    }


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.own_backbone", description=__doc__)
    parser.add_argument("--backbone", required=True)
    parser.add_argument("--weights")
    parser.add_argument("--detector", choices=get_args(DetectorName), action="append", help="all by default")
    parser.add_argument("--set", choices=SETS, action="append", dest="sets", help="all by default")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    figures: dict[str, dict[str, float | None]] = {}
    for detector in arguments.detector or get_args(DetectorName):
        try:
            model = untrained(detector, arguments.backbone, arguments.weights)
        except ParameterError as error:
            print(error, file=sys.stderr)
            continue
        for name in arguments.sets or SETS:
            figures[f"{name} {detector}"] = measure(model, name, arguments.seed)
            print(name, detector, figures[f"{name} {detector}"], file=sys.stderr, flush=True)
    print(json.dumps({"backbone": arguments.backbone, "figures": figures}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
