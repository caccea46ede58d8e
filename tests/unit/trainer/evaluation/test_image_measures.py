from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score

from inspector.anomaly.choices import AnomalyClass
from trainer.errors import EvaluationError
from trainer.evaluation.image_measures import (
    ImageScores,
    auroc,
    average_precision,
    f1_max,
    image_scores,
    recall_at_false_rejects,
)

SCORES = st.lists(st.integers(0, 8).map(lambda n: n / 8), min_size=1, max_size=40)
EXTREMES = st.lists(st.floats(allow_nan=True, allow_infinity=True, width=64), min_size=1, max_size=12)


def parted(ok: list[float], nok: list[float]) -> ImageScores:
    return image_scores([*ok, *nok], [*["ok"] * len(ok), *["nok"] * len(nok)])  # type: ignore[list-item]


def labels_of(ok: list[float], nok: list[float]) -> list[int]:
    return [0] * len(ok) + [1] * len(nok)


@given(SCORES, SCORES)
def test_auroc_equals_scikit_learn_with_ties(ok: list[float], nok: list[float]) -> None:
    expected = roc_auc_score(labels_of(ok, nok), ok + nok)
    assert auroc(np.array(ok), np.array(nok)) == pytest.approx(expected, abs=1e-12)


@given(SCORES, SCORES)
def test_average_precision_equals_scikit_learn_with_ties(ok: list[float], nok: list[float]) -> None:
    expected = average_precision_score(labels_of(ok, nok), ok + nok)
    assert average_precision(parted(ok, nok)) == pytest.approx(expected, abs=1e-12)


@given(SCORES, SCORES)
def test_best_f1_equals_scikit_learn_and_its_threshold_reaches_it(ok: list[float], nok: list[float]) -> None:
    precision, recall, _ = precision_recall_curve(labels_of(ok, nok), ok + nok)
    expected = (2 * precision * recall / np.maximum(precision + recall, 1e-300)).max()
    best = f1_max(parted(ok, nok))
    assert best is not None
    assert best.value == pytest.approx(expected, abs=1e-12)
    assert best.value == pytest.approx(f1_at(ok, nok, best.threshold), abs=1e-12)
    lower = [score for score in ok + nok if score < best.threshold]
    assert all(f1_at(ok, nok, score) < best.value for score in lower), "of several thresholds it is the lowest"


def f1_at(ok: list[float], nok: list[float], threshold: float) -> float:
    found, rejected = sum(s >= threshold for s in nok), sum(s >= threshold for s in ok)
    return 2 * found / (found + rejected + len(nok))


@given(EXTREMES, EXTREMES)
def test_any_scores_give_measures_within_their_range(ok: list[float], nok: list[float]) -> None:
    scores = parted(ok, nok)
    ranked_ok, ranked_nok = ([s if math.isfinite(s) else math.inf for s in part] for part in (ok, nok))
    pairs = [(p > n) + (p == n) / 2 for p in ranked_nok for n in ranked_ok]
    assert auroc(scores.ok, scores.nok) == pytest.approx(sum(pairs) / len(pairs), abs=1e-12)
    precision, best = average_precision(scores), f1_max(scores)
    assert precision is not None
    assert best is not None
    assert 0 < precision <= 1
    assert 0 < best.value <= 1


@given(SCORES, SCORES, st.randoms(use_true_random=False))
def test_the_order_of_the_images_does_not_matter(ok: list[float], nok: list[float], random: object) -> None:
    images: list[tuple[float, AnomalyClass]] = [*((s, "ok") for s in ok), *((s, "nok") for s in nok)]
    random.shuffle(images)  # type: ignore[attr-defined]
    mixed = image_scores([score for score, _ in images], [label for _, label in images])
    scores = parted(ok, nok)
    assert average_precision(mixed) == average_precision(scores)
    assert f1_max(mixed) == f1_max(scores)
    assert recall_at_false_rejects(mixed, 0.1) == recall_at_false_rejects(scores, 0.1)


@pytest.mark.parametrize(("ok", "nok"), [([0.1], []), ([], [0.1]), ([], [])])
def test_one_class_alone_says_nothing(ok: list[float], nok: list[float]) -> None:
    scores = parted(ok, nok)
    assert auroc(scores.ok, scores.nok) is None
    assert average_precision(scores) is None
    assert f1_max(scores) is None
    assert recall_at_false_rejects(scores, 0.05) is None


@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf])
def test_a_score_that_is_not_finite_ranks_above_all_others(score: float) -> None:
    scores = parted([0.1, score], [0.4])
    assert auroc(scores.ok, scores.nok) == 0.5
    best = f1_max(parted([0.1, 1e300], [score]))
    assert best is not None
    assert (best.value, best.threshold) == (1.0, math.inf)


# ------------------------------------------------------------------------------------------ recall at a rate of false rejects


@given(SCORES, SCORES, st.floats(0, 0.99))
def test_recall_is_the_best_that_keeps_the_rate(ok: list[float], nok: list[float], rate: float) -> None:
    result = recall_at_false_rejects(parted(ok, nok), rate)
    assert result is not None
    assert result.false_rejects <= rate * len(ok) + 1e-6
    assert result.false_rejects == sum(s >= result.threshold for s in ok)
    assert result.recall.count == sum(s >= result.threshold for s in nok)
    for lower in (s for s in ok + nok if s < result.threshold):
        assert sum(s >= lower for s in ok) > rate * len(ok), f"{lower} rejects no more than allowed and finds more"


def test_rate_that_divides_the_images_is_used_up() -> None:
    ok = [i / 100 for i in range(60)]
    result = recall_at_false_rejects(parted(ok, [0.565, 0.575, 0.1]), 0.05)
    assert result is not None
    assert (result.false_rejects, result.n_ok) == (3, 60), "0.05 * 60 is 3, although not in float64"
    assert (result.recall.count, result.recall.total) == (2, 3)
    assert result.recall.low < 2 / 3 < result.recall.high


def test_tied_ok_images_pass_together() -> None:
    result = recall_at_false_rejects(parted([0.1] * 10 + [0.5] * 10, [0.5, 0.6]), 0.05)
    assert result is not None
    assert (result.false_rejects, result.recall.count) == (0, 1)


def test_with_few_ok_images_none_is_rejected_and_the_result_says_so() -> None:
    result = recall_at_false_rejects(parted([0.1, 0.2], [0.2, 0.3]), 0.01)
    assert result is not None
    assert (result.false_rejects, result.n_ok, result.recall.rate) == (0, 2, 0.5)


def test_ok_images_that_no_threshold_lets_pass_leave_it_unknown() -> None:
    assert recall_at_false_rejects(parted([math.nan, 0.1], [0.5]), 0.05) is None
    assert recall_at_false_rejects(parted([math.nan, 0.1], [0.5]), 0.5) is not None


@pytest.mark.parametrize("rate", [-0.1, 1.0, math.nan])
def test_impossible_rate_is_refused(rate: float) -> None:
    with pytest.raises(EvaluationError, match="rate of false rejects"):
        recall_at_false_rejects(parted([0.1], [0.2]), rate)


# -------------------------------------------------------------------------------------------------------------- refusals


def test_scores_need_a_label_each() -> None:
    with pytest.raises(EvaluationError, match="2 scores and 1 labels"):
        image_scores([0.1, 0.2], ["ok"])


def test_unknown_label_is_named() -> None:
    with pytest.raises(EvaluationError, match="'good' is neither 'ok' nor 'nok'"):
        image_scores([0.1], ["good"])  # type: ignore[list-item]
