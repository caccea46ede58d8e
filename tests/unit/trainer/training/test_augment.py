from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from trainer.training.augment import augment
from trainer.training.augmentation import Augmentation

PICTURE = np.random.default_rng(0).integers(40, 200, (24, 36, 3), dtype=np.uint8)


def copies(picture: NDArray[np.uint8] = PICTURE, *, seed: int = 0, index: int = 0, **values: Any) -> list[Any]:
    return augment(picture, Augmentation(**values), seed=seed, index=index)


@pytest.mark.parametrize(
    ("values", "expected"),
    [({"flip_horizontal": True}, PICTURE[:, ::-1]), ({"flip_vertical": True}, PICTURE[::-1])],
)
def test_a_flip_alone_always_flips(values: dict[str, Any], expected: NDArray[np.uint8]) -> None:
    for copy in copies(copies=5, **values):
        assert np.array_equal(copy, expected)


def test_both_flips_give_every_way_but_the_image_itself() -> None:
    ways = {copy.tobytes() for copy in copies(flip_horizontal=True, flip_vertical=True, copies=40)}
    assert ways == {np.ascontiguousarray(p).tobytes() for p in (PICTURE[::-1], PICTURE[:, ::-1], PICTURE[::-1, ::-1])}


def test_brightness_scales_all_pixels_alike_within_its_bounds() -> None:
    for copy in copies(brightness=0.2, copies=20):
        ratio = copy.astype(float) / PICTURE
        assert 0.79 < ratio.min() <= ratio.max() < 1.21
        assert ratio.std() < 0.01


def test_rotation_turns_about_the_middle_and_leaves_no_black_corner() -> None:
    bar = np.full((33, 33), 100, np.uint8)
    bar[14:19] = 250
    for copy in copies(bar, rotation_degrees=180, copies=10):
        assert copy.shape == bar.shape
        assert copy[16, 16] == 250
        assert copy.min() >= 100
    assert any(not np.array_equal(copy, bar) for copy in copies(bar, rotation_degrees=10, copies=3))


def test_gray_and_colour_keep_their_shape_and_the_picture_is_left_alone() -> None:
    before = PICTURE.copy()
    for picture in (PICTURE, PICTURE[..., 0]):
        for copy in copies(picture, flip_horizontal=True, rotation_degrees=5, brightness=0.1, copies=3):
            assert (copy.shape, copy.dtype) == (picture.shape, np.uint8)
            assert copy.flags.c_contiguous
    assert np.array_equal(PICTURE, before)


def test_seed_and_index_alone_decide() -> None:
    first = copies(rotation_degrees=9, copies=2, seed=4, index=7)
    again = copies(rotation_degrees=9, copies=2, seed=4, index=7)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], copies(rotation_degrees=9, seed=5, index=7)[0])
    assert not np.array_equal(first[0], copies(rotation_degrees=9, seed=4, index=8)[0])
    assert not np.array_equal(first[0], first[1])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "makes identical copies; add one of these"),
        ({"copies": 3}, "makes identical copies"),
        ({"rotation_degrees": 181}, "rotation_degrees"),
        ({"brightness": 1.0}, "brightness"),
        ({"flip_vertical": True, "copies": 0}, "copies"),
        ({"zoom": 2}, "zoom"),
    ],
)
def test_augmentations_that_make_no_sense_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Augmentation(**values)
