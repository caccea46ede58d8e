"""Thresholds on scores of known distributions: what is rejected against what was asked, and how often the bound is exceeded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from trainer.thresholds.ok_only import OkOnlyParam, estimate_threshold

Scores = NDArray[np.float64]
Draw = Callable[[np.random.Generator, tuple[int, int]], Scores]

SIZES = (20, 40, 80, 150, 320)
RATES = (0.01, 0.02, 0.05, 0.1)
GROUPS = ((8, 20), (12, 10), (20, 10), (40, 5))
"""How many groups, and how many images in each on average."""
SPREADS = (0.0, 0.5, 1.0, 3.0)
"""Deviation of the groups' effects, in deviations of the images within."""
_WITHIN = 0.2
_FRESH_GROUPS, _IMAGES_OF_EACH = 8000, 20

DISTRIBUTIONS: dict[str, tuple[Draw, Callable[[Scores], Scores]]] = {
    "normal": (lambda rng, shape: rng.normal(20, 3, shape), stats.norm(20, 3).sf),
    "log-normal": (lambda rng, shape: rng.lognormal(0, 0.3, shape), stats.lognorm(0.3).sf),
    "heavy tail (t, 3 degrees of freedom)": (
        lambda rng, shape: np.maximum(20 + 2 * rng.standard_t(3, shape), 1e-3),
        stats.t(3, 20, 2).sf,
    ),
    "Pareto tail": (lambda rng, shape: 1 + rng.pareto(3, shape), stats.pareto(3).sf),
    "two modes, 90 and 10 %": (
        lambda rng, shape: np.where(rng.random(shape) < 0.9, rng.normal(20, 2, shape), rng.normal(32, 2, shape)),
        lambda x: 0.9 * stats.norm(20, 2).sf(x) + 0.1 * stats.norm(32, 2).sf(x),
    ),
}
EFFECTS: dict[str, Callable[[np.random.Generator, int], Scores]] = {
    "normal": lambda rng, n: rng.normal(0, 1, n),
    "skewed": lambda rng, n: rng.exponential(1, n),
    "heavy tail": lambda rng, n: rng.standard_t(3, n) / np.sqrt(3),
}


def figures(realised: Scores, bounds: Scores, rate: float) -> dict[str, float]:
    """The mean and the deviation of what was rejected, over what was asked, and the share of draws beyond their bound."""
    return {
        "realised_by_asked": round(float(realised.mean()) / rate, 3),
        "deviation": round(float(realised.std()) / rate, 3),
        "bound_exceeded": round(float((realised > bounds).mean()), 4),
        "mean_bound": round(float(bounds.mean()), 4),
    }


def of_images(runs: int) -> Iterator[dict[str, Any]]:
    """Each image drawn by itself; the guaranteed bound of 5 % beside the rates on average."""
    params = {f"{rate:g} on average": OkOnlyParam(false_rejects=rate) for rate in RATES}
    params["0.05 at most"] = OkOnlyParam(max_false_rejects=0.05)
    for name, (draw, tail) in DISTRIBUTIONS.items():
        for size in SIZES:
            rows = draw(np.random.default_rng(size), (runs, size))
            for asked, param in params.items():
                found = [estimate_threshold(row, param) for row in rows]
                realised = tail(np.array([estimate.distance for estimate in found]))
                bounds = np.array([estimate.false_reject_bound for estimate in found])
                rate = float(asked.split()[0])
                yield {"distribution": name, "n": size, "asked": asked, **figures(realised, bounds, rate)}


def of_groups(runs: int) -> Iterator[dict[str, Any]]:
    """Images in groups, judged on images of fresh groups; the groups given, and not given."""
    for effect, draw in EFFECTS.items():
        for spread in SPREADS:
            rng = np.random.default_rng(7)
            effects = spread * draw(rng, _FRESH_GROUPS)[:, None]
            fresh = np.sort(np.exp(_WITHIN * (effects + rng.normal(0, 1, (_FRESH_GROUPS, _IMAGES_OF_EACH)))).ravel())
            for n_groups, size in GROUPS:
                for is_given in (True, False):
                    row = _one_of_groups(draw, spread, n_groups, size, fresh, runs, is_given=is_given)
                    yield {"effect": effect, "spread": spread, "groups": n_groups, "images_in_each": size, **row}


def _one_of_groups(
    draw: Callable[[np.random.Generator, int], Scores],
    spread: float,
    n_groups: int,
    size: int,
    fresh: Scores,
    runs: int,
    *,
    is_given: bool,
) -> dict[str, Any]:
    rng, realised, bounds = np.random.default_rng(n_groups), [], []
    for _ in range(runs):
        groups = np.repeat(np.arange(n_groups), rng.integers(max(1, size // 4), 2 * size, n_groups))
        scores = np.exp(_WITHIN * (spread * draw(rng, n_groups)[groups] + rng.normal(0, 1, len(groups))))
        found = estimate_threshold(
            scores, OkOnlyParam(false_rejects=0.05), groups=groups.tolist() if is_given else None
        )
        realised.append(1 - np.searchsorted(fresh, found.distance) / len(fresh))
        bounds.append(found.false_reject_bound)
    return {"groups_given": is_given, **figures(np.array(realised), np.array(bounds), 0.05)}
