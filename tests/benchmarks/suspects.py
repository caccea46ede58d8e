"""A few nok images among the ok: what they cost, who names them, and what is won by leaving the most suspicious out.

    python -m tests.benchmarks.suspects [--set aws_cookie ...] [--quality fast] [--seeds 2]

Four arms, which are tested on the same images. `clean`: all images to learn from are ok. `contaminated`: 5 % of these are replaced by
nok images of the set, which are test images in no arm. `dropped`: as many of the most suspicious are left out of these, unseen, as by
`--drop-suspects`. `checked`: somebody looked at those that are named, and took out the ones that are nok. The seed draws what is planted.
Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args

import numpy as np

from inspector.anomaly.model.model import AnomalyModel
from inspector.anomaly.model.param import DLModelParam, InitialModel
from inspector.anomaly.types import Thresholds
from tests.benchmarks.accuracy.sets import DATA
from tests.benchmarks.machine import describe_machine, describe_software
from trainer.calibration.folds import train_and_score_folds
from trainer.calibration.suspects import Suspect, drop_dl_dataset_suspects, find_dl_dataset_suspects
from trainer.dataset.dataset import DLDataset, trained_geometry
from trainer.dataset.read import read_dl_dataset_anomaly
from trainer.evaluation.result import evaluate_scores
from trainer.evaluation.scoring import score_images
from trainer.prepare.split import SplitParam, split_dl_dataset
from trainer.settings.quality import QUALITIES, Quality
from trainer.thresholds.scores import CalibrationScores
from trainer.training.network import default_input_size
from trainer.training.train_param import create_dl_train_param

SHARE = 0.05
SMALL_SETS = ("aws_cookie", "aws_alien", "mvtec_toothbrush")
LOSS_ALLOWED = 0.01


@dataclass(frozen=True, slots=True)
class Arms:
    """A set divided for the comparison; `planted` are the names of the nok images in `contaminated.train`."""

    clean: DLDataset
    contaminated: DLDataset
    planted: frozenset[str]


def arms(name: str, seed: int) -> Arms:
    """Divide a set, by folds however large it is, and plant nok images among those to learn from.

    Raises:
        DatasetError: The set is not there.
    """
    dataset = split_dl_dataset(read_dl_dataset_anomaly(DATA / name), seed=seed, param=SplitParam(calibration_percent=0))
    count = max(1, round(SHARE * len(dataset.train)))
    random = np.random.default_rng(seed)
    nok = [sample for sample in dataset.test if sample.image_label == "nok"]
    chosen = [nok[place] for place in random.choice(len(nok), count, replace=False)]
    replaced = [dataset.train[place] for place in random.choice(len(dataset.train), count, replace=False)]
    # What is planted takes the place and the fold of what it replaces.
    planted = {
        ok.image_id: replace(
            one, image_id=ok.image_id, image_label="ok", anomaly_file_name=None, split="train", fold=ok.fold
        )
        for ok, one in zip(replaced, chosen, strict=True)
    }
    gone = {sample.image_id for sample in chosen}
    clean = tuple(replace(s, split=None) if s.image_id in gone else s for s in dataset.samples)
    return Arms(
        clean=replace(dataset, samples=clean),
        contaminated=replace(dataset, samples=tuple(planted.get(s.image_id, s) for s in clean)),
        planted=frozenset(sample.image_file_name for sample in chosen),
    )


def measure(name: str, quality: Quality, seed: int) -> dict[str, Any]:
    """Return what the arms of one set and one draw come to."""
    drawn = arms(name, seed)
    model, clean_scores = _trained(drawn.clean, quality, seed)
    clean = _auroc(drawn.clean, model)
    named_of_clean = find_dl_dataset_suspects(drawn.clean, clean_scores)
    model, scores = _trained(drawn.contaminated, quality, seed)
    contaminated = _auroc(drawn.contaminated, model)
    named = find_dl_dataset_suspects(drawn.contaminated, scores)
    rest, dropped = drop_dl_dataset_suspects(drawn.contaminated, scores, len(drawn.planted))
    remedied = _auroc(rest, _trained(_without_folds(rest), quality, seed)[0])
    found = {one.sample.image_id for one in named if one.sample.image_file_name in drawn.planted}
    samples = (replace(s, split=None) if s.image_id in found else s for s in drawn.contaminated.samples)
    looked_at = _without_folds(replace(drawn.contaminated, samples=tuple(samples)))
    checked = _auroc(looked_at, _trained(looked_at, quality, seed)[0]) if found else contaminated
    return {
        "n_train": len(drawn.clean.train),
        "planted": len(drawn.planted),
        "auroc_clean": clean,
        "auroc_contaminated": contaminated,
        "auroc_dropped": remedied,
        "auroc_checked": checked,
        "lost": round(clean - contaminated, 6),
        "lost_after_drop": round(clean - remedied, 6),
        "lost_after_check": round(clean - checked, 6),
        "planted_named": _hits(named, drawn),
        "clean_named": len(named) - _hits(named, drawn),
        "planted_dropped": _hits(dropped, drawn),
        "named_in_clean_arm": len(named_of_clean),
    }


def _hits(suspects: Sequence[Suspect], drawn: Arms) -> int:
    return sum(suspect.sample.image_file_name in drawn.planted for suspect in suspects)


def _without_folds(dataset: DLDataset) -> DLDataset:
    """For a training whose out-of-fold scores nobody asks for."""
    return replace(dataset, samples=tuple(replace(sample, fold=None) for sample in dataset.samples))


def _trained(dataset: DLDataset, quality: Quality, seed: int) -> tuple[AnomalyModel, CalibrationScores | None]:
    """A model of the quality, and the out-of-fold scores where there are folds."""
    width, height = default_input_size(trained_geometry(dataset.samples))
    detector, backbone = QUALITIES[quality]
    param = DLModelParam(detector=detector, backbone=backbone, image_width=width, image_height=height)
    initial = InitialModel(param)
    result, unseen = train_and_score_folds(dataset, initial, create_dl_train_param(initial, seed=seed))
    return result.model, unseen


def _auroc(dataset: DLDataset, model: AnomalyModel) -> float:
    """Image AUROC on the test images."""
    # Nothing here depends on thresholds; the procedure wants some to judge.
    model.thresholds = Thresholds(classification=0.5, segmentation=0.5)
    test = [sample for sample in dataset.samples if sample.split == "test"]
    paths = [dataset.image_path(sample) for sample in test]
    scored = [image.result.anomaly_score for image in score_images(model, paths) if image.result is not None]
    auroc = evaluate_scores(scored, [sample.image_label for sample in test], 0.5).image_auroc
    if auroc is None:
        raise ValueError(f"{dataset.image_dir} has test images of one class only")
    return auroc


def summary(draws: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Means and sums over the draws of a set, and whether the target is met."""

    def mean(key: str) -> float:
        return round(statistics.fmean(draw[key] for draw in draws), 4)

    sums = ("planted", "planted_named", "clean_named", "planted_dropped", "named_in_clean_arm")
    keys = [key for key in draws[0] if key.startswith(("auroc", "lost"))]
    return {
        **{key: mean(key) for key in keys},
        **{key: sum(draw[key] for draw in draws) for key in sums},
        "is_met": {key: mean(key) <= LOSS_ALLOWED for key in keys if key.startswith("lost")},
    }


def main() -> int:
    """Measure, print."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.suspects", description=__doc__)
    parser.add_argument("--set", action="append", help="folder below the development images; three small ones")
    parser.add_argument("--quality", choices=get_args(Quality), default="fast")
    parser.add_argument("--seeds", type=int, default=2)
    arguments = parser.parse_args()
    figures: dict[str, Any] = {}
    for name in arguments.set or SMALL_SETS:
        draws = [measure(name, arguments.quality, seed) for seed in range(arguments.seeds)]
        figures[name] = {"summary": summary(draws), "draws": draws}
        print(f"{name}: {figures[name]['summary']}", file=sys.stderr)
    document = {"quality": arguments.quality, "share": SHARE, "loss_allowed": LOSS_ALLOWED, "figures": figures}
    print(json.dumps(document | {"machine": describe_machine(), "software": describe_software()}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
