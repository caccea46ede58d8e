from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.stats import binomtest
from sklearn.metrics import roc_auc_score

from trainer.evaluate import PixelAuroc, auroc, binomial_rate, evaluate_dl_model
from trainer.layout import ImageLabel

SCORES = st.lists(st.integers(0, 8).map(lambda n: n / 8), min_size=1, max_size=40)


@given(SCORES, SCORES)
def test_auroc_equals_scikit_learn_with_ties(ok: list[float], nok: list[float]) -> None:
    expected = roc_auc_score([0] * len(ok) + [1] * len(nok), ok + nok)
    assert auroc(np.array(ok), np.array(nok)) == pytest.approx(expected, abs=1e-12)


def test_auroc_of_one_class_is_unknown() -> None:
    assert auroc(np.array([0.1]), np.array([])) is None
    assert auroc(np.array([]), np.array([0.1])) is None


@given(st.integers(1, 300).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_interval_equals_scipy(count_total: tuple[int, int]) -> None:
    count, total = count_total
    rate = binomial_rate(count, total)
    expected = binomtest(count, total).proportion_ci(0.95, method="exact")
    assert (rate.low, rate.high) == pytest.approx((expected.low, expected.high), abs=1e-9)
    assert rate.rate == count / total


def test_rate_of_nothing_says_nothing() -> None:
    rate = binomial_rate(0, 0)
    assert (rate.rate, rate.low, rate.high) == (None, 0.0, 1.0)


def test_verdicts_at_the_shipped_threshold() -> None:
    labels: list[ImageLabel] = ["ok", "ok", "ok", "nok", "nok", "nok", "nok"]
    result = evaluate_dl_model([0.1, 0.2, 0.5, 0.3, 0.5, 0.6, 0.9], labels, 0.5)
    assert result.absolute_confusion_matrix == ((2, 1), (1, 3))
    assert (result.false_rejects.count, result.false_rejects.total) == (1, 3), "a score that reaches it is nok"
    assert (result.missed.count, result.missed.total) == (1, 4)
    assert result.recall == 0.75
    assert result.precision == 0.75
    assert result.image_auroc == pytest.approx(roc_auc_score([0, 0, 0, 1, 1, 1, 1], [1, 2, 5, 3, 5, 6, 9]))
    assert (result.pixel_auroc, result.pixel_auroc_error, result.aupro, result.n_pixel_images) == (None, None, None, 0)


@pytest.mark.parametrize("score", [math.nan, math.inf])
def test_non_finite_score_is_nok_and_ranks_highest(score: float) -> None:
    result = evaluate_dl_model([0.1, score, 0.4], ["ok", "ok", "nok"], 0.9)
    assert result.absolute_confusion_matrix == ((1, 1), (1, 0))
    assert result.image_auroc == 0.5


def test_measures_without_nok_images_are_unknown() -> None:
    result = evaluate_dl_model([0.1, 0.2], ["ok", "ok"], 0.5)
    assert (result.image_auroc, result.recall, result.precision) == (None, None, None)
    assert result.false_rejects.total == 2


def test_pixel_auroc_agrees_with_scikit_learn_within_its_own_bound() -> None:
    random = np.random.default_rng(0)
    measure = PixelAuroc()
    maps, masks = [], []
    for _ in range(4):
        mask = random.random((37, 53)) < 0.05
        # Values crowd near 0.001 and near 1, where evenly spaced bins would lose the order.
        values = np.where(
            random.random((37, 53)) < 0.5, random.beta(1, 900, (37, 53)), 1 - random.beta(1, 900, (37, 53))
        )
        values = np.clip(values + mask * random.random((37, 53)) * 0.5, 0, np.float32(1) - 1e-7).astype(np.float32)
        measure.add(values, mask)
        maps.append(values.ravel())
        masks.append(mask.ravel())
    expected = roc_auc_score(np.concatenate(masks), np.concatenate(maps))
    assert measure.value is not None
    assert measure.error_bound is not None
    assert abs(measure.value - expected) <= measure.error_bound + 1e-12
    assert measure.error_bound < 1e-3
    assert measure.n_images == 4


@given(
    arrays.arrays(np.float32, (6, 7), elements=st.floats(0, 1, width=32)),
    arrays.arrays(np.bool_, (6, 7)),
)
def test_pixel_auroc_bound_always_holds(values: np.ndarray, mask: np.ndarray) -> None:
    measure = PixelAuroc()
    measure.add(values, mask)
    if mask.all() or not mask.any():
        assert measure.value is None
        assert measure.error_bound is None
        return
    expected = roc_auc_score(mask.ravel(), values.ravel())
    assert measure.value is not None
    assert measure.error_bound is not None
    assert abs(measure.value - expected) <= measure.error_bound + 1e-9


def test_pixel_auroc_counts_non_finite_pixels_as_most_anomalous() -> None:
    measure = PixelAuroc()
    measure.add(np.array([[0.1, np.nan], [np.inf, 0.2]], dtype=np.float32), np.array([[False, True], [True, False]]))
    assert measure.value == 1.0


def test_pixel_auroc_refuses_a_map_of_another_shape() -> None:
    with pytest.raises(ValueError, match="differ in shape"):
        PixelAuroc().add(np.zeros((2, 2), np.float32), np.zeros((2, 3), np.bool_))
