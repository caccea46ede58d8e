"""The local contrast of pictures, on lines and edges whose place is known."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from inspector.anomaly.detectors.base import Embedding
from inspector.anomaly.detectors.detail import fold_detail, has_room_for_detail, local_detail
from inspector.anomaly.detectors.fine import unfold_fine
from inspector.anomaly.errors import ParameterError
from tests.distances import normal


def even(height: int = 64, width: int = 96) -> Tensor:
    """Two pictures with a little noise."""
    return 0.02 * normal(2, 3, height, width) + torch.tensor([0.0, 0.5])[:, None, None, None]


def test_a_line_stands_out_where_it_is() -> None:
    batch = even()
    batch[0, :, 20:50, 40:42] += 1.0
    detail = local_detail(batch)
    assert detail.shape == (2, 32, 48)
    assert detail.dtype == torch.float32
    assert detail[0].argmax(1)[12:24].eq(20).all()
    assert float(detail[0, 12:24, 20].min()) > 3 * float(detail[0, 12:24, 26].max())


def test_contrast_and_light_of_the_whole_picture_have_no_influence() -> None:
    batch = even()
    batch[:, :, 20:50, 40:42] += 1.0
    torch.testing.assert_close(local_detail(0.5 * batch + 0.3), local_detail(batch), rtol=0.02, atol=0.0)


def test_a_picture_has_the_detail_that_it_has_alone() -> None:
    batch = even()
    batch[1] *= 20
    torch.testing.assert_close(local_detail(batch)[:1], local_detail(batch[:1]), rtol=1e-5, atol=1e-6)


def test_where_nothing_is_there_is_no_detail() -> None:
    torch.testing.assert_close(local_detail(torch.full((1, 3, 32, 32), 0.25)), torch.ones(1, 16, 16), rtol=0, atol=1e-3)


def test_at_the_border_only_what_lies_inside_counts() -> None:
    # A ramp across: away from the border each value is the mean of its square, at the border it is not.
    ramp = torch.linspace(0, 1, 64).expand(1, 3, 64, 64)
    detail = local_detail(ramp)
    torch.testing.assert_close(detail[:, :1], detail[:, 15:16], rtol=1e-4, atol=1e-4)


def test_what_is_folded_unfolds() -> None:
    detail, folded = normal(2, 8, 12), torch.empty(2, 2, 3, 16)
    fold_detail(detail, folded)
    assert torch.equal(unfold_fine(folded, 4)[..., 0], detail)
    with pytest.raises(ParameterError, match=r"a detail of \(8, 13\) does not fold into a grid of \(2, 3\)"):
        fold_detail(normal(2, 8, 13), folded)


def test_it_fits_between_the_grid_and_levels_that_are_finer() -> None:
    assert has_room_for_detail((4, 8, 16), 2)
    assert has_room_for_detail((2, 16), 1)
    assert not has_room_for_detail((16, 32), 0), "no level is finer"
    assert not has_room_for_detail((14, 14), 1), "nor in a vision transformer"
    assert not has_room_for_detail((7, 14), 1)


def test_it_lies_behind_the_fine_part_of_an_embedding() -> None:
    levels = [normal(2, 3, 16, 24), normal(2, 6, 4, 6)]
    projection, fine, batch = normal(6, 5), normal(3, 2), normal(2, 3, 64, 96)
    embedding = Embedding(1, projection, fine_projection=fine, has_detail=True)
    embedded = embedding(levels, batch)
    assert embedded.shape == (2, 4, 6, 5 + 16 * 2 + 64)
    assert torch.equal(embedded[..., :37], Embedding(1, projection, fine_projection=fine)(levels))
    assert torch.equal(unfold_fine(embedded[..., 37:], 8)[..., 0], local_detail(batch))
    assert torch.equal(embedding.moved(torch.device("cpu"))(levels, batch), embedded)
    with pytest.raises(ParameterError, match="an embedding with detail needs the pictures"):
        embedding(levels)
