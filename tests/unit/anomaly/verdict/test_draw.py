from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from inspector.anomaly.errors import ParameterError
from inspector.anomaly.types import AnomalyRegion
from inspector.anomaly.verdict.draw import (
    NOK_COLOUR,
    OK_COLOUR,
    REGION_COLOUR,
    draw_region_outlines,
    heat_map_overlay,
    verdict_frame,
)
from inspector.anomaly.verdict.region import find_anomaly_region
from inspector.anomaly.verdict.runs import decode_region


def an_image(*shape: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def a_region(width: int, height: int) -> AnomalyRegion:
    scores = np.zeros((height, width), np.float32)
    scores[height // 3 : height // 2, width // 3 : width // 2] = 0.9
    region = find_anomaly_region(scores, width=width, height=height, threshold=0.5)
    assert region is not None
    return region


def colour_of(score: float, threshold: float | None) -> list[int]:
    gray = np.full((4, 4), 128, np.uint8)
    overlay = heat_map_overlay(gray, np.full((2, 2), score, np.float32), threshold=threshold)
    assert (overlay == overlay[0, 0]).all()
    return [int(v) for v in overlay[0, 0]]


@pytest.mark.parametrize("shape", [(40, 60), (40, 60, 3)])
def test_an_image_well_below_the_threshold_stays_as_it_is(shape: tuple[int, ...]) -> None:
    image = an_image(*shape)
    overlay = heat_map_overlay(image, np.full((8, 8), 0.2, np.float32), threshold=0.5)
    assert overlay.dtype == np.uint8
    np.testing.assert_array_equal(overlay, image if image.ndim == 3 else np.stack([image] * 3, axis=2))


@pytest.mark.parametrize("threshold", [0.05, 0.5, 0.93])
def test_the_threshold_has_one_colour_whatever_its_value(threshold: float) -> None:
    red, green, blue = colour_of(threshold, threshold)
    assert (red, green, blue) == pytest.approx(colour_of(0.5, 0.5), abs=3)
    assert red > green > blue  # amber
    hot = colour_of(1 - (1 - threshold) / 20, threshold)
    assert hot[0] > 128 > hot[1] + 20
    assert hot[2] < 100  # red


def test_without_a_threshold_the_neutral_one_is_taken() -> None:
    assert colour_of(0.6, None) == colour_of(0.6, 0.5)


def test_opacity_rises_towards_the_threshold_only() -> None:
    image = np.zeros((4, 4), np.uint8)
    shown = [
        int(heat_map_overlay(image, np.full((2, 2), score, np.float32), threshold=0.5).sum())
        for score in (0.3, 0.4, 0.44, 0.5)
    ]
    assert shown == sorted(shown)
    assert shown[0] == 0 < shown[1]


def test_alpha_is_how_much_of_the_image_is_hidden() -> None:
    dark, bright = np.zeros((4, 4), np.uint8), np.full((4, 4), 255, np.uint8)
    scores = np.full((2, 2), 0.9, np.float32)
    for alpha in (0.0, 0.25, 1.0):
        difference = heat_map_overlay(bright, scores, alpha=alpha).astype(int) - heat_map_overlay(
            dark, scores, alpha=alpha
        )
        np.testing.assert_allclose(difference, 255 * (1 - alpha), atol=1)


def test_values_that_are_not_finite_are_hot() -> None:
    for value in (math.nan, math.inf):
        assert colour_of(value, 0.5) == colour_of(1.0, 0.5)


def test_the_heat_is_where_the_map_says() -> None:
    image = np.full((80, 120), 90, np.uint8)
    scores = np.zeros((8, 12), np.float32)
    scores[2, 9] = 0.9
    changed = (heat_map_overlay(image, scores, threshold=0.5) != 90).any(axis=2)
    rows, columns = np.nonzero(changed)
    assert changed[25, 95]
    # The map's pixel covers rows 20 to 29 and columns 90 to 99.
    assert (rows.min() + rows.max(), columns.min() + columns.max()) == (20 + 29, 90 + 99)
    assert 8 < np.ptp(rows) < 20


@pytest.mark.parametrize("shape", [(60, 90), (60, 90, 3)])
def test_an_outline_runs_around_the_region_and_hides_none_of_it(shape: tuple[int, ...]) -> None:
    image = np.full(shape, 128, np.uint8)
    region = a_region(90, 60)
    drawn = draw_region_outlines(image, region, width=2)
    mask = decode_region(region)
    assert drawn.shape == (60, 90, 3)
    assert (image == 128).all()
    assert (drawn[mask] == 128).all()
    assert (drawn == np.array(REGION_COLOUR)).all(axis=2).sum() > 40
    rows, columns = np.nonzero((drawn != 128).any(axis=2))
    assert rows.min() >= 20 - 7
    assert columns.max() < 45 + 7


def test_an_outline_takes_its_colour_and_follows_the_size_of_the_image() -> None:
    region = a_region(90, 60)
    large = draw_region_outlines(np.zeros((600, 900), np.uint8), region, (0, 255, 0))
    inside = (large == (0, 255, 0)).all(axis=2)
    rows, columns = np.nonzero(inside)
    assert 200 - 8 <= rows.min() <= 200
    assert 300 <= rows.max() + 1 <= 300 + 8
    assert 300 - 8 <= columns.min() <= 300
    small = draw_region_outlines(np.zeros((6, 9), np.uint8), region, (0, 255, 0), 1)
    assert small.any()


@pytest.mark.parametrize("width", [1, 2, 4])
def test_an_outline_is_a_line_of_its_width_with_dark_rims_close_to_the_region(width: int) -> None:
    drawn = draw_region_outlines(np.full((60, 90), 128, np.uint8), a_region(90, 60), (0, 255, 0), width)
    above, below = drawn[:20, 37].astype(int), drawn[30:50, 37].astype(int)
    np.testing.assert_allclose(above[::-1], below, atol=16)  # edges are smoothed
    (line,) = np.nonzero(below[:, 1] - below[:, 0] > 100)
    assert len(line) in (width, width + 1)
    assert line[0] in (1, 2)
    for rim in (line[0] - 1, line[-1] + 1):
        assert below[rim].max() < 100
    assert (below[line[-1] + 4 :] == 128).all()


def test_a_line_without_a_width_suits_the_picture() -> None:
    for size, width in (((60, 90), 2), ((20, 1400), 4)):
        image, region = np.full(size, 128, np.uint8), a_region(size[1], size[0])
        np.testing.assert_array_equal(
            draw_region_outlines(image, region), draw_region_outlines(image, region, width=width)
        )


def test_every_part_of_a_region_is_outlined_and_every_hole() -> None:
    scores = np.zeros((90, 180), np.float32)
    scores[20:70, 20:70] = 0.9
    scores[35:55, 35:55] = 0
    scores[40:50, 120:130] = 0.9
    region = find_anomaly_region(scores, width=180, height=90, threshold=0.5)
    assert region is not None
    lined = (draw_region_outlines(np.zeros((90, 180), np.uint8), region, (0, 255, 0), 2) == (0, 255, 0)).all(axis=2)
    assert lined[10:20, 45].any()
    assert lined[36:45, 45].any(), "in the hole"
    assert lined[30:40, 125].any()


@pytest.mark.parametrize(("verdict", "colour"), [("ok", OK_COLOUR), ("nok", NOK_COLOUR)])
@pytest.mark.parametrize("shape", [(300, 200), (40, 40), (90, 600, 3)])
def test_the_frame_tells_the_verdict_and_keeps_the_image(
    verdict: str, colour: tuple[int, int, int], shape: tuple[int, ...]
) -> None:
    image = an_image(*shape)
    framed = verdict_frame(image, verdict)  # type: ignore[arg-type]
    breadth = (framed.shape[0] - shape[0]) // 2
    assert breadth == max(4, round(max(shape[:2]) / 60))
    assert framed.shape == (shape[0] + 2 * breadth, shape[1] + 2 * breadth, 3)
    for edge in (framed[-1], framed[:, -1]):
        assert (edge[-3:] == colour).all()
    expected = image if image.ndim == 3 else np.stack([image] * 3, axis=2)
    inside = framed[breadth:-breadth, breadth:-breadth]
    # The mark hides a corner only.
    np.testing.assert_array_equal(inside[5 * breadth :], expected[5 * breadth :])
    np.testing.assert_array_equal(inside[:, 5 * breadth :], expected[:, 5 * breadth :])


def test_the_marks_differ_by_more_than_colour() -> None:
    image = np.zeros((200, 200), np.uint8)
    ok, nok = verdict_frame(image, "ok"), verdict_frame(image, "nok")
    assert ((ok > 230).all(axis=2) != (nok > 230).all(axis=2)).any()


TICK = ((13, 7), (17, 11), (9, 18))
CROSS = ((8, 8), (8, 17), (17, 8), (17, 17), (12, 12))


@pytest.mark.parametrize(
    ("verdict", "colour", "points", "pixels"), [("ok", OK_COLOUR, TICK, 59), ("nok", NOK_COLOUR, CROSS, 83)]
)
def test_the_mark_is_a_disc_of_the_colour_with_a_white_tick_or_cross(
    verdict: str, colour: tuple[int, int, int], points: tuple[tuple[int, int], ...], pixels: int
) -> None:
    framed = verdict_frame(np.zeros((300, 300), np.uint8), verdict)  # type: ignore[arg-type]
    for row, column in ((12, 22), (22, 12), (6, 12)):
        assert (framed[row, column] == colour).all()
    assert (framed[24, 24] == 0).all(), "the picture goes on behind the disc"
    white = framed.min(axis=2) > 200
    for row, column in points:
        assert white[row, column]
    assert white.sum() == pytest.approx(pixels, rel=0.15), "thin strokes, and nothing else"
    rows, columns = np.nonzero(white)
    assert min(rows.min(), columns.min()) >= 6
    assert max(rows.max(), columns.max()) <= 20


@pytest.mark.parametrize(
    ("image", "options", "message"),
    [
        (np.zeros((4, 4), np.float32), {}, "uint8 pixels, got float32"),
        (np.zeros((0, 4), np.uint8), {}, "uint8 pixels"),
        (np.zeros((4, 4, 4), np.uint8), {}, r"got shape \(4, 4, 4\)"),
        (np.zeros((4, 4), np.uint8), {"threshold": 1.0}, "threshold must be greater than 0 and less than 1, got 1.0"),
        (np.zeros((4, 4), np.uint8), {"threshold": 0.0}, "threshold must be"),
        (np.zeros((4, 4), np.uint8), {"threshold": math.nan}, "threshold must be"),
        (np.zeros((4, 4), np.uint8), {"alpha": 1.5}, "alpha must be between 0 and 1, got 1.5"),
    ],
)
def test_refusals_of_the_overlay(image: NDArray[np.uint8], options: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        heat_map_overlay(image, np.zeros((2, 2), np.float32), **options)


def test_other_refusals() -> None:
    image = an_image(60, 90)
    with pytest.raises(ParameterError, match="width must be at least 1 pixel, got 0"):
        draw_region_outlines(image, a_region(90, 60), width=0)
    with pytest.raises(ParameterError, match="anomaly_class must be ok or nok, got 'maybe'"):
        verdict_frame(image, "maybe")  # type: ignore[arg-type]
