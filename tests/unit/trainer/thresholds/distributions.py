"""Distributions of distances to try thresholds on: how to draw, and the probability of reaching x."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Distances = NDArray[np.float64]
Draw = Callable[[np.random.Generator, tuple[int, int]], Distances]

DISTRIBUTIONS: dict[str, tuple[Draw, Callable[[Distances], Distances]]] = {
    "normal": (lambda rng, shape: rng.normal(20, 2, shape), stats.norm(20, 2).sf),
    "lognormal": (lambda rng, shape: rng.lognormal(0, 0.5, shape), stats.lognorm(0.5).sf),
    "gamma": (lambda rng, shape: rng.gamma(4, 1, shape), stats.gamma(4).sf),
    "heavy tail": (lambda rng, shape: 1 + rng.pareto(1.5, shape), stats.pareto(1.5).sf),
    "two kinds": (
        lambda rng, shape: np.where(rng.random(shape) < 0.9, rng.normal(20, 1, shape), rng.normal(40, 1, shape)),
        lambda x: 0.9 * stats.norm(20, 1).sf(x) + 0.1 * stats.norm(40, 1).sf(x),
    ),
}


def most_by_chance(runs: int, probability: float) -> int:
    """Binomial noise of a simulation itself: more than this happens once in ten thousand."""
    return int(stats.binom.ppf(1 - 1e-4, runs, probability))
