from __future__ import annotations

import pytest

from inspector.anomaly.domain.domain import ImageDomain
from inspector.anomaly.preprocess.param import DLPreprocessParam
from inspector.anomaly.preprocess.tiling import TileParam
from inspector.anomaly.types import ImageGeometry
from trainer.training.network import default_input_size
from trainer.workflow.remarks import notes_of_reduction

PARAM = DLPreprocessParam(image_width=352, image_height=256)


def geometry(width: int, height: int) -> ImageGeometry:
    return ImageGeometry(width=width, height=height, channels=3)


def test_much_larger_images_get_a_note_with_the_smallest_defect_that_the_input_shows() -> None:
    (note,) = notes_of_reduction(PARAM, geometry(9504, 6336))
    assert "an image of 9504x6336 pixels is reduced by a factor of 27 to the model's input of 352x256" in note
    assert "a defect of less than about 160 pixels across can hardly be seen" in note
    assert "--width and --height" in note


@pytest.mark.parametrize(("width", "height"), [(352, 256), (100, 80), (1408, 1024)])
def test_images_of_a_usual_size_get_none(width: int, height: int) -> None:
    assert notes_of_reduction(PARAM, geometry(width, height)) == ()


@pytest.mark.parametrize(("width", "height"), [(1409, 1024), (1408, 1025), (512, 8192)])
def test_the_side_that_is_reduced_more_decides(width: int, height: int) -> None:
    assert len(notes_of_reduction(PARAM, geometry(width, height))) == 1


def test_a_long_image_of_one_camera_is_squeezed_and_that_is_said() -> None:
    long = geometry(512, 8192)
    width, height = default_input_size(long)
    (note,) = notes_of_reduction(DLPreprocessParam(image_width=width, image_height=height), long)
    assert "512x8192 pixels is reduced by factors of 2 across and 8 down to the model's input of 256x1024" in note
    assert "less than about 48 pixels across" in note


def test_tiles_are_the_mend_and_what_the_model_sees() -> None:
    assert notes_of_reduction(PARAM, geometry(9504, 6336))[0].endswith("or cut the images into tiles (--tile)")
    square = DLPreprocessParam(image_width=256, image_height=256, tile=TileParam(width=256, height=256))
    assert notes_of_reduction(square, geometry(9504, 6336)) == ()
    (note,) = notes_of_reduction(
        square.model_copy(update={"tile": TileParam(width=2048, height=2048)}), geometry(9504, 6336)
    )
    assert "a tile of 2048x2048 pixels is reduced by a factor of 8" in note
    assert note.endswith("or smaller tiles")


def test_only_what_the_model_sees_counts() -> None:
    domain = ImageDomain.rectangle(0, 0, 352, 256, image_width=4000, image_height=3000)
    cropped = PARAM.model_copy(update={"domain": domain, "domain_handling": "crop_domain"})
    assert notes_of_reduction(cropped, geometry(4000, 3000)) == ()
    whole = PARAM.model_copy(update={"domain": domain, "domain_handling": "keep_domain"})
    assert "an image of 4000x3000" in notes_of_reduction(whole, geometry(4000, 3000))[0]
    wide = ImageDomain.rectangle(0, 0, 3520, 256, image_width=4000, image_height=3000)
    (note,) = notes_of_reduction(cropped.model_copy(update={"domain": wide}), geometry(4000, 3000))
    assert "the domain of 3520x256 pixels is reduced by factors of 10 across and 1 down" in note
