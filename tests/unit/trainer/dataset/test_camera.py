"""What the typical picture of a data set is, which images go with it, and what is said of images of any size."""

from __future__ import annotations

from typing import Any, Literal

import pytest

from inspector.anomaly.choices import GeometryRule
from inspector.anomaly.types import ImageGeometry
from trainer.dataset.camera import check_geometries, geometry_note, typical_geometry
from trainer.errors import DatasetError


def picture(width: int, height: int, channels: Literal[1, 3] = 3) -> ImageGeometry:
    return ImageGeometry(width=width, height=height, channels=channels)


CROPPED = [picture(300, 100), picture(50, 100), picture(120, 100), picture(200, 40), picture(100, 100)]


@pytest.mark.parametrize("rule", ["one-camera", "any"])
def test_the_typical_picture_has_the_median_aspect_and_the_rule(rule: GeometryRule) -> None:
    assert typical_geometry(CROPPED, rule) == ImageGeometry(width=120, height=100, channels=3, rule=rule)


def named(pictures: list[ImageGeometry]) -> list[tuple[str, ImageGeometry]]:
    return [(f"{index}.png", one) for index, one in enumerate(pictures)]


def test_images_of_another_aspect_are_refused_and_the_option_for_them_named() -> None:
    with pytest.raises(DatasetError) as caught:
        check_geometries(named(CROPPED), typical_geometry(CROPPED))
    assert "0.png (300x100), 1.png (50x100)" in str(caught.value)
    assert "a model is trained for one camera" in str(caught.value)
    assert "fit with --geometry any (geometry_rule='any')" in str(caught.value)
    check_geometries(named(CROPPED), typical_geometry(CROPPED, "any"))


@pytest.mark.parametrize(
    ("rule", "mend"),
    [("one-camera", "a model is trained on one camera"), ("any", "a model is trained on colour images alone")],
)
def test_images_of_other_channels_are_refused_whatever_the_rule(rule: GeometryRule, mend: str) -> None:
    mixed = [*CROPPED, picture(120, 100, 1)]
    with pytest.raises(DatasetError, match=f"most ok images are colour, but these are not: 5.png; .*{mend}$"):
        check_geometries(named(mixed), typical_geometry(mixed, rule))


def test_the_sizes_are_told_where_they_vary() -> None:
    assert geometry_note(CROPPED, typical_geometry(CROPPED)) is None
    assert geometry_note(CROPPED, typical_geometry(CROPPED, "any")) == (
        "images of any size and aspect, here from 50x100 to 300x100 pixels, are resized to one input size; their "
        "aspect ratio is not kept"
    )


def test_images_of_one_camera_need_no_such_rule_and_that_is_told() -> None:
    alike = [picture(200, 100), picture(400, 200), picture(203, 100)]
    assert geometry_note(alike, typical_geometry(alike)) is None
    assert "all images have the same aspect ratio, as from one camera" in (
        geometry_note(alike, typical_geometry(alike, "any")) or ""
    )


def test_a_word_that_is_no_rule_is_refused() -> None:
    word: Any = "anything"
    with pytest.raises(DatasetError, match="geometry_rule is 'anything'; give one-camera or any"):
        typical_geometry(CROPPED, word)
