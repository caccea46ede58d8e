from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix as sklearn_matrix
from sklearn.metrics import precision_score, recall_score

from trainer.errors import SettingsError
from trainer.evaluation.confusion import (
    ConfusionMatrix,
    Share,
    anomaly_score_histogram,
    confusion_matrix,
    precision_shares,
    recall_shares,
    step_curve,
)
from trainer.evaluation.image_measures import ImageScores, image_scores

SCORES = st.lists(st.integers(0, 8).map(lambda n: n / 8), max_size=30)
FILLED = st.lists(st.integers(0, 8).map(lambda n: n / 8), min_size=1, max_size=30)


def parted(ok: list[float], nok: list[float]) -> ImageScores:
    return image_scores([*ok, *nok], [*["ok"] * len(ok), *["nok"] * len(nok)])  # type: ignore[list-item]


@given(FILLED, FILLED, st.integers(-1, 9).map(lambda n: n / 8))
def test_matrix_and_shares_equal_scikit_learn(ok: list[float], nok: list[float], threshold: float) -> None:
    truth = [0] * len(ok) + [1] * len(nok)
    called = [int(score >= threshold) for score in ok + nok]
    matrix = confusion_matrix(parted(ok, nok), threshold)
    expected = sklearn_matrix(truth, called, labels=[0, 1]).T  # scikit-learn's rows are true, HALCON's predicted
    assert matrix.absolute == tuple(map(tuple, expected.tolist()))
    assert np.array(matrix.relative) == pytest.approx(expected / expected.sum(axis=0))
    precision = precision_score(truth, called, average=None, labels=[0, 1], zero_division=0)
    recall = recall_score(truth, called, average=None, labels=[0, 1])
    assert matrix.precision_per_class == pytest.approx(tuple(precision))
    assert matrix.recall_per_class == pytest.approx(tuple(recall))
    assert matrix.mean_precision == pytest.approx(precision.mean())
    assert matrix.mean_recall == pytest.approx(recall.mean())


def test_score_at_the_threshold_is_nok() -> None:
    matrix = confusion_matrix(parted([0.1, 0.5], [0.3, 0.5, 0.9]), 0.5)
    assert matrix.absolute == ((1, 1), (1, 2))
    assert matrix.relative == ((0.5, 1 / 3), (0.5, 2 / 3))


def test_absent_class_keeps_its_column_and_is_skipped_by_the_means() -> None:
    only_ok = confusion_matrix(parted([0.1, 0.2, 0.6], []), 0.5)
    assert only_ok.absolute == ((2, 0), (1, 0))
    assert only_ok.relative == ((2 / 3, 0.0), (1 / 3, 0.0))
    assert (only_ok.precision_per_class, only_ok.mean_precision) == ((1.0, -1.0), 1.0)
    assert (only_ok.recall_per_class, only_ok.mean_recall) == ((2 / 3, -1.0), 2 / 3)
    only_nok = confusion_matrix(parted([], [0.1, 0.6]), 0.5)
    assert only_nok.precision_per_class == (-1.0, 1.0)
    assert only_nok.recall_per_class == (-1.0, 0.5)


def test_class_that_is_never_predicted_has_precision_zero() -> None:
    all_ok = confusion_matrix(parted([0.1], [0.2]), 0.5)
    assert (all_ok.precision_per_class, all_ok.mean_precision) == ((0.5, 0.0), 0.25)
    assert (all_ok.recall_per_class, all_ok.mean_recall) == ((1.0, 0.0), 0.5)


def test_no_image_at_all() -> None:
    empty = ConfusionMatrix(0.5, ((0, 0), (0, 0)))
    assert (empty.mean_precision, empty.mean_recall) == (-1.0, -1.0)
    assert empty.relative == ((0.0, 0.0), (0.0, 0.0))


@pytest.mark.parametrize("threshold", [-1.0, 0.5, 1e308, math.inf])
def test_score_that_is_not_finite_is_nok_whatever_the_threshold(threshold: float) -> None:
    assert confusion_matrix(parted([math.nan], [math.inf]), threshold).absolute == ((0, 0), (1, 1))


# ------------------------------------------------------------------------------------------------------------- histogram


@given(SCORES, SCORES)
def test_curves_are_the_shares_at_each_score(ok: list[float], nok: list[float]) -> None:
    curves = anomaly_score_histogram(parted(ok, nok))
    assert curves.ok_x == tuple(sorted(set(ok)))
    assert curves.nok_x == tuple(sorted(set(nok)))
    assert curves.ok_y == pytest.approx([sum(s >= x for s in ok) / len(ok) for x in curves.ok_x])
    assert curves.nok_y == pytest.approx([sum(s <= x for s in nok) / len(nok) for x in curves.nok_x])
    assert curves.ok_y[:1] in {(), (1.0,)}
    assert curves.nok_y[-1:] in {(), (1.0,)}


def test_scores_that_are_not_finite_come_last() -> None:
    curves = anomaly_score_histogram(parted([math.nan, 0.25], [-math.inf]))
    assert (curves.ok_x, curves.ok_y) == ((0.25, math.inf), (1.0, 0.5))
    assert (curves.nok_x, curves.nok_y) == ((math.inf,), (1.0,))


def test_step_curves_are_those_of_the_histogram() -> None:
    """Also where a score is no number: it is nok, at any threshold."""
    ok, nok = [0.3, 0.1, 0.3, 0.7, math.nan], [0.2, 0.9, math.nan]
    found = anomaly_score_histogram(parted(ok, nok))
    falling, rising = step_curve(found, "ok"), step_curve(found, "nok")
    for x in (0.1, 0.3, 0.7):
        assert max(y for px, y in falling if px == x) == found.ok_y[found.ok_x.index(x)]
        assert min(y for px, y in falling if px == x) == pytest.approx(sum(not s <= x for s in ok) / 5)
    for x in (0.2, 0.9):
        assert max(y for px, y in rising if px == x) == found.nok_y[found.nok_x.index(x)]
        assert max(y for px, y in rising if px == x) == pytest.approx(sum(s <= x for s in nok) / 3)
    assert [falling[0][1], falling[-1][1]] == pytest.approx([1.0, 1 / 5])
    assert [rising[0][1], rising[-1][1]] == pytest.approx([0.0, 2 / 3])
    assert step_curve(anomaly_score_histogram(parted([], nok)), "ok") == []


# ---------------------------------------------------------------------------------------------------------------- shares


def test_shares_of_precision_and_recall() -> None:
    assert precision_shares(((3, 1), (1, 2))) == (Share("ok", 3, 4), Share("nok", 2, 3))
    assert recall_shares(((3, 1), (1, 2))) == (Share("ok", 3, 4), Share("nok", 2, 3))
    assert recall_shares(((3, 2), (1, 8))) == (Share("ok", 3, 4), Share("nok", 8, 10))
    assert precision_shares(((3, 2), (1, 8))) == (Share("ok", 3, 5), Share("nok", 8, 9))
    with pytest.raises(SettingsError, match="counts of 0 and more"):
        precision_shares(((-1, 0), (0, 0)))
