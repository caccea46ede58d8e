from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from trainer.errors import CalibrationError
from trainer.thresholds.ok_only import OkOnlyParam, estimate_threshold

SCORES = np.random.default_rng(0).lognormal(0, 0.2, 320)
FIVE, ONE = "5\u00a0%", "1\u00a0%"


def test_a_share_on_average_is_explained() -> None:
    found = estimate_threshold(SCORES[:80])
    assert found.explanation == (
        f"The threshold is set so that {FIVE} of ok parts are rejected on average, based on 80 scores of unseen ok "
        "images. The bound makes no assumption about the distribution of the scores."
    )
    assert not found.warnings


def test_folds_make_an_estimate_of_the_bound() -> None:
    explanation = estimate_threshold(SCORES[:80], folds=5).explanation
    assert "based on 80 scores of models fitted on four fifths of the images" in explanation
    assert explanation.endswith(
        "The bound is an estimate, because the final model is a different one, trained on all images."
    )
    seven = estimate_threshold(SCORES[:80], folds=7).explanation
    assert "based on 80 scores of models fitted on 6/7 of the images" in seven


def test_an_extrapolated_threshold_says_so_and_how_many_images_would_do() -> None:
    found = estimate_threshold(SCORES[:50], OkOnlyParam(false_rejects=0.01))
    assert "too few to observe such a small share, so the tail" in found.explanation
    assert found.warnings == (
        f"50 ok images are too few to observe a false-reject rate of {ONE}, so the threshold is extrapolated; collect 99 or more",
    )


def test_a_rate_out_of_reach_says_what_it_was_laid_for() -> None:
    (warning,) = estimate_threshold(SCORES[:39], OkOnlyParam(false_rejects=0.001)).warnings
    assert "a false-reject rate of 0.1\u00a0%: the threshold is set for 0.25\u00a0%" in warning
    assert "collect 999 or more" in warning


@pytest.mark.parametrize("n_groups", [8, 19, 20, 40])
def test_few_groups_are_warned_of_with_the_bound_that_they_support(n_groups: int) -> None:
    groups = [place % n_groups for place in range(320)]
    found = estimate_threshold(SCORES, groups=groups)
    assert (
        f"The images are of {n_groups} groups, so the bound counts groups and holds for images of other groups."
        in found.explanation
    )
    assert (found.n_groups, found.units) == (n_groups, "groups")
    assert len(found.warnings) == (n_groups < 20)
    if n_groups < 20:
        assert f"the 320 ok images used to set the thresholds come from only {n_groups} groups" in found.warnings[0]
        assert found.warnings[0].endswith("add images of more groups")


def test_few_groups_are_not_warned_of_twice() -> None:
    scores = np.exp(np.random.default_rng(0).normal(0, 0.01, 40) + np.repeat(np.linspace(0, 1, 8), 5))
    found = estimate_threshold(scores, groups=np.repeat(range(8), 5).tolist())
    assert found.is_extrapolated
    (warning,) = found.warnings
    assert "come from only 8 groups" in warning


def test_a_guarantee_is_explained() -> None:
    found = estimate_threshold(SCORES[:80], OkOnlyParam(max_false_rejects=0.05))
    assert found.explanation == (
        "The threshold is just above all but 0 of 80 scores of unseen ok images. The bound makes no assumption about "
        "the distribution of the scores."
    )


@pytest.mark.parametrize(
    ("folds", "part"), [(2, "half"), (3, "two thirds"), (4, "three quarters"), (5, "four fifths"), (6, "5/6")]
)
def test_the_part_of_the_images_that_the_models_of_folds_have_seen_is_told_in_words(folds: int, part: str) -> None:
    found = estimate_threshold(SCORES[:80], folds=folds)
    assert f"based on 80 scores of models fitted on {part} of the images" in found.explanation
    assert (found.folds, found.is_proven) == (folds, False)


def test_a_single_fold_is_refused() -> None:
    with pytest.raises(CalibrationError, match="folds is 1; give 2 or more"):
        estimate_threshold(SCORES[:80], folds=1)


@pytest.mark.parametrize(("folds", "verb"), [(0, "prove a"), (5, "give an estimated")])
@pytest.mark.parametrize(
    ("n", "asked", "mend"),
    [
        (58, {"max_false_rejects": 0.05}, "collect 59 or more"),
        (320, {"max_false_rejects": 0.05, "rule": "tail_model"}, "; use the rule order_statistic"),
    ],
)
def test_a_guarantee_that_is_not_reached_says_what_is_and_what_to_do(
    n: int, asked: dict[str, Any], mend: str, folds: int, verb: str
) -> None:
    heavy = 1 + np.random.default_rng(1).pareto(1.2, n)
    found = estimate_threshold(heavy, OkOnlyParam(**asked), folds=folds)
    (warning,) = found.warnings
    assert warning.startswith(f"{n} ok images {verb} false-reject rate of at most ")
    assert f"not the requested {FIVE}: " in warning
    assert warning.endswith(mend)
    gave_up = f"the tail model gave up {found.exceeding} of them"
    assert (gave_up in warning) == ("rule" in asked)
    assert found.explanation.endswith("trained on all images." if folds else "the distribution of the scores.")
    said = (
        "would be enough without it, but a tail model was requested:" if "rule" in asked else "are too few for a bound"
    )
    assert said in found.explanation


def test_groups_count_where_images_come_in_them() -> None:
    groups = [place % 30 for place in range(320)]
    found = estimate_threshold(SCORES, OkOnlyParam(false_rejects=0.01), groups=groups)
    assert (found.units, found.n, found.n_groups) == ("groups", 320, 30)
    alone = estimate_threshold(SCORES)
    assert (alone.units, alone.n_groups) == ("images", None)
    scores = np.exp(np.repeat(np.linspace(0, 1, 30), 10) + np.random.default_rng(0).normal(0, 0.01, 300))
    alike = estimate_threshold(scores, OkOnlyParam(false_rejects=0.01), groups=np.repeat(range(30), 10).tolist())
    (warning,) = alike.warnings
    assert warning.startswith(f"30 groups of ok images are too few to observe a false-reject rate of {ONE}")
