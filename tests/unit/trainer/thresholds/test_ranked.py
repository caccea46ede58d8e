"""Images in groups: what their scores are worth, and whether rate and bound hold for images of fresh groups."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from tests.unit.trainer.thresholds.distributions import most_by_chance
from trainer.thresholds.ok_only import OkOnlyParam, estimate_threshold
from trainer.thresholds.ranked import JUST_ABOVE, rank_scores

RUNS = 300
EFFECTS: dict[str, Callable[[np.random.Generator, int], NDArray[np.float64]]] = {
    "normal": lambda rng, n: rng.normal(0, 1, n),
    "skewed": lambda rng, n: rng.exponential(1, n),
    "heavy": lambda rng, n: rng.standard_t(3, n) / np.sqrt(3),
}


def in_groups(
    rng: np.random.Generator, effect: str, n_groups: int, size: int, spread: float
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Scores of groups of varying size, whose effects spread so many times as much as the images within."""
    groups = np.repeat(np.arange(n_groups), rng.integers(max(1, size // 4), 2 * size, n_groups))
    effects = spread * EFFECTS[effect](rng, n_groups)
    return np.exp(0.2 * (effects[groups] + rng.normal(0, 1, len(groups)))), groups


def of_fresh_groups(rng: np.random.Generator, effect: str, spread: float) -> NDArray[np.float64]:
    effects = spread * EFFECTS[effect](rng, 8000)
    return np.sort(np.exp(0.2 * (effects[:, None] + rng.normal(0, 1, (8000, 20)))).ravel())


@pytest.mark.parametrize("spread", [0.5, 1.0, 3.0])
@pytest.mark.parametrize(("n_groups", "size"), [(8, 20), (12, 10), (40, 5)])
@pytest.mark.parametrize("effect", EFFECTS)
def test_rate_and_bound_hold_for_images_of_other_groups(effect: str, n_groups: int, size: int, spread: float) -> None:
    rng = np.random.default_rng(n_groups)
    fresh = of_fresh_groups(rng, effect, spread)
    realised, broken = [], 0
    for _ in range(RUNS):
        scores, groups = in_groups(rng, effect, n_groups, size, spread)
        found = estimate_threshold(scores, OkOnlyParam(false_rejects=0.05), groups=groups.tolist())
        realised.append(1 - np.searchsorted(fresh, found.distance) / len(fresh))
        broken += bool(realised[-1] > found.false_reject_bound)
    noise = 3 * np.std(realised) / np.sqrt(RUNS)
    assert 0.5 * 0.05 - noise < np.mean(realised) < 1.3 * 0.05 + noise
    assert broken <= most_by_chance(RUNS, 0.05)


def test_without_groups_the_same_images_would_break_both() -> None:
    """What the groups are for, and proof that the test above can fail."""
    rng = np.random.default_rng(0)
    fresh = of_fresh_groups(rng, "skewed", 3.0)
    realised, broken = [], 0
    for _ in range(RUNS):
        scores, _ = in_groups(rng, "skewed", 8, 20, 3.0)
        found = estimate_threshold(scores, OkOnlyParam(false_rejects=0.05))
        realised.append(1 - np.searchsorted(fresh, found.distance) / len(fresh))
        broken += bool(realised[-1] > found.false_reject_bound)
    assert np.mean(realised) > 0.08
    assert broken > RUNS / 4


def test_images_alone_are_worth_their_number() -> None:
    scores = np.random.default_rng(0).lognormal(0, 0.3, 50)
    for groups in (None, list(range(50))):
        ranked = rank_scores(scores, groups)
        assert (ranked.independent, ranked.n_groups, ranked.is_grouped) == (50.0, 50, False)


@pytest.mark.parametrize(("spread", "low", "high"), [(0.0, 60, 100), (1.0, 12, 30), (1000.0, 9.99, 10.01)])
def test_groups_are_worth_between_their_number_and_that_of_their_images(spread: float, low: float, high: float) -> None:
    rng = np.random.default_rng(3)
    groups = np.repeat(np.arange(10), 10)
    worth = [
        rank_scores(
            np.exp(0.01 * (spread * rng.normal(0, 1, 10)[groups] + rng.normal(0, 1, 100))), groups.tolist()
        ).independent
        for _ in range(20)
    ]
    assert low <= np.median(worth) <= high


def test_every_group_counts_the_same_however_large() -> None:
    ranked = rank_scores([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [0, 0, 0, 0, 1, 2])
    assert ranked.n_groups == 3
    assert ranked.groups_exceeding(5.0) == pytest.approx(2.0)
    assert ranked.groups_exceeding(4.0) == pytest.approx(2.25)
    assert ranked.exceeding(4.0) == 3


@pytest.mark.parametrize(("n", "count"), [(10, 0), (59, 0), (80, 4), (20, 20), (300, 7)])
def test_the_bound_of_images_alone_is_clopper_and_pearsons(n: int, count: int) -> None:
    ranked = rank_scores(np.arange(1.0, n + 1))
    exact = 1.0 if count == n else stats.beta.ppf(0.95, count + 1, n - count)
    assert ranked.upper_bound(n - count + 0.5, 0.95) == pytest.approx(exact, rel=1e-6)


def test_the_bound_of_a_part_of_a_group_lies_between() -> None:
    ranked = rank_scores(np.arange(1.0, 41.0), [place // 4 for place in range(40)])
    bounds = [ranked.upper_bound(threshold, 0.95) for threshold in (40.5, 39.5, 38.5, 36.5)]
    whole = [float(stats.beta.ppf(0.95, count + 1, 10 - count)) for count in (0, 1)]
    assert bounds == pytest.approx(
        [whole[0], *(whole[0] + share * (whole[1] - whole[0]) for share in (0.25, 0.5, 1.0))]
    )


def test_a_threshold_leaves_no_score_to_the_rounding_of_a_batch() -> None:
    crowd = [10.0 * (1 + 1.5e-5) ** place for place in range(4)]
    ranked = rank_scores([1.0, *crowd, 20.0])
    for threshold in (10.0, crowd[1], crowd[3] * (1 + 1e-6)):
        assert ranked.clear(threshold) == pytest.approx(crowd[3] * JUST_ABOVE, rel=1e-12)
    assert ranked.clear(15.0) == 15.0


def test_images_of_groups_are_worth_what_their_likeness_leaves() -> None:
    """Three groups of two: mean squares 18 between and 1/2 within, by hand."""
    found = rank_scores(np.exp([0.0, 1.0, 3.0, 4.0, 6.0, 7.0]), [0, 0, 1, 1, 2, 2])
    likeness = (18 - 0.5) / (18 + 0.5)
    assert found.independent == pytest.approx(3 / (likeness + (1 - likeness) / 2))
