"""Which model is the default: chosen on all sets but one, judged on that one. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Quality = str

BUDGETS: dict[Quality, float] = {"fast": 1.0, "balanced": 1.5, "best": float("inf")}
"""Most time a frame, in units of the fastest model's, that each quality may take."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The model that a quality stands for.

    Attributes:
        chosen: By all sets.
        judged: Figure on each set of the model that the other sets chose; `without` names that model.
        without: For each set the model that was chosen without it.
    """

    quality: Quality
    chosen: str
    judged: Mapping[str, float]
    without: Mapping[str, str]


def merit(image_auroc: float, aupro: float | None) -> float:
    """One number for a model on a set: the mean of image AUROC and, where there are masks, AUPRO."""
    return image_auroc if aupro is None else (image_auroc + aupro) / 2


def choose(merits: Mapping[str, Mapping[str, float]], costs: Mapping[str, float]) -> list[Choice]:
    """Choose a model for each quality.

    Args:
        merits: By model, then by set; only models that have all sets take part.
        costs: Time a frame by model, in any unit.
    """
    sets = sorted({name for by_set in merits.values() for name in by_set})
    complete = {model: by_set for model, by_set in merits.items() if len(by_set) == len(sets) and model in costs}
    if not complete:
        return []
    cheapest = min(costs[model] for model in complete)

    def best_on(names: Sequence[str], budget: float) -> str:
        affordable = [model for model in complete if costs[model] <= budget * cheapest]
        return max(affordable, key=lambda model: statistics.fmean(complete[model][name] for name in names))

    choices = []
    for quality, budget in BUDGETS.items():
        without = {name: best_on([other for other in sets if other != name], budget) for name in sets}
        judged = {name: complete[model][name] for name, model in without.items()}
        choices.append(Choice(quality, best_on(sets, budget), judged, without))
    return choices
