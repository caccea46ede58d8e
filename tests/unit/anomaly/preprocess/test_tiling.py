from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from inspector.anomaly.preprocess.tiling import MAX_MAP_PIXELS, TileParam, map_size, tile_axis, tile_grid


@st.composite
def axes(draw: st.DrawFn) -> tuple[int, int, int, int]:
    """Size of a picture's side, length of a tile, its steps, and an overlap that such a tile may have."""
    tile, steps = draw(st.integers(32, 700)), draw(st.integers(1, 32))
    return draw(st.integers(1, 20_000)), tile, steps, draw(st.integers(0, tile // 2))


@given(axes())
def test_tiles_cover_every_pixel_of_any_picture(sides: tuple[int, int, int, int]) -> None:
    size, tile, steps, overlap = sides
    axis = tile_axis(size, tile=tile, steps=steps, overlap=overlap)
    first = [axis.pixel(start) for start in axis.starts]
    assert first[0] == 0
    assert all(after <= before + tile for before, after in itertools.pairwise(first)), "there is a gap"
    assert first[-1] + tile >= size
    assert first[-1] < size, "the last tile shows nothing of the picture"
    assert axis.total * tile >= size * steps


@given(axes())
def test_neighbours_overlap_by_what_is_asked_for_and_no_tile_is_one_too_many(sides: tuple[int, int, int, int]) -> None:
    size, tile, steps, overlap = sides
    axis = tile_axis(size, tile=tile, steps=steps, overlap=overlap)
    gaps = [after - before for before, after in itertools.pairwise(axis.starts)]
    assert all(gap >= 1 for gap in gaps)
    if steps > 1:
        assert all((steps - gap) * tile >= overlap * steps for gap in gaps)
    assert max(gaps, default=0) - min(gaps, default=0) <= 1, "evenly"
    furthest = max(1, steps - -(-overlap * steps // tile))
    assert (len(axis.starts) - 1) * furthest < axis.total - steps + furthest


def test_a_picture_of_a_tiles_size_or_less_is_one_tile() -> None:
    tile = TileParam(width=256, height=128, overlap=64)
    for size in ((256, 128), (1, 1), (255, 100)):
        assert len(tile_grid(*size, tile, (8, 4))) == 1
    assert len(tile_grid(257, 128, tile, (8, 4))) == 2


def test_a_line_scan_image_and_a_large_picture_have_so_many_tiles() -> None:
    tile = TileParam(width=256, height=256)
    assert tile.overlap == 64
    assert len(tile_grid(512, 8192, tile, (8, 8))) == 3 * 43
    assert len(tile_grid(4000, 3000, tile, (8, 8))) == 21 * 16


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"width": 256, "height": 128, "overlap": 65}, "overlap must be at most half a tile, here 64 pixels, got 65"),
        ({"width": 16, "height": 128}, "greater than or equal to 32"),
        ({"width": 64, "height": 64, "overlap": -1}, "greater than or equal to 0"),
    ],
)
def test_tiles_that_are_none_are_refused(values: dict[str, int], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        TileParam.model_validate(values)


@given(st.integers(1, 100_000), st.integers(1, 100_000))
def test_a_map_is_bounded_and_has_the_aspect_of_its_picture(width: int, height: int) -> None:
    across, down = map_size(width, height)
    assert 1 <= across <= width
    assert 1 <= down <= height
    assert across * down <= MAX_MAP_PIXELS or min(across, down) == 1
    if width * height <= MAX_MAP_PIXELS:
        assert (across, down) == (width, height)
    elif min(across, down) > 10:
        assert across / down == pytest.approx(width / height, rel=0.2)
