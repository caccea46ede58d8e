from __future__ import annotations

import pytest
import torch

from inspector.anomaly.detectors.base import Embedding
from inspector.anomaly.detectors.fine import finer_levels, fold_fine, unfold_fine
from inspector.anomaly.errors import ParameterError
from tests.distances import normal


def test_finer_levels_are_those_before_the_grid_of_smaller_stride() -> None:
    strides = [4, 8, 16, 16, 32]
    assert [strides[finer_levels(strides, at)] for at in range(5)] == [[], [4], [4, 8], [4, 8], [4, 8, 16, 16]]
    assert finer_levels((14, 14, 14), 1) == slice(0, 0), "a vision transformer has none"


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_what_is_folded_unfolds_to_the_projection_at_the_finest_resolution(memory_format: torch.memory_format) -> None:
    levels = [normal(2, 3, 8, 12), normal(2, 5, 4, 6, seed=1)]
    projection = normal(8, 7, seed=2)
    folded = torch.empty(2, 2, 3, 16 * 7)
    fold_fine([level.contiguous(memory_format=memory_format) for level in levels], projection, folded)
    repeated = levels[1].repeat_interleave(2, 2).repeat_interleave(2, 3)
    expected = torch.cat([levels[0], repeated], dim=1).permute(0, 2, 3, 1) @ projection
    torch.testing.assert_close(unfold_fine(folded, 4), expected, rtol=1e-5, atol=1e-5)


def test_an_embedding_with_a_fine_part_is_the_one_without_before_it() -> None:
    """Levels of more than twice the grid's resolution take part in the fine part alone."""
    levels = [normal(2, 3, 16, 24), normal(2, 5, 8, 12, seed=1), normal(2, 4, 4, 6, seed=2), normal(2, 6, 2, 3, seed=3)]
    projection, fine = normal(15, 7, seed=4), normal(8, 2, seed=5)
    embedded = Embedding(2, projection, fine_projection=fine)(levels)
    assert embedded.shape == (2, 4, 6, 7 + 16 * 2)
    assert torch.equal(embedded[..., :7], Embedding(1, projection)(levels[1:]))
    folded = torch.empty(2, 4, 6, 32)
    fold_fine(levels[:2], fine, folded)
    assert torch.equal(embedded[..., 7:], folded)


def test_a_fine_part_stays_with_its_embedding() -> None:
    embedding = Embedding(1, normal(9, 4), fine_projection=normal(3, 2, seed=1))
    assert set(embedding.tensors()) == {"projection", "fine_projection"}
    levels = [normal(1, 3, 4, 4), normal(1, 6, 2, 2)]
    assert torch.equal(embedding.moved(torch.device("cpu"))(levels), embedding(levels))
    assert set(Embedding(1, normal(9, 4)).tensors()) == {"projection"}


def test_levels_that_do_not_fit_are_refused() -> None:
    embedding = Embedding(1, torch.eye(9), fine_projection=normal(4, 2))
    with pytest.raises(ParameterError, match="3 channels do not fit the fine projection of 4"):
        embedding([normal(1, 3, 4, 4), normal(1, 6, 2, 2)])
    with pytest.raises(ParameterError, match=r"a level of \(5, 5\) does not fold into a grid of \(2, 2\)"):
        Embedding(1, torch.eye(9), fine_projection=normal(3, 2))([normal(1, 3, 5, 5), normal(1, 6, 2, 2)])
