"""What `--quality auto` chooses on each development set, and whether that was right: synthetic figures beside those of the test images.

    python -m tests.benchmarks.selection [--set kolektorsdd ...] [--seed 0]

The choice sees ok images to learn from alone. Then each candidate is trained as it ships and judged on the set's test images, which
nothing was chosen by. `mean` compares the chosen ones with the default everywhere, with the best single candidate (chosen by these
very test images, so a bound that no rule could know of) and with the best candidate of each set. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path
from typing import Any, Final

from inspector.anomaly.model.param import DLModelParam, InitialModel
from inspector.anomaly.types import Thresholds
from tests.benchmarks.accuracy.sets import divided
from tests.benchmarks.machine import describe_machine, describe_software
from trainer.dataset.dataset import DLDataset, trained_geometry
from trainer.evaluation.evaluate import evaluate_dl_model
from trainer.selection.choose import choose_dl_model_param
from trainer.settings.candidates import CANDIDATES
from trainer.settings.fit import FitSettings
from trainer.training.train import train_dl_model
from trainer.training.train_param import create_dl_train_param
from trainer.workflow.arguments import candidate_params

SETS: Final = (
    "aws_cookie",
    "aws_alien",
    "mvtec_toothbrush",
    "kolektorsdd",
    "elpv_mono",
    "mvtec_screw",
    "magnetic_tile",
)


def measure(name: str, seed: int) -> dict[str, Any]:
    """What was chosen on one set, and how each candidate does on its test images."""
    dataset = divided(name, seed)
    settings = FitSettings(images=Path(name), out=Path(name), quality="auto", seed=seed)
    candidates = candidate_params(settings, trained_geometry(dataset.samples, dataset.geometry_rule))
    found = choose_dl_model_param(dataset, candidates, seed=seed)
    aurocs = [_test_auroc(dataset, param, seed) for param in candidates]
    rows = [one.as_json() | {"test_auroc": auroc} for one, auroc in zip(found.tried, aurocs, strict=True)]
    place = [one.param for one in found.tried].index(found.param)
    return {
        "n_images": found.n_images,
        "n_defects": found.n_defects,
        "chosen": rows[place]["name"],
        "reason": found.reason,
        "seconds": round(found.seconds, 1),
        "test_auroc_of_chosen": aurocs[place],
        "test_auroc_of_default": aurocs[0],
        "best_test_auroc": max(aurocs),
        "candidates": rows,
    }


def _test_auroc(dataset: DLDataset, param: DLModelParam, seed: int) -> float:
    initial = InitialModel(param)
    model = train_dl_model(dataset, initial, create_dl_train_param(initial, seed=seed)).model
    # Nothing here depends on thresholds; the procedure wants some to judge.
    model.thresholds = Thresholds(classification=0.5, segmentation=0.5)
    auroc = evaluate_dl_model(dataset, model, "split", "test").image_auroc
    if auroc is None:
        raise ValueError(f"{dataset.image_dir} has test images of one class only")
    return auroc


def summary(figures: dict[str, Any]) -> dict[str, Any]:
    """Means over the sets, and the mean of each single candidate everywhere."""
    sets = list(figures.values())
    names = [" ".join(map(str, choice)) for choice in CANDIDATES]
    fixed = [
        statistics.fmean(one["candidates"][place]["test_auroc"] for one in sets) for place in range(len(CANDIDATES))
    ]
    means = {
        key: statistics.fmean(one[key] for one in sets)
        for key in ("test_auroc_of_chosen", "test_auroc_of_default", "best_test_auroc")
    }
    return {
        "chosen": round(means["test_auroc_of_chosen"], 4),
        "default": round(means["test_auroc_of_default"], 4),
        "best_single": round(max(fixed), 4),
        "best_of_each_set": round(means["best_test_auroc"], 4),
        "single": {name: round(value, 4) for name, value in zip(names, fixed, strict=True)},
    }


def main() -> int:
    """Measure, print."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.selection", description=__doc__)
    parser.add_argument("--set", action="append", help="folder below the development images; all by default")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    figures: dict[str, Any] = {}
    for name in arguments.set or SETS:
        figures[name] = measure(name, arguments.seed)
        print(f"{name}: {figures[name]['chosen']}: {figures[name]['test_auroc_of_chosen']:.4f}", file=sys.stderr)
    document = {"seed": arguments.seed, "mean": summary(figures), "figures": figures}
    print(json.dumps(document | {"machine": describe_machine(), "software": describe_software()}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
