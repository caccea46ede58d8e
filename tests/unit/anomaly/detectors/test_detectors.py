from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from inspector.anomaly.detectors import coreset
from inspector.anomaly.detectors.base import Detector, Embedding, checked, to_grid
from inspector.anomaly.detectors.coreset import draw_candidates, greedy_coreset
from inspector.anomaly.detectors.padim import PaDiM, fit_padim
from inspector.anomaly.detectors.patchcore import PatchCore, fit_patchcore
from inspector.anomaly.errors import ParameterError

CPU = torch.device("cpu")


def normal(*shape: int, seed: int = 0, offset: float = 0.0, scale: float = 1.0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * scale + offset


def as_float64(tensor: Tensor) -> NDArray[np.float64]:
    return tensor.numpy().astype(np.float64)


def nearest_distances(patches: Tensor, bank: Tensor) -> NDArray[np.float64]:
    """Brute force, in float64."""
    differences = as_float64(patches)[:, None] - as_float64(bank)[None]
    return np.asarray(np.sqrt((differences**2).sum(-1)).min(1), dtype=np.float64)


# ------------------------------------------------------------------------------------------------------------ PatchCore


@pytest.mark.parametrize(("offset", "scale"), [(0.0, 1.0), (5.0, 1.0), (20.0, 0.3), (0.0, 1e-3), (0.0, 1e3)])
@pytest.mark.parametrize("patches_in_bank", [1, 7, 500])
def test_patchcore_is_the_distance_to_the_nearest_patch(patches_in_bank: int, offset: float, scale: float) -> None:
    bank = normal(patches_in_bank, 24, offset=offset, scale=scale)
    embedded = normal(3, 5, 7, 24, seed=1, offset=offset, scale=scale)
    found = PatchCore(bank).distances(embedded)
    assert found.shape == (3, 5, 7)
    assert found.dtype == torch.float32
    expected = nearest_distances(embedded.flatten(0, 2), bank).reshape(3, 5, 7)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_the_nearest_patch_is_found_where_patches_differ_little_from_each_other(seed: int) -> None:
    """Features share a mean that is long beside what tells them apart; products of whole vectors would drown it."""
    mean = normal(1, 24, scale=30.0)
    bank, embedded = mean + normal(2000, 24, seed=seed, scale=0.03), mean + normal(1, 20, 20, 24, seed=9, scale=0.03)
    found = PatchCore(bank).distances(embedded).flatten()
    np.testing.assert_allclose(found.numpy(), nearest_distances(embedded.flatten(0, 2), bank), rtol=1e-5)


@pytest.mark.parametrize("offset", [0.0, 30.0])
def test_a_patch_of_the_bank_has_distance_exactly_0(offset: float) -> None:
    bank = normal(300, 24, offset=offset)
    found = PatchCore(bank).distances(bank.reshape(3, 10, 10, 24))
    assert float(found.abs().max()) == 0.0


def test_patchcore_takes_more_patches_than_a_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    bank, embedded = normal(40, 8), normal(2, 9, 11, 8, seed=1)
    whole = PatchCore(bank).distances(embedded)
    monkeypatch.setattr("inspector.anomaly.detectors.patchcore._CHUNK_PATCHES", 7)
    torch.testing.assert_close(PatchCore(bank).distances(embedded), whole, rtol=1e-6, atol=0)


def test_patchcore_scores_nan_as_nan_and_leaves_its_neighbours_alone() -> None:
    detector = PatchCore(normal(40, 8))
    embedded = normal(3, 4, 4, 8, seed=1)
    spoilt = embedded.clone()
    spoilt[1] = torch.nan
    found, expected = detector.distances(spoilt), detector.distances(embedded)
    assert bool(found[1].isnan().all())
    torch.testing.assert_close(found[[0, 2]], expected[[0, 2]], rtol=1e-6, atol=0)


def test_fitting_patchcore_fills_the_bank_with_patches_of_the_images() -> None:
    embedded = normal(4, 3, 5, 8)
    bank = fit_patchcore(embedded, coreset=10, seed=0).tensors()["bank"]
    assert bank.shape == (10, 8)
    patches = {tuple(patch) for patch in embedded.flatten(0, 2).tolist()}
    chosen = [tuple(patch) for patch in bank.tolist()]
    assert set(chosen) <= patches
    assert len(set(chosen)) == 10
    assert len(fit_patchcore(embedded, coreset=1000, seed=0).tensors()["bank"]) == 60


# ------------------------------------------------------------------------------------------------------------- coreset


def covering_radius(points: Tensor, chosen: Tensor) -> float:
    return float(nearest_distances(points, points[chosen]).max())


def brute_force_greedy(points: NDArray[np.float64], first: int, size: int) -> list[int]:
    chosen = [first]
    while len(chosen) < size:
        distances = np.sqrt(((points[:, None] - points[chosen][None]) ** 2).sum(-1)).min(1)
        chosen.append(int(distances.argmax()))
    return chosen


@given(seed=st.integers(0, 1000), size=st.integers(1, 19))
@settings(max_examples=20)
def test_the_coreset_is_the_greedy_choice_of_the_projected_points(seed: int, size: int) -> None:
    # One dimension more than points would need: the projection is a random matrix that the reference has to know.
    points = normal(20, 3, seed=seed)
    chosen = greedy_coreset(points, size, seed=seed)
    random = torch.Generator().manual_seed(seed)
    torch.randperm(20, generator=random)
    projection = torch.randn(3, 3, generator=random) / 3**0.5
    assert chosen.tolist() == brute_force_greedy(as_float64(points @ projection), int(chosen[0]), size)


@pytest.mark.parametrize("seed", range(3))
def test_the_coreset_covers_better_than_a_random_choice(seed: int) -> None:
    clusters = normal(12, 40, scale=8.0, seed=seed).repeat_interleave(60, 0)
    # Clusters of very different sizes: a random choice misses the small ones.
    points = torch.cat([clusters[:700:1] + normal(700, 40, seed=seed + 1), normal(3, 40, scale=30.0, seed=seed + 2)])
    greedy = covering_radius(points, greedy_coreset(points, 30, seed=seed))
    random = [
        covering_radius(points, torch.randperm(len(points), generator=torch.Generator().manual_seed(draw))[:30])
        for draw in range(10)
    ]
    assert greedy <= min(random)


@given(count=st.integers(1, 30), size=st.integers(1, 40), seed=st.integers(0, 100))
@settings(max_examples=40)
def test_the_coreset_is_of_the_size_asked_for_and_names_nothing_twice(count: int, size: int, seed: int) -> None:
    points = normal(count, 5, seed=seed)
    chosen = greedy_coreset(points, size, seed=seed)
    assert chosen.dtype == torch.int64
    assert len(set(chosen.tolist())) == len(chosen) == min(size, count)
    assert int(chosen.min()) >= 0
    assert int(chosen.max()) < count


def test_copies_of_a_patch_do_not_fill_the_coreset_before_all_others_are_in() -> None:
    distinct = normal(10, 5)
    points = torch.cat([distinct[:1].expand(200, 5), distinct])
    chosen = points[greedy_coreset(points, 10, seed=0)]
    assert len({tuple(point) for point in chosen.tolist()}) == 10


def test_the_coreset_depends_on_the_seed_alone() -> None:
    points = normal(500, 80)
    assert torch.equal(greedy_coreset(points, 50, seed=3), greedy_coreset(points, 50, seed=3))
    assert not torch.equal(greedy_coreset(points, 50, seed=3), greedy_coreset(points, 50, seed=4))


def test_only_so_many_candidates_are_considered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coreset, "MAX_CANDIDATES", 20)
    chosen = greedy_coreset(normal(100, 5), 15, seed=0)
    assert len(set(chosen.tolist())) == 15
    assert int(chosen.max()) >= 20, "the candidates are drawn from all patches"
    assert len(greedy_coreset(normal(100, 5), 30, seed=0)) == 20


def test_the_coreset_tells_how_far_it_is() -> None:
    told: list[tuple[int, int]] = []
    greedy_coreset(normal(300, 5), 200, seed=0, progress=lambda done, total: told.append((done, total)))
    assert len(told) > 2
    assert told == sorted(told)
    assert {total for _, total in told} == {200}


# --------------------------------------------------------------------------------------------------------------- PaDiM


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
        ({"embedded": normal(1, 2, 2, 4)}, "needs 2 images or more"),
        ({"embedded": normal(3, 2, 2, 4), "neighbourhood": 2}, "an odd neighbourhood"),
        ({"embedded": normal(3, 2, 2, 4), "neighbourhood": -1}, "an odd neighbourhood"),
        ({"embedded": normal(3, 2, 2, 4), "regularization": 0.0}, "a positive regularization"),
        ({"embedded": torch.ones(3, 2, 2, 4)}, "no variation to learn from: the training images are equal"),
        # Positions differ a million times as much as images do: float32 moments cannot tell.
        (
            {"embedded": normal(1, 6, 6, 8) * 1e3 + normal(9, 6, 6, 8, seed=1) * 1e-4, "neighbourhood": 1},
            "as good as equal",
        ),
        ({"embedded": normal(3, 2, 2, 4) * torch.nan}, "or not finite"),
    ],
)
def test_padim_refuses_what_it_cannot_learn_from(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        fit_padim(**arguments)


@pytest.mark.parametrize(("images", "patches"), [(0, 5), (3, 0)])
def test_patchcore_refuses_what_it_cannot_learn_from(images: int, patches: int) -> None:
    with pytest.raises(ParameterError, match=f"1 image and 1 patch or more, got {images} and {patches}"):
        fit_patchcore(torch.zeros(images, 2, 2, 4), coreset=patches, seed=0)


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
    with pytest.raises(ParameterError, match="noise of 0 or more"):
        fit_padim(normal(3, 2, 2, 4), noise=-0.1)


@given(total=st.integers(1, 500), share=st.floats(0.001, 1), most=st.integers(1, 200))
def test_candidates_are_a_share_of_the_patches_each_once(total: int, share: float, most: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("inspector.anomaly.detectors.coreset.MAX_CANDIDATES", most)
        chosen = draw_candidates(total, share=share, seed=3)
        assert torch.equal(chosen, draw_candidates(total, share=share, seed=3))
    assert len(chosen) == min(total, most, max(1, round(share * total)))
    assert sorted(set(chosen.tolist())) == chosen.tolist()
    assert 0 <= int(chosen[0]) <= int(chosen[-1]) < total


# --------------------------------------------------------------------------------------------------------------- stored


@pytest.mark.parametrize(
    "detector",
    [fit_padim(normal(6, 3, 4, 5)), fit_patchcore(normal(6, 3, 4, 5), coreset=9, seed=0)],
    ids=["padim", "patchcore"],
)
def test_a_detector_made_from_its_tensors_is_the_same(detector: PaDiM | PatchCore) -> None:
    tensors = detector.tensors()
    for tensor in tensors.values():
        assert tensor.is_contiguous()
        assert tensor.dtype == torch.float32
        assert tensor.device == CPU
    again: Detector = type(detector).from_tensors(tensors, CPU)
    embedded = normal(2, 3, 4, 5, seed=1)
    assert torch.equal(again.distances(embedded), detector.distances(embedded))
    assert all(torch.equal(again.tensors()[name], tensor) for name, tensor in tensors.items())


PADIM = {"mean": torch.zeros(2, 3, 4), "whitening": torch.zeros(2, 3, 4, 4)}


@pytest.mark.parametrize(
    ("kind", "tensors", "message"),
    [
        (PatchCore, {}, "'bank' is missing"),
        (PatchCore, {"bank": torch.zeros(4)}, "'bank' must be finite float32 of 2 dimensions"),
        (PatchCore, {"bank": torch.zeros(4, 3, dtype=torch.float64)}, "is torch.float64"),
        (PatchCore, {"bank": torch.full((4, 3), torch.inf)}, "must be finite"),
        (PatchCore, {"bank": torch.zeros(0, 3)}, "bank is empty"),
        (PaDiM, {"mean": PADIM["mean"]}, "'whitening' is missing"),
        (PaDiM, {**PADIM, "mean": torch.full((2, 3, 4), torch.nan)}, "'mean' must be finite"),
        (PaDiM, {**PADIM, "mean": torch.zeros(3, 2, 4)}, "do not fit"),
        (PaDiM, {**PADIM, "whitening": torch.ones(2, 3, 4, 4)}, "must be lower triangular"),
        (PaDiM, {**PADIM, "whitening": torch.zeros(2, 3, 4, 5)}, "do not fit"),
    ],
)
def test_tensors_that_are_not_a_detector_are_refused(
    kind: type[PaDiM | PatchCore], tensors: dict[str, Tensor], message: str
) -> None:
    with pytest.raises(ParameterError, match=message):
        kind.from_tensors(tensors, CPU)


def test_a_checked_tensor_is_returned_as_it_is() -> None:
    tensor = torch.zeros(2, 3)
    assert checked({"x": tensor}, "x", 2) is tensor


# ------------------------------------------------------------------------------------------------------------ embedding


def test_a_coarser_level_is_interpolated_and_a_finer_one_averaged() -> None:
    coarse = torch.arange(4.0).reshape(1, 1, 2, 2)
    interpolated = to_grid(coarse, (4, 4))
    assert interpolated[0, 0, 0].tolist() == pytest.approx([0.0, 0.25, 0.75, 1.0])
    assert interpolated[0, 0, :, 0].tolist() == pytest.approx([0.0, 0.5, 1.5, 2.0])
    assert to_grid(torch.arange(8.0).reshape(1, 1, 2, 4), (1, 2))[0, 0].tolist() == [[2.5, 4.5]]
    assert to_grid(coarse, (2, 2)) is coarse


@pytest.mark.parametrize("grid_level", [0, 1, 2])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_the_embedding_is_the_projection_of_all_levels_on_the_grid(
    grid_level: int, memory_format: torch.memory_format
) -> None:
    features = [normal(2, 3, 8, 12), normal(2, 4, 4, 6, seed=1), normal(2, 5, 2, 3, seed=2)]
    projection = normal(12, 7, seed=3)
    found = Embedding(grid_level, projection)([level.contiguous(memory_format=memory_format) for level in features])
    grid = features[grid_level].shape[-2:]
    assert found.shape == (2, *grid, 7)
    stacked = torch.cat([to_grid(level, grid) for level in features], dim=1).permute(0, 2, 3, 1)
    np.testing.assert_allclose(found.numpy(), as_float64(stacked) @ as_float64(projection), rtol=1e-4, atol=1e-5)


def test_a_projection_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ParameterError, match=r"a \(C, D\) matrix, got \(3,\)"):
        Embedding(0, torch.zeros(3))
    with pytest.raises(ParameterError, match="3 channels do not fit the projection of 4"):
        Embedding(0, torch.zeros(4, 2))([torch.zeros(1, 3, 2, 2)])
