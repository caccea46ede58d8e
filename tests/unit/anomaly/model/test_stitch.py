from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from inspector.anomaly.errors import ParameterError
from inspector.anomaly.model.stitch import TiledDistances, batches_of_tiles, highest_score, joined, mapped
from inspector.anomaly.preprocess.tiling import TileGrid, TileParam, map_size, tile_grid
from inspector.anomaly.verdict.score import ScoreRule

TILE, STEPS, CELLS = 64, 4, 8
"""A tile of 64 pixels, in 4 steps of 2 positions: 8 pixels a position."""
TOP = ScoreRule(top_share=0.05)

sizes = st.integers(1, 500)
overlaps = st.integers(0, TILE // 2)


def grid_of(width: int, height: int, overlap: int = 16) -> TileGrid:
    return tile_grid(width, height, TileParam(width=TILE, height=TILE, overlap=overlap), (STEPS, STEPS))


def cut(field: torch.Tensor, grid: TileGrid) -> TiledDistances:
    """What tiles say that see all that there is to see: parts of one field."""
    places = itertools.product(grid.rows.starts, grid.columns.starts)
    return TiledDistances(grid, torch.stack([field[2 * y : 2 * y + CELLS, 2 * x : 2 * x + CELLS] for y, x in places]))


def field_of(grid: TileGrid) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(2 * grid.rows.total, 2 * grid.columns.total, generator=generator) + 0.1


@given(sizes, sizes, overlaps)
def test_a_constant_field_has_no_seams(width: int, height: int, overlap: int) -> None:
    grid = grid_of(width, height, overlap)
    tiled = TiledDistances(grid, torch.full((len(grid), CELLS, CELLS), 3.25))
    field = joined(tiled)
    torch.testing.assert_close(field, torch.full_like(field, 3.25), rtol=1e-6, atol=0)
    found = mapped(field, tiled)
    torch.testing.assert_close(found, torch.full_like(found, 3.25), rtol=1e-6, atol=0)
    assert float(highest_score(tiled, TOP)) == pytest.approx(3.25)


@given(sizes, sizes, overlaps)
def test_where_all_tiles_agree_they_are_joined_to_what_they_say(width: int, height: int, overlap: int) -> None:
    grid = grid_of(width, height, overlap)
    field = field_of(grid)
    torch.testing.assert_close(joined(cut(field, grid)), field, rtol=1e-6, atol=0)


def test_a_tile_counts_the_less_the_nearer_its_border_is() -> None:
    grid = grid_of(112, 64, overlap=16)
    assert grid.columns.starts == (0, 3)
    said = torch.stack([torch.zeros(CELLS, CELLS), torch.ones(CELLS, CELLS)])
    field = joined(TiledDistances(grid, said))
    assert field[0].tolist() == [0] * 6 + [0.25, 0.75] + [1] * 6


def test_the_score_is_that_of_the_tile_that_has_the_highest() -> None:
    grid = grid_of(400, 300)
    field = torch.ones(2 * grid.rows.total, 2 * grid.columns.total)
    field[9:11, 20:22] = 5.0  # four positions, beside which a hundredth of all are many
    tiled = cut(field, grid)
    assert float(highest_score(tiled, TOP)) == pytest.approx(5.0, rel=1e-6)
    assert float(TOP.apply(field[None])[0]) < 2


def test_the_score_is_what_the_tile_says_that_sees_a_defect_best() -> None:
    grid = grid_of(112, 64, overlap=32)
    said = torch.ones(len(grid), CELLS, CELLS)
    said[0, 2, 6:8] = 9.0  # its neighbour sees nothing there
    tiled = TiledDistances(grid, said)
    rule = ScoreRule(kind="maximum", top_share=None)
    assert float(highest_score(tiled, rule)) == 9.0
    assert 1 < float(joined(tiled).max()) < 9


@given(sizes, sizes)
def test_a_map_shows_the_part_of_the_field_that_is_the_picture(width: int, height: int) -> None:
    grid = grid_of(width, height)
    # Its value at a position is where that lies in the picture: pixels are aligned by their centres.
    down = torch.arange(2 * grid.rows.total)[:, None] * 8 + 4.0
    across = torch.arange(2 * grid.columns.total)[None] * 8 + 4.0
    for field, size, axis in ((down + 0 * across, height, 0), (0 * down + across, width, 1)):
        tiled = cut(field, grid)
        found = mapped(field, tiled)
        assert found.shape == (height, width)
        centres = (torch.arange(size) + 0.5).clamp(4.0, float(field.max()))
        torch.testing.assert_close(found[:, 0] if axis == 0 else found[0], centres, rtol=1e-5, atol=1e-4)


def test_the_map_of_a_large_picture_is_bounded_and_keeps_its_peak() -> None:
    grid = tile_grid(9504, 6336, TileParam(width=256, height=256), (8, 8))
    field = torch.zeros(2 * grid.rows.total, 2 * grid.columns.total)
    field[200, 300] = 1.0  # at (4808, 3208)
    # The map needs the grid alone.
    found = mapped(field, TiledDistances(grid, torch.zeros(1, 16, 16)))
    assert (found.shape[1], found.shape[0]) == map_size(9504, 6336)
    assert found.numel() * 4 <= 4 << 20
    row, column = divmod(int(found.argmax()), found.shape[1])
    assert math.hypot(column * 9504 / found.shape[1] - 4808, row * 6336 / found.shape[0] - 3208) < 12
    assert float(found.max()) > 0.6


def test_a_distance_that_is_none_makes_a_score_that_is_none() -> None:
    grid = grid_of(200, 64)
    tiled = cut(field_of(grid), grid)
    tiled.distances[1, 3, 3] = math.nan
    assert not math.isfinite(float(highest_score(tiled, TOP)))


def test_positions_without_a_common_grid_are_refused() -> None:
    tiled = TiledDistances(grid_of(64, 64), torch.ones(1, 7, 7))
    with pytest.raises(ParameterError, match="7 positions along a tile are not a multiple of its 4 steps"):
        joined(tiled)


def test_batches_are_bounded() -> None:
    assert [len(batch) for batch in batches_of_tiles(range(19))] == [8, 8, 3]
