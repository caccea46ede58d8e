"""Pictures come out of the decoder as they went in, at full and at reduced scale, and raw."""

from __future__ import annotations

import struct
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from inspector.anomaly.errors import ParameterError
from inspector.anomaly.preprocess.image import (
    ImageHeader,
    ImageLimits,
    RawLayout,
    decode_image,
    decoded_bytes,
    read_image_header,
    reduction_factor,
)
from inspector.anomaly.types import PixelFormat
from tests.encoded import FULL_CHROMA, PALETTE, PROGRESSIVE, SIZES, chunk, encoded, picture, png, refused


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("parameters", [(), PROGRESSIVE], ids=["baseline", "progressive"])
def test_jpeg_of_any_size_comes_out_as_it_went_in(
    size: tuple[int, int], channels: int, parameters: tuple[int, ...]
) -> None:
    image = picture(*size, channels)
    data = encoded(image, ".jpg", cv2.IMWRITE_JPEG_QUALITY, 98, *FULL_CHROMA, *parameters)

    header = read_image_header(data)
    sample = decode_image(data)

    scans = (6 if channels == 1 else 10) if parameters == PROGRESSIVE else 1
    assert header == ImageHeader("jpeg", *size, channels, 8, is_multi_scan=scans > 1, scans=scans)
    assert (sample.original_width, sample.original_height, sample.channels) == (*size, channels)
    assert sample.image.dtype == np.uint8
    assert sample.image.shape == image.shape
    assert sample.image.flags.c_contiguous
    assert np.abs(sample.image.astype(int) - image).mean() < 6


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("channels", [1, 3])
def test_png_is_lossless(size: tuple[int, int], channels: int) -> None:
    image = picture(*size, channels)
    sample = decode_image(encoded(image, ".png"))
    np.testing.assert_array_equal(sample.image, image)
    assert sample.image.flags.c_contiguous


def test_colour_comes_out_as_rgb() -> None:
    red = np.zeros((32, 32, 3), np.uint8)
    red[..., 0] = 255
    for data in (encoded(red), encoded(red, ".png")):
        for target in (None, (16, 16), (4, 4)):
            assert decode_image(data, target=target).image[0, 0].tolist() == pytest.approx([255, 0, 0], abs=2)


def test_sixteen_bits_become_the_high_byte() -> None:
    values = np.array([[0, 0x00FF, 0x0100, 0x1234, 0xFEFF, 0xFFFF]], np.uint16)
    expected = [[0, 0, 1, 0x12, 0xFE, 0xFF]]
    from_png = decode_image(png(6, 1, 16, 0, b"\0" + values.astype(">u2").tobytes()))
    from_raw = decode_image(values.astype("<u2").tobytes(), raw=RawLayout(6, 1, "mono16"))
    assert from_png.image.tolist() == from_raw.image.tolist() == expected
    assert read_image_header(png(6, 1, 16, 0, b"\0" + values.tobytes())).bit_depth == 16
    colour = decode_image(png(1, 1, 16, 2, b"\0" + bytes([1, 255, 2, 255, 3, 255])))
    assert colour.image.tolist() == [[[1, 2, 3]]]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(png(1, 1, 8, 6, b"\0" + bytes([10, 20, 30, 0])), [[[10, 20, 30]]], id="rgba"),
        pytest.param(png(1, 1, 16, 6, b"\0" + bytes([1, 0, 2, 0, 3, 0, 0, 0])), [[[1, 2, 3]]], id="rgba16"),
        pytest.param(png(2, 1, 8, 4, b"\0" + bytes([10, 0, 20, 128])), [[10, 20]], id="gray-alpha"),
        pytest.param(png(2, 1, 8, 3, b"\0\2\1", PALETTE), [[[70, 80, 90], [40, 50, 60]]], id="palette"),
        pytest.param(
            png(2, 1, 8, 3, b"\0\0\1", PALETTE, chunk(b"tRNS", b"\0\x80")), [[[10, 20, 30], [40, 50, 60]]], id="tRNS"
        ),
        pytest.param(png(4, 1, 2, 0, b"\0\x1b"), [[0, 85, 170, 255]], id="gray2"),
        pytest.param(png(2, 1, 8, 0, b"\0\x01\x80", chunk(b"gAMA", struct.pack(">I", 100_000))), [[1, 128]], id="gAMA"),
    ],
)
def test_alpha_is_dropped_and_palettes_become_colours(data: bytes, expected: list[object]) -> None:
    sample = decode_image(data)
    assert sample.image.tolist() == expected
    assert read_image_header(data).channels == sample.channels == (1 if sample.image.ndim == 2 else 3)


def exif(orientation: int) -> bytes:
    return b"MM\0\x2a\0\0\0\x08\0\x01" + struct.pack(">HHIHH", 0x0112, 3, 1, orientation, 0) + b"\0\0\0\0"


def test_orientation_flags_are_ignored() -> None:
    image = picture(40, 24, 3)
    plain = encoded(image)
    segment = b"Exif\0\0" + exif(6)
    turned = plain[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + plain[2:]
    # The flag is one that OpenCV would follow.
    assert np.asarray(cv2.imdecode(np.frombuffer(turned, np.uint8), cv2.IMREAD_COLOR)).shape == (40, 24, 3)
    for target in (None, (10, 6)):
        np.testing.assert_array_equal(
            decode_image(turned, target=target).image, decode_image(plain, target=target).image
        )
    rows = b"".join(b"\0" + row.tobytes() for row in image)
    turned_png = png(40, 24, 8, 2, rows, chunk(b"eXIf", exif(6)))
    np.testing.assert_array_equal(decode_image(turned_png).image, image)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("factor", [2, 4, 8])
@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_reducing_gives_exactly_the_rounded_up_size(
    size: tuple[int, int], channels: int, factor: int, suffix: str
) -> None:
    data = encoded(picture(*size, channels), suffix)
    target = (-(-size[0] // factor), -(-size[1] // factor))
    actual = reduction_factor(*size, target)  # a tiny side may allow a larger one
    assert actual >= factor
    width, height = -(-size[0] // actual), -(-size[1] // actual)
    sample = decode_image(data, target=target)
    assert sample.image.shape == (height, width, 3)[: sample.image.ndim]
    assert (sample.original_width, sample.original_height) == size


def means(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Of each 2 x 2 pixels, or of those that are there."""
    height, width = image.shape[:2]
    blocks = [
        [image[y : y + 2, x : x + 2].astype(np.float64).mean((0, 1)) for x in range(0, width, 2)]
        for y in range(0, height, 2)
    ]
    return np.array(blocks)


@pytest.mark.parametrize("size", [(5, 4), (4, 7), (13, 31), (64, 48), (257, 8)])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_pixel_of_a_halved_picture_is_the_mean_of_those_that_it_stands_for(
    size: tuple[int, int], channels: int
) -> None:
    width, height = size
    image = np.random.default_rng(0).integers(0, 256, (height, width, channels), np.uint8).squeeze()
    halved = decode_image(encoded(image, ".png"), target=(-(-width // 2), -(-height // 2))).image
    assert np.abs(halved - means(image)).max() <= 0.5


@pytest.mark.parametrize("size", [(128, 96), (127, 131), (257, 80), (640, 512)])
@pytest.mark.parametrize("target", [(64, 48), (16, 12), (30, 20), None])
@pytest.mark.parametrize("parameters", [(), PROGRESSIVE, FULL_CHROMA], ids=["baseline", "progressive", "4:4:4"])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_same_pixels_come_out_alike_whatever_their_encoding(
    size: tuple[int, int], target: tuple[int, int] | None, parameters: tuple[int, ...], channels: int
) -> None:
    """To the bit: a model that was trained on JPEG judges a raw frame as it judges the JPEG of these pixels."""
    jpeg = encoded(picture(*size, channels), ".jpg", *parameters)
    pixels = decode_image(jpeg).image
    expected = decode_image(jpeg, target=target)
    factor = reduction_factor(*size, target)
    assert expected.image.shape[:2] == (-(-size[1] // factor), -(-size[0] // factor))
    assert (expected.original_width, expected.original_height) == size
    raws: dict[PixelFormat, NDArray[Any]] = (
        {"mono8": pixels, "mono16": pixels.astype("<u2") << 8 | 7}
        if channels == 1
        else {"rgb8": pixels, "bgr8": pixels[..., ::-1]}
    )
    found = [decode_image(encoded(pixels, ".png"), target=target)]
    found += [decode_image(raw.tobytes(), raw=RawLayout(*size, name), target=target) for name, raw in raws.items()]
    for sample in found:
        np.testing.assert_array_equal(sample.image, expected.image)
        assert (sample.original_width, sample.original_height, sample.channels) == (*size, channels)
        assert sample.image.flags.c_contiguous


@given(
    width=st.integers(1, 5000),
    height=st.integers(1, 5000),
    target=st.tuples(st.integers(1, 1024), st.integers(1, 1024)),
    margin=st.floats(1, 8),
)
def test_reduction_is_the_largest_that_leaves_enough(
    width: int, height: int, target: tuple[int, int], margin: float
) -> None:
    def leaves_enough(factor: int) -> bool:
        return -(-width // factor) >= target[0] * margin and -(-height // factor) >= target[1] * margin

    factor = reduction_factor(width, height, target, margin=margin)
    assert factor == 1 or leaves_enough(factor)
    assert all(not leaves_enough(larger) for larger in (2, 4, 8) if larger > factor)
    assert reduction_factor(width, height, None) == 1


def test_margin_reaches_the_decoder_and_the_bound() -> None:
    data = encoded(picture(256, 256, 1))
    assert decode_image(data, target=(128, 128)).image.shape == (128, 128)
    assert decode_image(data, target=(128, 128), margin=1.5).image.shape == (256, 256)
    raw = RawLayout(256, 256, "mono8").header
    assert decoded_bytes(raw, target=(128, 128), margin=1.5) == decoded_bytes(raw, target=None)
    assert decoded_bytes(raw, target=(128, 128)) > decoded_bytes(raw, target=None)


def test_decoded_bytes_counts_the_decoder_too() -> None:
    assert decoded_bytes(ImageHeader("raw", 100, 50, 3, 8), target=None) == 15_000
    assert decoded_bytes(ImageHeader("raw", 101, 50, 1, 8), target=(1, 1)) == 101 * 50 + 51 * 25
    # OpenCV's picture and numpy's copy of it.
    assert decoded_bytes(ImageHeader("png", 100, 50, 3, 16), target=(1, 1)) == 30_000
    assert decoded_bytes(ImageHeader("jpeg", 101, 50, 1, 8), target=(50, 25)) == 2 * 101 * 50
    # A progressive JPEG holds all coefficients, two bytes each.
    assert decoded_bytes(ImageHeader("jpeg", 800, 800, 3, 8, is_multi_scan=True), target=(100, 100)) > 2 * 800 * 800 * 3


@pytest.mark.parametrize("pixel_format", ["mono8", "rgb8", "bgr8"])
def test_raw_pixels_come_out_as_gray_or_rgb(pixel_format: PixelFormat) -> None:
    layout = RawLayout(5, 3, pixel_format)
    data = bytes(range(layout.num_bytes))
    sample = decode_image(data, encoding="raw", raw=layout)
    expected = np.frombuffer(data, np.uint8).reshape((3, 5) if pixel_format == "mono8" else (3, 5, 3))
    if pixel_format == "bgr8":
        expected = expected[..., ::-1]
    np.testing.assert_array_equal(sample.image, expected)
    assert sample.image.flags.c_contiguous
    assert (sample.original_width, sample.original_height, sample.channels) == (5, 3, layout.channels)


def test_raw_pixels_are_not_copied_without_need() -> None:
    data = bytes(12)
    for layout in (RawLayout(4, 3, "mono8"), RawLayout(2, 2, "rgb8")):
        assert np.shares_memory(decode_image(data, raw=layout).image, np.frombuffer(data, np.uint8))


def test_raw_refusals() -> None:
    layout = RawLayout(4, 3, "mono16")
    assert refused(b"", raw=layout).reason == "empty"
    assert refused(bytes(23), raw=layout).reason == "truncated"
    assert refused(bytes(25), raw=layout).reason == "corrupt"
    assert refused(bytes(24), encoding="raw").reason == "corrupt"
    assert refused(bytes(24), encoding="png", raw=layout).reason == "corrupt"
    assert refused(bytes(24), raw=layout, limits=ImageLimits(max_bytes=23)).reason == "too_large"
    assert refused(bytes(24), raw=layout, limits=ImageLimits(max_pixels=11)).reason == "too_large"
    assert refused(b"\0", raw=RawLayout(0, 3, "mono8")).reason == "corrupt"
    assert refused(b"\0", raw=RawLayout(-1, -1, "mono8")).reason == "corrupt"
    with pytest.raises(ParameterError, match="mono8, mono16, rgb8, bgr8, got 'bayer'"):
        RawLayout(4, 3, "bayer")  # type: ignore[arg-type]
