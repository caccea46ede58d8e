"""The plain decoder against pycocotools, whose coding it reads."""

from __future__ import annotations

from typing import cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pycocotools import mask as coco

from schemas import LimitExceededError, MalformedMessageError, SchemaError, decode_rle, rle_runs


def counts_of(mask: NDArray[np.uint8]) -> bytes:
    return cast("bytes", coco.encode(np.asfortranarray(mask))["counts"])


def decoded(counts: bytes, height: int, width: int) -> NDArray[np.uint8]:
    return np.frombuffer(decode_rle(counts, height, width), np.uint8).reshape(height, width)


@given(height=st.integers(1, 70), width=st.integers(1, 70), density=st.floats(0, 1), seed=st.integers(0, 2**32 - 1))
def test_decodes_what_pycocotools_encodes(height: int, width: int, density: float, seed: int) -> None:
    mask = (np.random.default_rng(seed).random((height, width)) < density).astype(np.uint8)
    np.testing.assert_array_equal(decoded(counts_of(mask), height, width), mask)


@pytest.mark.parametrize("value", [0, 1])
def test_decodes_a_mask_of_one_value(value: int) -> None:
    mask = np.full((3, 5), value, np.uint8)
    np.testing.assert_array_equal(decoded(counts_of(mask), 3, 5), mask)


def test_decodes_long_runs_and_large_falls_between_them() -> None:
    mask = np.zeros((3000, 2000), np.uint8)
    mask[:, 700:1300] = 1
    mask[5, 3] = mask[2999, 1999] = 1
    np.testing.assert_array_equal(decoded(counts_of(mask), 3000, 2000), mask)


def test_the_code_runs_down_the_columns() -> None:
    # Two background pixels, then three of the region, then one: the mask's columns are (0, 0), (1, 1), (1, 0).
    assert rle_runs(b"231") == [2, 3, 1]
    assert decode_rle(b"231", height=2, width=3) == bytes([0, 1, 1, 0, 1, 0])


@given(st.binary(max_size=40))
def test_any_bytes_give_a_mask_or_a_schema_error(counts: bytes) -> None:
    try:
        mask = decode_rle(counts, 7, 5)
    except SchemaError:
        return
    assert len(mask) == 35
    assert set(mask) <= {0, 1}


@pytest.mark.parametrize(
    ("counts", "match"),
    [
        (b"", "add up to 0"),
        (b"7", "add up to 7 pixels, but 3 x 2 makes 6"),
        (b"5", "add up to 5"),
        (b"2" + bytes([48 + 0x20]), "ends within run 1"),
        (b"2/", "bad character or number in run 1"),
        (b"2p", "bad character or number in run 1"),
        (b"O", "run 0 is negative"),
        (b"oooooooo0", "bad character or number in run 0"),
    ],
)
def test_what_is_no_code_of_this_picture_is_refused(counts: bytes, match: str) -> None:
    with pytest.raises(MalformedMessageError, match=match):
        decode_rle(counts, 2, 3)


def test_a_picture_has_pixels() -> None:
    for height, width in ((0, 3), (3, 0), (-1, -1)):
        with pytest.raises(MalformedMessageError, match="has no mask"):
            decode_rle(b"0", height, width)


def test_a_large_picture_is_refused_unread() -> None:
    assert decode_rle(b"6", 2, 3, max_pixels=6) == bytes(6)
    with pytest.raises(LimitExceededError, match="limit of 5 pixels"):
        decode_rle(b"\x00", 2, 3, max_pixels=5)
    with pytest.raises(LimitExceededError, match="limit of 64000000 pixels"):
        decode_rle(b"0", 65_535, 65_535)
