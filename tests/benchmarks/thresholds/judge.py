"""Thresholds on draws of the development sets, judged on the ok images that were left over: of files that `real` wrote."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from tests.benchmarks.thresholds.real import FOLDS
from trainer.calibration.learning import fewer_folds, learning_factor
from trainer.thresholds.ok_only import OkOnlyParam, estimate_threshold

RATES = (0.01, 0.02, 0.05, 0.1)
WAYS = ("folds", "folds as they are", "held")
CHANCE = 0.95
"""Of the noise of counting: fresh ok images are a sample themselves."""

Scores = Mapping[str, NDArray[np.floating]]


def judged(folder: Path) -> Iterator[dict[str, Any]]:
    """A row for each set, number of images, way to calibrate and rate."""
    for path in sorted(folder.glob("*.npz")):
        with np.load(path) as file:
            stored = {key: file[key].astype(np.float64) for key in file.files}
        for size in sorted({int(key.split("/")[0]) for key in stored}):
            draws = _draws(stored, size)
            for way in WAYS:
                if way != "held" or way in draws[0]:
                    yield from _rows(path.stem, size, way, draws)


def _draws(stored: Scores, size: int) -> list[dict[str, NDArray[np.floating]]]:
    """The scores of each draw of a size by what they are."""
    found: dict[str, dict[str, NDArray[np.floating]]] = {}
    for key, scores in stored.items():
        number, seed, kind = key.split("/")
        if int(number) == size:
            found.setdefault(seed, {})[kind] = scores
    return list(found.values())


def _rows(name: str, size: int, way: str, draws: list[dict[str, NDArray[np.floating]]]) -> Iterator[dict[str, Any]]:
    params = {f"{rate:g} on average": OkOnlyParam(false_rejects=rate) for rate in RATES}
    params["0.05 at most"] = OkOnlyParam(max_false_rejects=0.05)
    for asked, param in params.items():
        rows = [_judge(draw, way, param) for draw in draws]
        rate = float(asked.split()[0])
        realised = np.array([row["realised"] for row in rows])
        yield {
            "set": name,
            "n": size,
            "calibrated_by": way,
            "asked": asked,
            "draws": len(rows),
            "fresh": int(rows[0]["fresh"]),
            "realised_by_asked": round(float(realised.mean()) / rate, 3),
            "deviation": round(float(realised.std()) / rate, 3),
            **{
                key: round(float(np.mean([row[key] for row in rows])), 4)
                for key in ("bound", "bound_exceeded", "bound_exceeded_beyond_chance", "recall", "best_recall")
            },
        }


def _calibration(draw: Mapping[str, NDArray[np.floating]], way: str) -> NDArray[np.floating]:
    """The scores that lay the threshold: those of folds brought to the level of all images, as they are, or held out."""
    if way == "held":
        return draw["held"]
    folds = draw["folds"]
    if way == "folds as they are":
        return folds
    number = np.arange(len(folds)) % FOLDS
    judged = number >= fewer_folds(number.tolist())
    of_folds = len(folds) - np.bincount(number)
    return folds * learning_factor(
        folds[judged],
        draw["fewer"],
        of_folds=of_folds[number[judged]],
        of_fewer=int((~judged).sum()),
        of_all=len(folds),
    )


def _judge(draw: Mapping[str, NDArray[np.floating]], way: str, param: OkOnlyParam) -> dict[str, float]:
    """What a threshold of one draw rejects and finds, and what the best with as many rejected ok images would find."""
    fresh, nok = (draw[kind] for kind in (("held_fresh", "held_nok") if way == "held" else ("fresh", "nok")))
    found = estimate_threshold(_calibration(draw, way), param)
    rejected = int((fresh >= found.distance).sum())
    # Just above the highest ok image that passes.
    best = np.sort(fresh)[::-1][rejected] if rejected < len(fresh) else 0.0
    by_chance = int(stats.binom.ppf(CHANCE, len(fresh), found.false_reject_bound))
    return {
        "fresh": len(fresh),
        "realised": rejected / len(fresh),
        "bound": found.false_reject_bound,
        "bound_exceeded": rejected / len(fresh) > found.false_reject_bound,
        "bound_exceeded_beyond_chance": rejected > by_chance,
        "recall": float((nok >= found.distance).mean()),
        "best_recall": float((nok > best).mean()),
    }
