from __future__ import annotations

import pytest

from trainer.settings.syntax import parse_augmentation, parse_domain, parse_score_rule
from trainer.training.augmentation import Augmentation


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10,20,30,40", (((10, 20), (40, 20), (40, 60), (10, 60)),)),
        ("0.5,0,2,1", (((0.5, 0), (2.5, 0), (2.5, 1), (0.5, 1)),)),
        ("1,2 3,4 5,0", (((1, 2), (3, 4), (5, 0)),)),
        ("1,2 3,4 5,0; 9,9 8,9 8,8", (((1, 2), (3, 4), (5, 0)), ((9, 9), (8, 9), (8, 8)))),
    ],
)
def test_domains_that_can_be_read(text: str, expected: object) -> None:
    assert parse_domain(text) == expected


@pytest.mark.parametrize(
    "text", ["", "1,2,3", "1,2,3,4,5", "1,2 3,4", "a,b,c,d", "1,2 3,4 5", "nan,0,1,1", "1,2 3,4 5,6;"]
)
def test_domains_that_cannot_are_refused_with_both_forms(text: str) -> None:
    with pytest.raises(ValueError, match=r"rectangle x,y,width,height or a polygon .* in pixels of the images"):
        parse_domain(text)


@pytest.mark.parametrize("text", ["1,2,0,4", "1,2,3,-4"])
def test_a_rectangle_without_an_area_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="a positive width and height"):
        parse_domain(text)


def test_augmentations_that_can_be_read() -> None:
    everything = "flip-horizontal, flip-vertical,rotation=5,brightness=0.1,copies=2"
    assert parse_augmentation(everything) == Augmentation(
        flip_horizontal=True, flip_vertical=True, rotation_degrees=5, brightness=0.1, copies=2
    )
    assert parse_augmentation("brightness=0.2") == Augmentation(brightness=0.2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("zoom=2", "'zoom=2' is not an augmentation"),
        ("flip-horizontal=1", "is not an augmentation"),
        ("rotation", "'rotation' is not an augmentation"),
        ("rotation=1,rotation=2", "'rotation=2' is not an augmentation, or given twice"),
        ("brightness=2", "brightness: "),
        ("rotation=x", "rotation_degrees: "),
        ("copies=3", "makes identical copies"),
        ("", "makes identical copies"),
    ],
)
def test_augmentations_that_cannot_are_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_augmentation(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("max", ("maximum", None)),
        ("top-k:0.05", ("mean_of_top", 0.05)),
        ("top-k:1", ("mean_of_top", 1.0)),
        ("std:3", ("standard_deviation", 3.0)),
        ("std:0", ("standard_deviation", 0.0)),
    ],
)
def test_score_rules_that_can_be_read(text: str, expected: object) -> None:
    assert parse_score_rule(text) == expected


@pytest.mark.parametrize(
    "text", ["", "mean", "max:1", "top-k", "top-k:0", "top-k:1.1", "std", "std:-1", "std:inf", "std:x"]
)
def test_score_rules_that_cannot_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"max, top-k:SHARE .* or std:FACTOR"):
        parse_score_rule(text)
