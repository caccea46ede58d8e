"""Scores from folds are those of other models than the one that ships: the bound is an estimate, and here it is tried out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import stats

from inspector.anomaly.detectors.padim import fit_padim
from inspector.anomaly.verdict.score import ScoreRule
from trainer.errors import CalibrationError
from trainer.thresholds.estimate import estimate_anomaly_thresholds
from trainer.thresholds.ok_only import OkOnlyParam, estimate_threshold
from trainer.thresholds.scores import CalibrationScores

FOLDS, RUNS, FRESH = 5, 150, 1000
RULE = ScoreRule(top_share=0.1)
HEIGHT, WIDTH, DIMS = 4, 4, 8


def ok_embeddings(generator: torch.Generator, n: int, *, is_varied: bool) -> torch.Tensor:
    """Ok images as a network sees them: what all positions share, what is each one's own, and perhaps varied contrast."""
    own = torch.randn(n, HEIGHT, WIDTH, DIMS, generator=generator)
    images = own + torch.randn(n, 1, 1, DIMS, generator=generator)
    return images * torch.exp(0.5 * torch.randn(n, 1, 1, 1, generator=generator)) if is_varied else images


def distances(fitted_on: torch.Tensor, images: torch.Tensor) -> NDArray[np.float64]:
    return np.asarray(RULE.apply(fit_padim(fitted_on).distances(images)).numpy())


def out_of_fold(images: torch.Tensor) -> NDArray[np.float64]:
    folds = torch.arange(len(images)) % FOLDS
    found = np.empty(len(images))
    for fold in range(FOLDS):
        found[(folds == fold).numpy()] = distances(images[folds != fold], images[folds == fold])
    return found


@pytest.mark.parametrize("is_varied", [False, True], ids=["alike", "varied"])
@pytest.mark.parametrize("n", [15, 30, 59, 120])
def test_the_model_that_ships_rejects_no_more_fresh_ok_images_than_its_folds_estimate(
    n: int, *, is_varied: bool
) -> None:
    """Folds, threshold, a fit on all images, and ok images that no model has seen: as often within the bound as stated."""
    generator = torch.Generator().manual_seed(n)
    broken = 0
    for _ in range(RUNS):
        images = ok_embeddings(generator, n, is_varied=is_varied)
        estimate = estimate_threshold(out_of_fold(images), folds=FOLDS)
        fresh = distances(images, ok_embeddings(generator, FRESH, is_varied=is_varied))
        broken += float((fresh >= estimate.distance).mean()) > estimate.false_reject_bound
    assert broken <= stats.binom.ppf(1 - 1e-4, RUNS, 1 - OkOnlyParam().confidence)


def test_scores_of_images_that_the_model_was_fitted_on_would_break_it() -> None:
    """What the folds are for, and proof that the test above can fail."""
    generator = torch.Generator().manual_seed(0)
    broken = 0
    for _ in range(RUNS):
        images = ok_embeddings(generator, 59, is_varied=False)
        estimate = estimate_threshold(distances(images, images))
        fresh = distances(images, ok_embeddings(generator, FRESH, is_varied=False))
        broken += float((fresh >= estimate.distance).mean()) > estimate.false_reject_bound
    assert broken > RUNS / 2


LOGNORMAL = np.random.default_rng(0).lognormal(0, 0.2, 200)


@pytest.mark.parametrize("n", [30, 200])
def test_only_held_out_scores_are_said_to_prove(n: int) -> None:
    held, folded = estimate_threshold(LOGNORMAL[:n]), estimate_threshold(LOGNORMAL[:n], folds=FOLDS)
    assert (held.distance, held.false_reject_bound) == (folded.distance, folded.false_reject_bound)
    assert (held.is_proven, folded.is_proven) == (True, False)
    said = " ".join([folded.explanation, *folded.warnings])
    assert "scores of models fitted on four fifths of the images" in said
    assert "The bound is an estimate" in said
    assert "prove" not in said
    assert "models fitted on" not in " ".join([held.explanation, *held.warnings])


def test_the_warning_of_folds_names_the_images_needed() -> None:
    (warning,) = estimate_threshold(LOGNORMAL[:30], OkOnlyParam(max_false_rejects=0.05), folds=FOLDS).warnings
    assert "give an estimated false-reject rate of at most 9.5\u00a0%, not the requested 5\u00a0%" in warning
    assert "collect 59 or more" in warning


@pytest.mark.parametrize(("folds", "words"), [(2, "half"), (3, "two thirds"), (4, "three quarters"), (10, "9/10")])
def test_the_share_that_the_models_of_the_folds_saw_is_named(folds: int, words: str) -> None:
    assert f"models fitted on {words} of the images" in estimate_threshold(LOGNORMAL, folds=folds).explanation


@pytest.mark.parametrize("folds", [-1, 1])
def test_a_number_of_folds_that_is_none_is_refused(folds: int) -> None:
    with pytest.raises(CalibrationError, match=f"folds is {folds}; give 2 or more, or 0 for scores of held-out images"):
        estimate_threshold(LOGNORMAL, folds=folds)


def test_computed_scores_of_folds_say_so_in_the_thresholds() -> None:
    found = estimate_anomaly_thresholds(CalibrationScores(ok=list(LOGNORMAL[:40]), folds=FOLDS))
    assert found.estimate is not None
    assert not found.estimate.is_proven
    assert found.estimate.distance == pytest.approx(estimate_threshold(LOGNORMAL[:40], OkOnlyParam()).distance)
    assert "The bound is an estimate" in found.estimate.explanation
