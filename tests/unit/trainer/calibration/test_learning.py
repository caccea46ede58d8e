"""Scores of folds brought to the level of a model of all images: on a known curve, and on Gaussians that really learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from inspector.anomaly.detectors.padim import fit_padim
from inspector.anomaly.verdict.score import ScoreRule
from trainer.calibration.learning import LEAST_FEWER, fewer_folds, learning_factor
from trainer.thresholds.ok_only import estimate_threshold

FOLDS, RUNS, FRESH = 5, 150, 400
RULE = ScoreRule(top_share=0.1)


@pytest.mark.parametrize("steepness", [0.0, 0.5, 3.0])
def test_on_a_curve_of_the_inverse_number_it_is_exact(steepness: float) -> None:
    images = np.random.default_rng(0).normal(2, 0.2, 24)

    def distances(learnt: int) -> NDArray[np.float64]:
        return np.exp(images + steepness / learnt)

    factor = learning_factor(distances(32), distances(16), of_folds=[32] * 24, of_fewer=16, of_all=40)
    assert factor * distances(32) == pytest.approx(distances(40))


def test_folds_of_unequal_size_count_as_they_are() -> None:
    of_folds = np.array([30] * 10 + [36] * 4)
    images = np.linspace(1, 2, 14)
    by_folds, by_fewer = np.exp(images + 2 / of_folds), np.exp(images + 2 / 16)
    factor = learning_factor(by_folds, by_fewer, of_folds=of_folds, of_fewer=16, of_all=40)
    assert np.log(factor * by_folds).mean() == pytest.approx(np.log(np.exp(images + 2 / 40)).mean())


def test_a_model_of_fewer_images_that_scores_lower_changes_nothing() -> None:
    assert learning_factor([2.0, 3.0], [1.0, 2.0], of_folds=[32, 32], of_fewer=16, of_all=40) == 1
    assert learning_factor([0.0, 2.0], [0.0, 2.0], of_folds=[32, 32], of_fewer=16, of_all=40) == 1


@pytest.mark.parametrize(
    ("images", "folds", "count"), [(40, 5, 2), (20, 5, 2), (19, 5, 2), (15, 5, 0), (60, 3, 1), (60, 2, 0)]
)
def test_too_few_folds_or_images_have_no_model_of_fewer(images: int, folds: int, count: int) -> None:
    assert fewer_folds([image % folds for image in range(images)]) == count
    assert LEAST_FEWER == 8


def embeddings(generator: torch.Generator, n: int) -> torch.Tensor:
    own = torch.randn(n, 4, 4, 8, generator=generator)
    return own + torch.randn(n, 1, 1, 8, generator=generator)


def distances(fitted_on: torch.Tensor, images: torch.Tensor) -> NDArray[np.float64]:
    return np.asarray(RULE.apply(fit_padim(fitted_on, regularization=0.2).distances(images)).numpy())


@pytest.mark.parametrize("n", [20, 40])
def test_the_model_that_ships_rejects_what_was_asked_for_with_it_and_less_without(n: int) -> None:
    generator = torch.Generator().manual_seed(n)
    realised: dict[bool, list[float]] = {True: [], False: []}
    broken = 0
    folds = torch.arange(n) % FOLDS
    for _ in range(RUNS):
        images = embeddings(generator, n)
        scores = np.empty(n)
        for fold in range(FOLDS):
            scores[(folds == fold).numpy()] = distances(images[folds != fold], images[folds == fold])
        first = folds < fewer_folds(folds.tolist())
        factor = learning_factor(
            scores[(~first).numpy()],
            distances(images[first], images[~first]),
            of_folds=[n - n // FOLDS] * int((~first).sum()),
            of_fewer=int(first.sum()),
            of_all=n,
        )
        fresh = distances(images, embeddings(generator, FRESH))
        for is_lowered in (True, False):
            found = estimate_threshold(scores * (factor if is_lowered else 1.0), folds=FOLDS)
            rate = float((fresh >= found.distance).mean())
            realised[is_lowered].append(rate)
            broken += is_lowered and rate > found.false_reject_bound
    assert 0.7 * 0.05 < np.mean(realised[True]) < 1.3 * 0.05
    assert np.mean(realised[False]) < 0.8 * np.mean(realised[True])
    assert broken <= 0.05 * RUNS
