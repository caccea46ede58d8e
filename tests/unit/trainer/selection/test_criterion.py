"""How candidates are compared: the AUROC within folds, and the standard error of a difference."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from trainer.selection.criterion import Gain, SyntheticScores, gain_over

N, K = 30, 2
FOLDS = np.arange(N) % 3


def scores(
    ok: NDArray[np.float64], defects: NDArray[np.float64], folds: NDArray[np.int64] = FOLDS, units: object = None
) -> SyntheticScores:
    return SyntheticScores(ok, defects, folds, np.arange(len(ok)) if units is None else np.asarray(units))


def drawn(random: np.random.Generator, shift: float, noise: float = 0.0) -> tuple[SyntheticScores, SyntheticScores]:
    """A default, and a candidate on the same pictures whose defects score higher by `shift`."""
    ok, defects = random.normal(size=N), random.normal(0.8, 1, (N, K))
    return scores(ok, defects), scores(ok + random.normal(0, noise, N), defects + shift)


def test_the_auroc_of_one_fold_is_what_it_is_elsewhere() -> None:
    random = np.random.default_rng(0)
    ok, defects = random.integers(0, 6, N).astype(float), random.integers(2, 8, (N, K)).astype(float)
    labels = np.repeat([0, 1], [N, N * K])
    expected = roc_auc_score(labels, np.concatenate([ok, defects.ravel()]))
    assert scores(ok, defects, np.zeros(N, np.int64)).auroc == pytest.approx(expected)


def test_scores_of_different_folds_are_not_compared() -> None:
    """Each fold's model has a scale of its own."""
    random = np.random.default_rng(1)
    ok, defects = random.normal(size=N), random.normal(1, 1, (N, K))
    of_fold = np.array([0.0, 50.0, -50.0])[FOLDS]
    assert scores(ok + of_fold, defects + of_fold[:, None]).auroc == pytest.approx(scores(ok, defects).auroc)


def test_a_gain_is_the_difference_of_the_two() -> None:
    default, better = drawn(np.random.default_rng(2), 1.0)
    gain = gain_over(better, default)
    assert gain.difference == pytest.approx(better.auroc - default.auroc)
    assert gain.is_sure
    worse = gain_over(default, better)
    assert (worse.difference, worse.error) == pytest.approx((-gain.difference, gain.error))
    assert not worse.is_sure


def test_equal_candidates_gain_nothing_for_sure() -> None:
    default, same = drawn(np.random.default_rng(3), 0.0)
    assert gain_over(same, default) == Gain(0.0, 0.0)
    assert not gain_over(same, default).is_sure


def test_the_error_is_that_of_fresh_pictures() -> None:
    """The jackknife's error against how much the difference varies from draw to draw."""
    random = np.random.default_rng(4)
    gains = [gain_over(better, default) for default, better in (drawn(random, 0.0, 0.5) for _ in range(300))]
    spread = np.std([gain.difference for gain in gains])
    assert np.mean([gain.error for gain in gains]) == pytest.approx(spread, rel=0.2)
    # The two judge almost alike, so one is hardly ever taken for the better one by chance.
    assert np.mean([gain.is_sure for gain in gains]) < 0.06


def test_pictures_of_a_group_count_as_one() -> None:
    """Each picture is there five times: that adds nothing, and the error knows."""
    random = np.random.default_rng(5)
    copies, folds = np.repeat(np.arange(N), 5), np.zeros(N, np.int64)
    ok, defects, noise = random.normal(size=N), random.normal(1, 1, (N, K)), random.normal(0, 0.5, N)
    once = gain_over(scores(ok + noise, defects, folds), scores(ok, defects, folds))
    of_copies = [scores(values[copies], defects[copies], folds[copies], copies) for values in (ok + noise, ok)]
    assert gain_over(*of_copies).error == pytest.approx(once.error, rel=1e-6)
    alone = [scores(one.ok, one.defects, one.folds) for one in of_copies]
    assert gain_over(*alone).error < 0.6 * once.error


def test_other_pictures_cannot_be_compared() -> None:
    default, _ = drawn(np.random.default_rng(6), 0.0)
    fewer = scores(default.ok[:9], default.defects[:9], FOLDS[:9])
    with pytest.raises(ValueError, match="on the same pictures, of two groups or more"):
        gain_over(fewer, default)
    one_group = scores(default.ok, default.defects, units=np.zeros(N, np.int64))
    with pytest.raises(ValueError, match="of two groups or more"):
        gain_over(one_group, one_group)
