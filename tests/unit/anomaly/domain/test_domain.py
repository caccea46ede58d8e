"""A domain as it is drawn, and the pictures that it fits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector.anomaly.domain.domain import ImageDomain, PixelBox
from inspector.anomaly.errors import GeometryError, ParameterError
from inspector.anomaly.types import ImageGeometry
from tests.domains import BOX, HEIGHT, RECTANGLE, TRIANGLE, WIDTH


@pytest.mark.parametrize(
    ("polygons", "message"),
    [
        ([], "the domain is empty; draw at least one polygon, or use full_domain"),
        ([((0, 0), (5, 5))], r"polygon 0 has 2 corner\(s\); it needs three or more"),
        ([((0, 0), (9, 0), (9, 9)), ((0, 0), (5, 5), (9, 9))], "polygon 1 covers less than one pixel"),
        ([((1, 1), (1.5, 1), (1, 1.5))], "polygon 0 covers less than one pixel; draw it around an area"),
        ([((0, 0), (11, 0), (0, 9))], r"extends beyond the picture of 10 x 10 pixels at \(11, 0\); draw it inside"),
        ([((0, 0), (9, -1), (0, 9))], "polygon 0 extends beyond the picture"),
        ([((0, 0), (float("nan"), 1), (0, 9))], "polygons.0.1.0: input should be a finite number"),
    ],
)
def test_refused_drawings(polygons: list[tuple[tuple[float, float], ...]], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        ImageDomain.of_polygons(polygons, image_width=10, image_height=10)


def test_refused_rectangles() -> None:
    with pytest.raises(ParameterError, match="polygon 0 extends beyond the picture of 64 x 48 pixels"):
        ImageDomain.rectangle(60, 0, 10, 10, image_width=64, image_height=48)
    with pytest.raises(ParameterError, match="polygon 0 covers less than one pixel"):
        ImageDomain.rectangle(10, 10, 0, 10, image_width=64, image_height=48)
    with pytest.raises(ParameterError, match="image_width: input should be greater than or equal to 1"):
        ImageDomain.rectangle(10, 10, 5, 5, image_width=0, image_height=48)


def test_a_domain_holds_for_every_scale_of_the_picture() -> None:
    assert RECTANGLE.box(WIDTH, HEIGHT) == BOX
    assert RECTANGLE.box(WIDTH * 3, HEIGHT * 3) == PixelBox(120, 48, 288, 192)
    assert RECTANGLE.box(WIDTH // 8, HEIGHT // 8) == PixelBox(5, 2, 12, 8)
    assert RECTANGLE.box(1, 1) == PixelBox(0, 0, 1, 1)
    assert (RECTANGLE.is_rectangle, TRIANGLE.is_rectangle) == (True, False)
    geometry = ImageGeometry(width=1920, height=1280, channels=3)
    assert geometry.cropped(RECTANGLE) == ImageGeometry(width=960, height=640, channels=3)
    assert geometry.cropped(None) == geometry


@given(width=st.integers(1, 3000), factor=st.sampled_from([1, 2, 4, 8]), height=st.integers(1, 3000))
def test_reduced_pictures_keep_the_aspect_and_others_are_refused(width: int, height: int, factor: int) -> None:
    domain = ImageDomain.rectangle(0, 0, width, height, image_width=width, image_height=height)
    domain.check_size(-(-width // factor), -(-height // factor))
    domain.check_size(3 * width, 3 * height)
    with pytest.raises(GeometryError, match="another aspect ratio; draw it on a picture of this camera"):
        domain.check_size(100 * width * 2, 100 * height)
