from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from inspector.anomaly.detectors.padim import fit_padim
from inspector.anomaly.errors import ParameterError
from tests.distances import as_float64, normal


def mahalanobis(training: Tensor, embedded: Tensor, regularization: float) -> NDArray[np.float64]:
    """Naively, in float64: each position has its own mean and covariance."""
    images, maps = as_float64(training), as_float64(embedded)
    _, height, width, dims = images.shape
    covariances = np.array([[np.cov(images[:, y, x].T) for x in range(width)] for y in range(height)])
    variance = np.mean([np.diag(covariances[y, x]) for y in range(height) for x in range(width)])
    distances = np.empty(maps.shape[:3])
    for y in range(height):
        for x in range(width):
            inverse = np.linalg.inv(covariances[y, x] + regularization * variance * np.eye(dims))
            for image in range(len(maps)):
                difference = maps[image, y, x] - images[:, y, x].mean(0)
                distances[image, y, x] = np.sqrt(difference @ inverse @ difference)
    return distances


@pytest.mark.parametrize("offset", [0.0, 10.0, 100.0])
@pytest.mark.parametrize("images", [2, 5, 40])
@pytest.mark.parametrize("regularization", [0.01, 0.3])
def test_padim_is_the_mahalanobis_distance_of_each_position(images: int, offset: float, regularization: float) -> None:
    training = normal(images, 3, 4, 6, offset=offset) * torch.linspace(0.2, 3, 6)
    embedded = normal(3, 3, 4, 6, seed=1, offset=offset) * torch.linspace(0.2, 3, 6)
    found = fit_padim(training, neighbourhood=1, regularization=regularization).distances(embedded)
    assert found.shape == (3, 3, 4)
    assert found.dtype == torch.float32
    expected = mahalanobis(training, embedded, regularization)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5 * max(10.0, offset))


def test_padim_takes_more_positions_than_a_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    training, embedded = normal(10, 5, 5, 6), normal(2, 5, 5, 6, seed=1)
    whole = fit_padim(training).distances(embedded)
    monkeypatch.setattr("inspector.anomaly.detectors.padim._CHUNK_POSITIONS", 7)
    torch.testing.assert_close(fit_padim(training).distances(embedded), whole, rtol=1e-5, atol=0)


def test_padim_does_not_depend_on_the_scale_of_the_features() -> None:
    training, embedded = normal(10, 4, 4, 6), normal(2, 4, 4, 6, seed=1)
    small = fit_padim(training).distances(embedded)
    large = fit_padim(training * 1000).distances(embedded * 1000)
    torch.testing.assert_close(large, small, rtol=1e-4, atol=0)


def test_a_neighbourhood_forgives_a_part_that_moved_by_one_position() -> None:
    """A step edge lies at column 4 in training; one column further it is no anomaly where neighbours are learnt from."""
    ramp = torch.zeros(6, 8, 6)
    ramp[:, 4:] = 4.0
    training = ramp + normal(20, 6, 8, 6, scale=0.5)
    shifted = torch.roll(ramp, 1, dims=1)[None] + normal(1, 6, 8, 6, seed=1, scale=0.5)
    alone, neighbours = (fit_padim(training, neighbourhood=side).distances(shifted)[0, :, 4] for side in (1, 3))
    assert float(neighbours.mean()) < 0.6 * float(alone.mean())


@pytest.mark.parametrize("neighbourhood", [1, 3, 5])
def test_positions_that_are_alike_stay_alike_up_to_the_border(neighbourhood: int) -> None:
    """What lies outside the picture counts as nothing, not as zeros."""
    training = normal(12, 1, 1, 6, offset=3.0).expand(12, 5, 6, 6)
    embedded = normal(1, 1, 1, 6, seed=1, offset=3.0).expand(1, 5, 6, 6)
    found = fit_padim(training, neighbourhood=neighbourhood).distances(embedded)
    torch.testing.assert_close(found, found[0, 2, 2].expand(1, 5, 6), rtol=1e-4, atol=0)


@pytest.mark.parametrize("grid", [(1, 1), (1, 5), (2, 2)])
def test_a_neighbourhood_larger_than_the_grid_is_cut_off(grid: tuple[int, int]) -> None:
    found = fit_padim(normal(6, *grid, 4), neighbourhood=5).distances(normal(2, *grid, 4, seed=1))
    assert found.shape == (2, *grid)
    assert bool(found.isfinite().all())


def test_padim_fits_fewer_images_than_dimensions() -> None:
    found = fit_padim(normal(3, 4, 4, 64)).distances(normal(2, 4, 4, 64, seed=1))
    assert bool(found.isfinite().all())
    assert float(found.min()) > 0


def test_a_position_that_never_varies_is_fitted_too() -> None:
    """The black background of a studio: its features are equal in every picture."""
    training = normal(10, 4, 4, 6)
    training[:, 0, 0] = 7.0
    detector = fit_padim(training, neighbourhood=1)
    background = training[:1].clone()
    assert float(detector.distances(background)[0, 0, 0]) < 1e-3
    background[0, 0, 0] += 5.0
    assert float(detector.distances(background)[0, 0, 0]) > 5.0


def test_padim_scores_nan_as_nan_and_leaves_its_neighbours_alone() -> None:
    detector = fit_padim(normal(10, 4, 4, 6))
    embedded = normal(3, 4, 4, 6, seed=1)
    spoilt = embedded.clone()
    spoilt[1] = torch.nan
    found, expected = detector.distances(spoilt), detector.distances(embedded)
    assert bool(found[1].isnan().all())
    torch.testing.assert_close(found[[0, 2]], expected[[0, 2]], rtol=1e-6, atol=0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"embedded": normal(1, 2, 2, 4)}, "needs at least 2 images"),
        ({"embedded": normal(3, 2, 2, 4), "neighbourhood": 2}, "an odd neighbourhood"),
        ({"embedded": normal(3, 2, 2, 4), "neighbourhood": -1}, "an odd neighbourhood"),
        ({"embedded": normal(3, 2, 2, 4), "regularization": 0.0}, "a positive regularization"),
        ({"embedded": torch.ones(3, 2, 2, 4)}, "the training images do not vary: they are identical"),
        # Positions differ a million times as much as images do: float32 moments cannot tell.
        (
            {"embedded": normal(1, 6, 6, 8) * 1e3 + normal(9, 6, 6, 8, seed=1) * 1e-4, "neighbourhood": 1},
            "almost identical",
        ),
        ({"embedded": normal(3, 2, 2, 4) * torch.nan}, "or not finite"),
    ],
)
def test_padim_refuses_what_it_cannot_learn_from(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        fit_padim(**arguments)


def test_padim_refuses_another_grid_than_it_was_fitted_on() -> None:
    with pytest.raises(ParameterError, match=r"grid of \(2, 3\), got \(3, 2\)"):
        fit_padim(normal(3, 2, 3, 4)).distances(normal(1, 3, 2, 4))


@pytest.mark.parametrize("sizes", [[12], [1] * 12, [5, 5, 2]])
@pytest.mark.parametrize("offset", [0.0, 100.0])
def test_padim_learns_the_same_from_batches(sizes: list[int], offset: float) -> None:
    training, embedded = normal(12, 4, 5, 6, offset=offset), normal(2, 4, 5, 6, seed=1, offset=offset)
    found = fit_padim(iter(torch.split(training, sizes))).distances(embedded)
    torch.testing.assert_close(found, fit_padim(training).distances(embedded), rtol=1e-5 * max(10.0, offset), atol=0)


def test_padims_noise_is_what_many_noisy_images_would_give() -> None:
    training, embedded = normal(40, 2, 2, 4), normal(3, 2, 2, 4, seed=1)
    repeats = 500
    noisy = training.repeat(repeats, 1, 1, 1) + 0.7 * normal(40 * repeats, 2, 2, 4, seed=2)
    # Hardly any regularisation: it is relative to the variance, which the noise raises.
    expected = fit_padim(noisy, neighbourhood=1, regularization=1e-6).distances(embedded)
    found = fit_padim(training, neighbourhood=1, regularization=1e-6, noise=0.7).distances(embedded)
    torch.testing.assert_close(found, expected, rtol=0.03, atol=0.02)


def test_a_variation_is_what_many_varied_images_would_give() -> None:
    training, embedded = normal(40, 2, 2, 4), normal(3, 2, 2, 4, seed=1)
    mixing = torch.tensor([[0.9, 0.0, 0.0, 0.0], [0.5, 0.2, 0.0, 0.0], [0.0, 0.4, 0.6, 0.0], [0.3, 0.0, 0.1, 0.1]])
    repeats = 500
    varied = training.repeat(repeats, 1, 1, 1) + normal(40 * repeats, 2, 2, 4, seed=2) @ mixing.T
    expected = fit_padim(varied, neighbourhood=1, regularization=1e-6).distances(embedded)
    found = fit_padim(training, neighbourhood=1, regularization=1e-6, variation=mixing @ mixing.T).distances(embedded)
    torch.testing.assert_close(found, expected, rtol=0.03, atol=0.02)


def test_padim_refuses_a_variation_of_other_dimensions() -> None:
    with pytest.raises(ParameterError, match=r"a variation of \(5, 5\) does not fit features of 4 dimensions"):
        fit_padim(normal(3, 2, 2, 4), variation=torch.eye(5))


def test_padim_learns_nothing_from_outside_its_domain() -> None:
    mask = torch.ones(4, 6, dtype=torch.bool)
    mask[:, 4:] = False
    training, embedded = normal(12, 4, 6, 5), normal(2, 4, 6, 5, seed=1)
    strange = training.clone()
    strange[:, :, 4:] = 1000.0
    found, expected = (fit_padim(images, mask=mask).distances(embedded)[:, :, :4] for images in (strange, training))
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=0)
    assert not torch.allclose(fit_padim(strange).distances(embedded)[:, :, :4], expected, rtol=0.05)
    cropped = fit_padim(training[:, :, :4]).distances(embedded[:, :, :4])
    torch.testing.assert_close(expected, cropped, rtol=1e-4, atol=0)


def test_padim_refuses_noise_below_zero() -> None:
    with pytest.raises(ParameterError, match="noise of at least 0"):
        fit_padim(normal(3, 2, 2, 4), noise=-0.1)
