"""A domain as masks: which pixels and cells are inside, and how long a mask is kept."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from inspector.anomaly.domain.cache import KEPT_SIZES
from inspector.anomaly.domain.domain import DomainView, ImageDomain
from inspector.anomaly.domain.mask import cells_inside, pixels_inside, pixels_kept
from inspector.anomaly.domain.score import domain_mask, domain_score
from inspector.anomaly.errors import ParameterError
from inspector.anomaly.preprocess.param import create_dl_preprocess_param
from tests.domains import CPU, HEIGHT, RECTANGLE, TRIANGLE, WIDTH, a_param

whole_points = st.tuples(st.integers(0, 24), st.integers(0, 16))


@st.composite
def domains(draw: st.DrawFn) -> ImageDomain:
    polygons = draw(st.lists(st.lists(whole_points, min_size=3, max_size=6).map(tuple), min_size=1, max_size=3))
    try:
        return ImageDomain.of_polygons(polygons, image_width=24, image_height=16)
    except ParameterError:
        assume(False)
        raise


def inside(domain: ImageDomain, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Even-odd for each of the points: how many sides lie to the left of it."""
    found = np.zeros(x.shape, np.bool_)
    for polygon in domain.polygons:
        odd = np.zeros(x.shape, np.bool_)
        for (x0, y0), (x1, y1) in zip(polygon, (*polygon[1:], polygon[0]), strict=True):
            if y0 != y1:
                odd ^= ((y0 <= y) != (y1 <= y)) & (x0 + (y - y0) * (x1 - x0) / (y1 - y0) <= x)
        found |= odd
    return found


def distance(domain: ImageDomain, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """From each of the points to the nearest side."""
    nearest = np.full(x.shape, np.inf)
    for polygon in domain.polygons:
        for (x0, y0), (x1, y1) in zip(polygon, (*polygon[1:], polygon[0]), strict=True):
            across, down = x1 - x0, y1 - y0
            along = ((x - x0) * across + (y - y0) * down) / max(across**2 + down**2, 1e-9)
            along = np.clip(along, 0, 1)
            nearest = np.minimum(nearest, np.hypot(x - x0 - along * across, y - y0 - along * down))
    return nearest


@given(domain=domains(), width=st.integers(1, 40), height=st.integers(1, 40))
def test_a_pixel_is_inside_if_its_centre_is(domain: ImageDomain, width: int, height: int) -> None:
    mask = pixels_inside(domain, width, height)
    x, y = np.meshgrid((np.arange(width) + 0.5) * 24 / width, (np.arange(height) + 0.5) * 16 / height)
    is_clear = distance(domain, x, y) > 1e-6  # a centre on a side may be rounded to either
    np.testing.assert_array_equal(mask[is_clear], inside(domain, x, y)[is_clear])
    assert is_clear.mean() > 0.5 or width * height < 8


@given(domain=domains(), width=st.integers(1, 12), height=st.integers(1, 12), is_crop=st.booleans())
@settings(max_examples=60)
def test_a_cell_counts_if_any_of_its_area_is_inside(
    domain: ImageDomain, width: int, height: int, *, is_crop: bool
) -> None:
    """Wherever a fine sampling finds a point of the domain, the cell counts; and a cell with none has no area inside."""
    view = DomainView(domain, is_crop)
    mask = cells_inside(view, width, height)
    assert mask.any()
    left, top, right, bottom = view.extent
    fine = 24
    xs = left + (np.arange(width * fine) + 0.5) * (right - left) / (width * fine)
    ys = top + (np.arange(height * fine) + 0.5) * (bottom - top) / (height * fine)
    sampled = inside(domain, *np.meshgrid(xs, ys)).reshape(height, fine, width, fine).any(axis=(1, 3))
    assert not (sampled & ~mask).any()
    # Slivers may slip through the sampling: where it finds nothing, a cell that counts must have a side running through.
    for row, column in np.argwhere(mask & ~sampled):
        cell = (
            left + column * (right - left) / width,
            top + row * (bottom - top) / height,
            left + (column + 1) * (right - left) / width,
            top + (row + 1) * (bottom - top) / height,
        )
        assert runs_through(domain, cell)


def runs_through(domain: ImageDomain, cell: tuple[float, float, float, float]) -> bool:
    """True if a side of a polygon has a point in the cell, walked along in small steps, a hair's breadth allowed."""
    for polygon in domain.polygons:
        for (x0, y0), (x1, y1) in zip(polygon, (*polygon[1:], polygon[0]), strict=True):
            at = np.linspace(0, 1, 4001)
            x, y = x0 + at * (x1 - x0), y0 + at * (y1 - y0)
            near = (x >= cell[0] - 0.01) & (x <= cell[2] + 0.01) & (y >= cell[1] - 0.01) & (y <= cell[3] + 0.01)
            if near.any():
                return True
    return False


def test_cells_that_only_touch_the_domain_do_not_count() -> None:
    mask = cells_inside(DomainView(RECTANGLE, is_crop=False), WIDTH // 8, HEIGHT // 8)
    expected = np.zeros((HEIGHT // 8, WIDTH // 8), np.bool_)
    expected[2:10, 5:17] = True
    np.testing.assert_array_equal(mask, expected)


def test_masks_are_kept_and_cannot_be_written() -> None:
    mask = cells_inside(DomainView(TRIANGLE, is_crop=True), 12, 8)
    assert mask is cells_inside(DomainView(TRIANGLE, is_crop=True), 12, 8)
    for kept in (mask, pixels_inside(TRIANGLE, 12, 8)):
        with pytest.raises(ValueError, match="read-only"):
            kept[0, 0] = True


def many_domains(count: int) -> list[ImageDomain]:
    rectangles = ((3.0 + 0.01 * number, 2.0, 60.0, 40.0) for number in range(count))
    return [ImageDomain.rectangle(*box, image_width=WIDTH, image_height=HEIGHT) for box in rectangles]


def test_masks_stay_with_their_domain_however_many_cameras_there_are() -> None:
    def all_of(domain: ImageDomain) -> list[object]:
        view = DomainView(domain, is_crop=False)
        return [
            pixels_kept(domain, WIDTH, HEIGHT),
            pixels_kept(domain, WIDTH // 2, HEIGHT // 2),  # of its reduced JPEGs
            cells_inside(view, 12, 8),
            domain_score(view, (8, 12), (64, 96), CPU),
        ]

    domains = many_domains(100)
    first = [all_of(domain) for domain in domains]
    for domain, kept in zip(domains, first, strict=True):
        assert all(now is then for now, then in zip(all_of(domain), kept, strict=True))


def test_masks_end_with_their_domain() -> None:
    (domain,) = many_domains(1)
    view = DomainView(domain, is_crop=True)
    kept: list[weakref.ref[Any]] = [
        weakref.ref(pixels_kept(domain, WIDTH, HEIGHT)),
        weakref.ref(cells_inside(view, 12, 8)),
        weakref.ref(domain_score(DomainView(domain, is_crop=False), (8, 12), (64, 96), CPU)),
    ]
    assert all(value() is not None for value in kept)
    del domain, view
    gc.collect()
    assert [value() for value in kept] == [None] * 3


def test_of_many_sizes_a_few_are_kept() -> None:
    sizes = [(WIDTH + number, HEIGHT + number) for number in range(KEPT_SIZES + 1)]
    masks = [pixels_kept(TRIANGLE, *size) for size in sizes]
    again = [pixels_kept(TRIANGLE, *size) for size in reversed(sizes)][::-1]
    assert [now is then for now, then in zip(again, masks, strict=True)] == [False] + [True] * KEPT_SIZES


def test_masks_of_large_pictures_are_the_same_but_not_kept() -> None:
    large, again = (pixels_inside(TRIANGLE, 24 * WIDTH, 24 * HEIGHT) for _ in range(2))
    assert large is not again
    np.testing.assert_array_equal(large, again)
    share = large.mean()
    assert share == pytest.approx(pixels_inside(TRIANGLE, WIDTH, HEIGHT).mean(), rel=0.03)


def test_the_mask_for_training() -> None:
    assert domain_mask(create_dl_preprocess_param(image_width=96, image_height=64).view, 4, 6) is None
    assert domain_mask(a_param("crop_domain").view, 4, 6) is None  # all that is seen counts
    kept = domain_mask(a_param("keep_domain").view, 8, 12)
    assert kept is not None
    assert (kept.shape, kept.dtype, int(kept.sum())) == ((8, 12), torch.bool, 4 * 7)  # columns 2.5 to 8.5, rows 1 to 5
    kept[:] = True  # one's own
    assert not bool(domain_mask(a_param("keep_domain").view, 8, 12).all())  # type: ignore[union-attr]
    triangle = domain_mask(a_param("crop_domain", TRIANGLE).view, 2, 2)
    assert triangle is not None
    assert triangle.tolist() == [[True, True], [True, False]]
