"""The geometry of a model: which pictures it takes, and how it is stored."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from inspector.anomaly.domain.domain import ImageDomain
from inspector.anomaly.errors import GeometryError
from inspector.anomaly.types import ImageGeometry

ONE_CAMERA = ImageGeometry(width=200, height=100, channels=1)
ANY = ImageGeometry(width=200, height=100, channels=1, rule="any")


@pytest.mark.parametrize("size", [(200, 100), (1, 1), (100, 200), (6000, 7)])
def test_any_takes_every_size_and_one_camera_its_own_aspect(size: tuple[int, int]) -> None:
    assert ANY.fits_aspect(*size)
    assert ONE_CAMERA.fits_aspect(*size) == (size == (200, 100))


def test_the_default_is_not_stored_so_that_bundles_stay_as_they_were() -> None:
    stored = {"width": 200, "height": 100, "channels": 1}
    assert ONE_CAMERA.rule == "one-camera"
    assert ONE_CAMERA.model_dump(mode="json") == stored
    assert ImageGeometry.model_validate(stored) == ONE_CAMERA
    assert ANY.model_dump(mode="json") == stored | {"rule": "any"}
    assert ImageGeometry.model_validate_json(ANY.model_dump_json()) == ANY


def test_another_word_is_no_rule() -> None:
    with pytest.raises(ValidationError, match="'one-camera' or 'any'"):
        ImageGeometry.model_validate({"width": 200, "height": 100, "channels": 1, "rule": "all"})


def test_a_domain_lies_in_pictures_of_one_camera_alone() -> None:
    domain = ImageDomain.rectangle(0, 0, 20, 10, image_width=400, image_height=200)
    ONE_CAMERA.check_domain(domain)
    for geometry in (ONE_CAMERA, ANY):
        geometry.check_domain(None)
    with pytest.raises(
        GeometryError, match=r"a domain can be used with geometry one-camera only.*leave out the domain"
    ):
        ANY.check_domain(domain)
    elsewhere = ImageDomain.rectangle(0, 0, 20, 10, image_width=200, image_height=200)
    with pytest.raises(GeometryError, match="drawn on a picture of 200 x 200 pixels, got 200 x 100"):
        ONE_CAMERA.check_domain(elsewhere)
