from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from inspector.anomaly.detectors.base import Detector, Embedding, checked, to_grid
from inspector.anomaly.detectors.padim import PaDiM, fit_padim
from inspector.anomaly.detectors.patchcore import PatchCore, fit_patchcore
from inspector.anomaly.errors import ParameterError
from tests.distances import as_float64, normal

CPU = torch.device("cpu")


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


@pytest.mark.parametrize("grid_level", [0, 1, 2])
def test_vectors_are_brought_to_length_1_before_the_projection(grid_level: int) -> None:
    features = [3 * normal(2, 3, 8, 12), normal(2, 4, 4, 6, seed=1) + 2, normal(2, 5, 2, 3, seed=2)]
    projection = normal(12, 7, seed=3)
    embedding = Embedding(grid_level, projection, normalization="vector")
    found = embedding(features)
    grid = features[grid_level].shape[-2:]
    parts = []
    for level in features:  # a finer level is averaged first, a coarser one interpolated last
        placed = to_grid(level, grid) if level.shape[-1] > grid[-1] else level
        parts.append(to_grid(placed / placed.square().sum(1, keepdim=True).sqrt(), grid))
    stacked = torch.cat(parts, dim=1).permute(0, 2, 3, 1)
    np.testing.assert_allclose(found.numpy(), as_float64(stacked) @ as_float64(projection), rtol=1e-4, atol=1e-5)
    # So contrast makes no difference, and a vector of zeros no NaN.
    torch.testing.assert_close(embedding([5 * level for level in features]), found, rtol=1e-5, atol=1e-6)
    assert bool((embedding([torch.zeros_like(level) for level in features]) == 0).all())
    assert embedding.moved(CPU).normalization == "vector"


def test_both_normalizations_are_the_one_beside_the_other() -> None:
    features = [normal(2, 3, 8, 12), normal(2, 4, 4, 6, seed=1)]
    projection = normal(7, 10, seed=3)
    both = Embedding(1, projection, normalization="both")
    vector, level = Embedding(1, projection[:, :5], normalization="vector"), Embedding(1, projection[:, 5:])
    assert both.part_dims == 5
    torch.testing.assert_close(both(features), torch.cat([vector(features), level(features)], dim=-1))
    with pytest.raises(ParameterError, match="the same number of dimensions, got 7"):
        Embedding(0, torch.zeros(3, 7), normalization="both")


def test_a_projection_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ParameterError, match=r"a \(C, D\) matrix, got \(3,\)"):
        Embedding(0, torch.zeros(3))
    with pytest.raises(ParameterError, match="3 channels do not fit the projection of 4"):
        Embedding(0, torch.zeros(4, 2))([torch.zeros(1, 3, 2, 2)])
