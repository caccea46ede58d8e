from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from inspector.anomaly.domain.domain import ImageDomain
from inspector.anomaly.errors import GeometryError, ParameterError
from inspector.anomaly.preprocess.cut import check_whole, cut_image
from inspector.anomaly.preprocess.images import preprocess_images
from inspector.anomaly.preprocess.param import DLPreprocessParam, PreprocessStep, create_dl_preprocess_param
from inspector.anomaly.preprocess.samples import gen_dl_samples_from_images, preprocess_dl_samples
from inspector.anomaly.preprocess.steps import register_preprocess_step
from inspector.anomaly.preprocess.tiling import TileParam
from inspector.anomaly.types import DLSample
from tests.domains import BOX, CPU, HEIGHT, RECTANGLE, TRIANGLE, WIDTH

TILE = TileParam(width=64, height=64)
PARAM = DLPreprocessParam(image_width=64, image_height=64, tile=TILE)


def noise(height: int, width: int, *channels: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (height, width, *channels), dtype=np.uint8)


@given(st.integers(1, 200), st.integers(1, 200), st.sampled_from([(), (3,)]))
def test_tiles_laid_out_again_are_the_picture(height: int, width: int, channels: tuple[int, ...]) -> None:
    image = noise(height, width, *channels)
    picture = cut_image(image, PARAM)
    columns, rows = picture.grid
    whole = np.zeros((rows.total * 32, columns.total * 32, *channels), np.uint8)
    places = [(y, x) for y in map(rows.pixel, rows.starts) for x in map(columns.pixel, columns.starts)]
    for (y, x), tile in zip(places, picture.tiles(), strict=True):
        assert tile.shape == (64, 64, *channels)
        whole[y : y + 64, x : x + 64] = tile
    np.testing.assert_array_equal(whole[:height, :width], image)
    beyond = min(width, whole.shape[1] - width)
    np.testing.assert_array_equal(whole[:height, width : width + beyond], image[:, ::-1][:, :beyond])


def test_own_steps_see_the_whole_picture_once_before_it_is_cut() -> None:
    seen: list[tuple[int, ...]] = []

    @register_preprocess_step("test.cut", "1")
    def step(image: NDArray[np.uint8], options: dict[str, Any]) -> NDArray[np.uint8]:
        seen.append(image.shape)
        return 255 - image

    param = PARAM.model_copy(update={"preprocess_steps": (PreprocessStep(name="test.cut", version="1"),)})
    image = noise(100, 150)
    tiles = list(cut_image(image, param).tiles())
    assert seen == [(100, 150)]
    np.testing.assert_array_equal(tiles[0], 255 - image[:64, :64])


def test_only_the_box_of_a_domain_is_cut() -> None:
    param = create_dl_preprocess_param(
        image_width=64, image_height=64, domain=RECTANGLE, domain_handling="crop_domain", tile=TILE
    )
    image = noise(HEIGHT, WIDTH)
    picture = cut_image(image, param)
    np.testing.assert_array_equal(picture.seen, image[BOX.y : BOX.y + BOX.height, BOX.x : BOX.x + BOX.width])
    assert (picture.grid.columns.size, picture.grid.rows.size) == (BOX.width, BOX.height)
    with pytest.raises(GeometryError, match="another aspect"):
        cut_image(noise(HEIGHT, HEIGHT), param)


def test_a_tile_goes_through_what_a_picture_of_its_size_would() -> None:
    image = noise(64, 64, 3)
    reduced = DLPreprocessParam(image_width=32, image_height=32, normalization_type="all_channels", tile=TILE)
    (tile,) = cut_image(image, reduced).tiles()
    plain = DLPreprocessParam(image_width=32, image_height=32, normalization_type="all_channels")
    assert reduced.of_input == plain
    assert plain.of_input is plain
    found = preprocess_images([tile], reduced.of_input, CPU)
    assert found.equal(preprocess_images([image], plain, CPU))


def test_the_decoder_reduces_nothing_that_is_to_be_cut() -> None:
    assert PARAM.decode_target is None
    assert DLPreprocessParam(image_width=64, image_height=64).decode_target == (64, 64)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (
            {"image_width": 32},
            "tiles of 64x64 pixels would be distorted to the input of 32x64; give both the same aspect ratio",
        ),
        (
            {"domain": RECTANGLE, "domain_handling": "keep_domain"},
            "use crop_domain with a rectangular domain",
        ),
        (
            {"domain": TRIANGLE, "domain_handling": "crop_domain"},
            "use crop_domain with a rectangular domain",
        ),
    ],
)
def test_parameters_that_do_not_go_with_tiles_are_refused(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ParameterError, match=words):
        create_dl_preprocess_param(**dict[str, Any](image_width=64, image_height=64, tile=TILE) | values)


def test_a_picture_with_tiles_is_not_one_input() -> None:
    refusal = r"a picture becomes several inputs.*give the original pictures"
    with pytest.raises(ParameterError, match=refusal):
        preprocess_images([noise(64, 64)], PARAM, CPU)
    with pytest.raises(ParameterError, match=refusal):
        preprocess_dl_samples(gen_dl_samples_from_images([noise(64, 64)]), PARAM)
    with pytest.raises(ParameterError, match="have no tiles; set `tile`"):
        cut_image(noise(64, 64), DLPreprocessParam(image_width=64, image_height=64))


def test_a_reduced_picture_is_not_cut() -> None:
    check_whole(DLSample(noise(10, 20), 20, 10, 1), "x.png")
    with pytest.raises(
        GeometryError, match=r"x\.png was reduced to 20x10 pixels from 40x20; tiles must be cut from whole pictures"
    ):
        check_whole(DLSample(noise(10, 20), 40, 20, 1), "x.png")


def test_tiles_are_stored_only_where_there_are_any() -> None:
    plain = DLPreprocessParam(image_width=64, image_height=64)
    assert "tile" not in plain.model_dump(mode="json")
    stored = PARAM.model_dump(mode="json")
    assert stored["tile"] == {"width": 64, "height": 64, "overlap": 16}
    assert DLPreprocessParam.model_validate(stored) == PARAM
    assert plain.digest != PARAM.digest


def test_a_domains_map_is_of_its_box() -> None:
    domain = ImageDomain.rectangle(0, 0, 3000, 2000, image_width=6000, image_height=4000)
    param = create_dl_preprocess_param(
        image_width=64, image_height=64, domain=domain, domain_handling="crop_domain", tile=TILE
    )
    across, down = param.map_size(6000, 4000)
    assert across / down == pytest.approx(1.5, rel=0.01)
    assert DLPreprocessParam(image_width=64, image_height=32).map_size(6000, 4000) == (64, 32)
