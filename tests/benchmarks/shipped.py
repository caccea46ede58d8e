"""What a user gets from `trainer fit` without options: verdicts at the shipped threshold, regions against masks, time.

    python -m tests.benchmarks.shipped --out tests/benchmarks/results/shipped.json [--set mvtec_screw ...] [--seed 0] [--option=--quality=fast]

For each set a model is fitted by the command, its bundle is loaded and the set's own test images are decoded and judged as the inspector
does it. Goes on where it was cut off; prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from inspector.anomaly.model.bundle import read_dl_model
from inspector.anomaly.model.model import AnomalyModel, apply_dl_model
from inspector.anomaly.types import DLResult
from inspector.anomaly.verdict.threshold import threshold_dl_anomaly_results
from tests.benchmarks.accuracy.cells import SETS
from tests.benchmarks.accuracy.sets import divided, geometry_rule
from tests.benchmarks.regions import Regions
from tests.benchmarks.store import write_store
from trainer.dataset.dataset import DLDataset
from trainer.evaluation.image_measures import auroc
from trainer.pictures.files import read_picture


def measure(name: str, seed: int, options: list[str]) -> dict[str, Any]:
    """Fit by the command and judge the test images."""
    dataset = divided(name, seed)
    with tempfile.TemporaryDirectory() as folder:
        bundle = Path(folder) / "bundle"
        command = [sys.executable, "-m", "trainer", "fit", "--images", str(dataset.image_dir), "--out", str(bundle)]
        command += ["--json", f"--seed={seed}", f"--geometry={geometry_rule(name)}", *options]
        started = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        seconds = time.perf_counter() - started
        outcome = json.loads(done.stdout)
        figures = judge(dataset, read_dl_model(bundle))
    return {
        "detector": outcome["detector"],
        "backbone": outcome["backbone"],
        "n_train": outcome["n_train"],
        "fit_command_seconds": round(seconds, 1),
        **_rounded(figures),
    }


def judge(dataset: DLDataset, model: AnomalyModel) -> dict[str, Any]:
    """Figures of the verdicts and of the regions on the test images."""
    tested = [sample for sample in dataset.samples if sample.split == "test"]
    results: list[DLResult] = []
    regions = Regions(model.input_size)
    for sample in tested:
        picture = read_picture(dataset.image_path(sample), model.preprocess_param)
        (result,) = threshold_dl_anomaly_results(model, [picture], apply_dl_model(model, picture))
        regions.look_at(sample.defect, dataset.read_mask(sample), result)
        results.append(result)
    is_nok = np.array([sample.image_label == "nok" for sample in tested])
    scores = np.array([result.anomaly_score for result in results])
    rejected = np.array([result.anomaly_class == "nok" for result in results])
    outlined = np.array([result.anomaly_region is not None and result.anomaly_region.area > 0 for result in results])
    ok, nok = scores[~is_nok], scores[is_nok]
    # Just above the highest ok image that passes.
    passing = np.sort(ok)[::-1][int(rejected[~is_nok].sum()) :]
    best = float((nok > (passing[0] if len(passing) else -1.0)).mean())
    recall = float(rejected[is_nok].mean())
    kinds = [sample.defect for sample in tested]
    found = {
        str(kind): float(np.mean([result for result, own in zip(rejected, kinds, strict=True) if own == kind]))
        for kind in sorted({kind for kind in kinds if kind is not None})
    }
    return {
        "image_auroc": auroc(ok, nok),
        "ok_rejected": float(rejected[~is_nok].mean()),
        "recall": recall,
        "recall_by_best_with_as_many_rejected": best,
        "share_of_best": recall / best if best else None,
        "ok_outlined": float(outlined[~is_nok].mean()),
        "rejected_without_region": float((rejected & ~outlined).sum() / max(1, rejected.sum())),
        "passed_with_region": float((~rejected & outlined).sum() / max(1, (~rejected).sum())),
        "recall_by_defect": found,
        **regions.figures(),
    }


def _rounded(figures: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: _rounded(value) if isinstance(value, dict) else round(value, 4) if isinstance(value, float) else value
        for key, value in figures.items()
    }


def main() -> int:
    """Measure what is missing, write it, print it."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.shipped", description=__doc__)
    parser.add_argument("--set", choices=SETS, action="append", dest="sets", help="all by default")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--option", action="append", default=[], help="one more option of trainer fit, as --option=--quality=fast"
    )
    parser.add_argument("--out", type=Path, required=True, help="JSON file to go on with")
    arguments = parser.parse_args()
    stored = json.loads(arguments.out.read_text()) if arguments.out.exists() else {"runs": {}}
    for name in arguments.sets or SETS:
        key = " ".join([name, f"seed {arguments.seed}", *arguments.option])
        if key not in stored["runs"]:
            stored["runs"][key] = measure(name, arguments.seed, arguments.option)
            write_store(arguments.out, stored)
            print(key, stored["runs"][key], file=sys.stderr, flush=True)
    print(json.dumps(stored))
    return 0


if __name__ == "__main__":
    sys.exit(main())
