"""The same pixels come out of every format that loses none, and nothing else ever does."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageOps

from inspector.anomaly.errors import ImageError
from inspector.anomaly.preprocess.image import ImageLimits
from tests.picture_files import COLOUR, CORPUS, GRAY, LIMITS, deep, flagged, noise, saved
from trainer.formats.decode import decode_file, read_picture_header


def refused(content: bytes, limits: ImageLimits = LIMITS) -> ImageError:
    with pytest.raises(ImageError) as caught:
        decode_file(content, limits=limits)
    return caught.value


LOSSLESS: list[tuple[str, dict[str, Any]]] = [
    ("BMP", {}),
    ("TIFF", {}),
    ("TIFF", {"compression": "tiff_lzw"}),
    ("TIFF", {"compression": "tiff_adobe_deflate"}),
    ("TIFF", {"compression": "packbits"}),
    ("PPM", {}),
    ("JPEG2000", {}),
    ("JPEG2000", {"no_jp2": True}),
    ("PNG", {}),
]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("kind", "options"), LOSSLESS)
def test_the_same_pixels_come_out_of_every_lossless_format(kind: str, options: dict[str, Any], channels: int) -> None:
    pixels = noise(37, 50, channels)
    sample, header = decode_file(saved(pixels, kind, **options), limits=LIMITS)
    np.testing.assert_array_equal(sample.image, pixels)
    assert (header.width, header.height, sample.channels) == (50, 37, channels)
    assert sample.image.flags.c_contiguous


def test_webp_is_always_colour() -> None:
    np.testing.assert_array_equal(decode_file(saved(COLOUR, "WEBP"), limits=LIMITS).sample.image, COLOUR)
    gray = decode_file(saved(GRAY, "WEBP"), limits=LIMITS).sample
    np.testing.assert_array_equal(gray.image, np.dstack([GRAY] * 3))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("suffix", [".tiff", ".pnm", ".png"])
def test_the_high_byte_of_16_bits_is_read_whatever_the_format(suffix: str, channels: int) -> None:
    pixels = noise(20, 31, channels, bits=16)
    sample, header = decode_file(deep(pixels, suffix), limits=LIMITS)
    np.testing.assert_array_equal(sample.image, (pixels >> 8).astype(np.uint8))
    assert header.bit_depth == 16


def test_a_pgm_of_12_bits_says_so_and_loses_only_the_lower_4() -> None:
    values = np.array([[4095, 16], [32, 15]], dtype=">u2")
    sample = decode_file(b"P5\n2 2\n4095\n" + values.tobytes(), limits=LIMITS).sample
    assert sample.image.tolist() == [[255, 1], [2, 0]]


def test_palettes_and_bitmaps_become_their_colours() -> None:
    palette = Image.fromarray(COLOUR).quantize(16)
    for kind in ("BMP", "TIFF"):
        found = decode_file(saved(palette, kind), limits=LIMITS).sample.image
        np.testing.assert_array_equal(found, np.asarray(palette.convert("RGB")))
    bitmap = GRAY > 127
    for kind, options in (("BMP", {}), ("TIFF", {}), ("TIFF", {"compression": "group4"}), ("PPM", {})):
        found = decode_file(saved(Image.fromarray(bitmap), kind, **options), limits=LIMITS).sample.image
        np.testing.assert_array_equal(found, np.where(bitmap, 255, 0))


def test_alpha_is_dropped_where_that_is_sure() -> None:
    image = Image.fromarray(np.dstack([COLOUR, GRAY]))
    for kind, options in (("BMP", {}), ("WEBP", {"exact": True}), ("JPEG2000", {}), ("PNG", {})):
        found = decode_file(saved(image, kind, **options), limits=LIMITS).sample.image
        np.testing.assert_array_equal(found, COLOUR)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["TIFF", "PNG", "WEBP", "JPEG"])
def test_an_orientation_flag_is_ignored_unless_it_is_asked_for(kind: str, orientation: int) -> None:
    content = flagged(COLOUR, kind, orientation)
    plain, header = decode_file(content, limits=LIMITS)
    turned = decode_file(content, apply_exif=True, limits=LIMITS).sample
    assert header.orientation == orientation
    assert (plain.image.shape, plain.orientation, turned.orientation) == ((20, 31, 3), 1, orientation)
    if kind != "JPEG":
        np.testing.assert_array_equal(plain.image, COLOUR)
    image = Image.fromarray(plain.image)
    image.getexif()[274] = orientation
    expected = np.asarray(ImageOps.exif_transpose(image))
    np.testing.assert_array_equal(turned.image, expected)
    assert (turned.original_height, turned.original_width) == expected.shape[:2]


def test_a_picture_is_turned_before_it_is_reduced() -> None:
    """An odd side leaves its last row over: the upright picture's, as if it had been saved upright."""
    content = flagged(COLOUR, "PNG", 3)
    upright = saved(np.ascontiguousarray(COLOUR[::-1, ::-1]), "PNG")
    turned = decode_file(content, target=(8, 8), apply_exif=True, limits=LIMITS).sample
    np.testing.assert_array_equal(turned.image, decode_file(upright, target=(8, 8), limits=LIMITS).sample.image)


def stacked(*pages: NDArray[np.uint8]) -> bytes:
    first, *others = [Image.fromarray(page) for page in pages]
    return saved(first, "TIFF", save_all=True, append_images=others)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"", "file is empty", id="empty"),
        pytest.param(b"GIF89a" + bytes(50), "not an image: it starts with 47 49 46", id="GIF"),
        pytest.param(stacked(GRAY, GRAY, GRAY), "TIFF has 3 pages; save the relevant one", id="pages"),
        pytest.param(
            saved(COLOUR, "WEBP", save_all=True, append_images=[Image.fromarray(255 - COLOUR)]),
            "WebP is animated",
            id="animated",
        ),
        pytest.param(saved(Image.fromarray(COLOUR).convert("RGBA"), "TIFF"), "TIFF has an alpha channel", id="alpha"),
        pytest.param(saved(Image.fromarray(COLOUR).convert("CMYK"), "TIFF"), "TIFF is CMYK", id="CMYK"),
        pytest.param(saved(GRAY.astype(np.float32), "TIFF"), "signed or fractional", id="float"),
        pytest.param(saved(GRAY.astype(np.int32), "TIFF"), "signed or fractional", id="int32"),
        pytest.param(saved(GRAY, "TIFF", big_tiff=True), "is a BigTIFF", id="BigTIFF"),
        pytest.param(saved(Image.fromarray(GRAY).convert("LA"), "JPEG2000"), "has 2 components", id="two components"),
        pytest.param(b"P5\n2 2\n1000\n" + bytes(8), "has the maximum value 1000", id="odd PGM"),
        pytest.param(b"P2\n1 1\n4095\n7\n", "12 bits a sample as text", id="deep text"),
        pytest.param(b"P5\n2 2\n15\n" + bytes(4), "PNM has 4 bits a sample", id="PGM of 4 bits"),
        pytest.param(b"P5\nx y\n255\n", "has no size", id="no size"),
        pytest.param(b"BM" + bytes(70), "header of 0 bytes", id="no BMP"),
        pytest.param(b"RIFF\x20\0\0\0WAVE" + bytes(30), "not a WebP", id="sound"),
    ],
)
def test_what_would_be_read_otherwise_than_meant_is_refused(content: bytes, message: str) -> None:
    assert message in str(refused(content))


def test_a_smaller_copy_behind_the_page_is_left_alone() -> None:
    content = bytearray(stacked(GRAY, GRAY[:10, :10]))
    first = struct.unpack_from("<I", content, 4)[0]
    second = struct.unpack_from("<I", content, first + 2 + 12 * struct.unpack_from("<H", content, first)[0])[0]
    # Its first entry becomes NewSubfileType, "a reduced copy".
    struct.pack_into("<HHII", content, second + 2, 254, 4, 1, 1)
    np.testing.assert_array_equal(decode_file(bytes(content), limits=LIMITS).sample.image, GRAY)


BOMBS = {
    "bmp": CORPUS["bmp colour"][:18] + struct.pack("<ii", 60_000, 60_000) + CORPUS["bmp colour"][26:],
    "pnm": b"P5\n60000 60000\n255\n" + bytes(100),
    "webp": CORPUS["webp"][:21] + (16_382 | 16_382 << 14).to_bytes(4, "little") + CORPUS["webp"][25:],
    "jp2": CORPUS["j2k"][:8] + struct.pack(">II", 60_000, 60_000) + CORPUS["j2k"][16:],
    "pnm within limits": b"P5\n7000 7000\n255\n" + bytes(100),
    "bmp within limits": CORPUS["bmp colour"][:18] + struct.pack("<ii", 7_000, 7_000) + CORPUS["bmp colour"][26:],
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused_by_their_headers(name: str) -> None:
    with pytest.raises(ImageError) as caught:
        read_picture_header(BOMBS[name], limits=LIMITS)
    assert caught.value.reason == ("truncated" if "within" in name else "too_large")


def test_a_tiff_that_claims_too_much_is_refused() -> None:
    content = bytearray(CORPUS["tiff lzw"])
    (at,) = struct.unpack_from("<I", content, 4)
    (count,) = struct.unpack_from("<H", content, at)
    for place in range(at + 2, at + 2 + 12 * count, 12):
        if struct.unpack_from("<H", content, place)[0] in (256, 257):
            struct.pack_into("<HI", content, place + 2, 4, 1)
            struct.pack_into("<I", content, place + 8, 60_000)
    assert refused(bytes(content)).reason == "too_large"


@pytest.mark.parametrize("name", CORPUS)
def test_limits_hold_for_every_format(name: str) -> None:
    content = CORPUS[name]
    assert refused(content, ImageLimits(max_bytes=len(content) - 1)).reason == "too_large"
    assert refused(content, ImageLimits(max_pixels=5)).reason == "too_large"


@given(st.data())
def test_a_file_that_is_cut_short_is_refused_or_ends_in_padding(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from([name for name in CORPUS if "text" not in name]))
    content = CORPUS[name]
    kept = data.draw(st.integers(0, len(content) - 1))
    try:
        found = decode_file(content[:kept], limits=LIMITS).sample.image
    except ImageError:
        return
    np.testing.assert_array_equal(found, decode_file(content, limits=LIMITS).sample.image)


@given(st.data())
def test_altered_files_give_a_picture_of_their_size_or_an_error_of_ours(data: st.DataObject) -> None:
    content = bytearray(data.draw(st.sampled_from(list(CORPUS.values()))))
    span = data.draw(st.sampled_from([64, len(content)]))
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, min(span, len(content)) - 1))] = data.draw(st.integers(0, 255))
    try:
        sample, header = decode_file(bytes(content), apply_exif=True, limits=ImageLimits(max_pixels=2_000_000))
    except ImageError:
        return
    assert sorted(sample.image.shape[:2]) == sorted((header.height, header.width))
    assert sample.image.dtype == np.uint8


@given(
    st.binary(max_size=300),
    st.sampled_from([b"BM", b"II*\0", b"MM\0*", b"RIFF", b"P5\n", b"P2 ", b"\xff\x4f\xff\x51", b""]),
)
def test_noise_behind_a_format_s_first_bytes_is_refused_by_ours(tail: bytes, start: bytes) -> None:
    try:
        decode_file(start + tail, limits=ImageLimits(max_pixels=2_000_000))
    except ImageError:
        return
