"""Small pictures that take long to decode: each is one that the decoder would take, and is refused before."""

from __future__ import annotations

import struct
import zlib
from typing import Any

import cv2
import numpy as np
import pytest

from inspector.anomaly.errors import ImageError
from inspector.anomaly.preprocess import png_pixels
from inspector.anomaly.preprocess.image import ImageLimits, decode_image, decoding_passes, read_image_header
from inspector.anomaly.preprocess.png_pixels import SLACK_BYTES, SMALL_BYTES, check_png_pixels
from tests.encoded import PROGRESSIVE, chunk, encoded, picture, png, refused, scan_bomb


def taken_by_opencv(data: bytes) -> bool:
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) is not None


def test_a_jpeg_of_many_scans_is_refused_though_the_decoder_would_take_it() -> None:
    bomb = scan_bomb(32, 32, scans=3000)
    assert taken_by_opencv(bomb)
    assert len(bomb) < 200_000
    with pytest.raises(ImageError, match="JPEG with 3000 scans exceeds the limit of 64 scans") as caught:
        read_image_header(bomb)
    assert caught.value.reason == "too_large"
    assert refused(bomb).reason == "too_large"


@pytest.mark.parametrize("channels", [1, 3])
def test_scans_are_counted_exactly(channels: int) -> None:
    for scans in (20, 64, 65):
        data = scan_bomb(40, 24, scans=scans, channels=channels)
        assert read_image_header(data, limits=ImageLimits(max_scans=scans)).scans == scans
        with pytest.raises(ImageError):
            read_image_header(data, limits=ImageLimits(max_scans=scans - 1))
        assert decode_image(data, limits=ImageLimits(max_scans=scans)).image.shape[:2] == (24, 40)


def test_a_baseline_jpeg_may_hold_no_second_scan_so_none_is_looked_for() -> None:
    """Its decoder stops at the second; and what looks like one, behind the end, is nobody's."""
    data = encoded(picture(40, 24, 3))
    scan = data[data.index(b"\xff\xda") : -2]
    assert read_image_header(data[:-2] + scan * 100 + data[-2:]).scans == 1


def test_a_jpeg_in_planes_counts_its_scans() -> None:
    """Three scans of one component each, as some encoders write a baseline picture."""
    data = encoded(picture(16, 16, 3))
    at = data.index(b"\xff\xda")
    planes = data[:at] + b"\xff\xda\0\x08\x01\x01\0\0\x3f\0" + data[at + 14 : -2]
    header = read_image_header(planes + b"\xff\xda" * 2 + data[-2:])
    assert (header.is_multi_scan, header.scans) == (True, 3)
    assert refused(planes + b"\xff\xda" * 100 + data[-2:]).reason == "too_large"


def test_passes_follow_the_scans() -> None:
    passes = [
        decoding_passes(read_image_header(data))
        for data in (
            encoded(picture(40, 24, 3)),
            encoded(picture(40, 24, 3), ".jpg", *PROGRESSIVE),
            scan_bomb(40, 24, scans=64),
            encoded(picture(40, 24, 3), ".png"),
            png(1, 1, 16, 0, b"\0\0\0"),
        )
    ]
    assert passes == [1, 3, 17, 1, 2]


def png_of(width: int, height: int, rows: bytes, *before: bytes, interlace: int = 0, parts: int = 1) -> bytes:
    """A gray PNG of 8 bits whose rows are compressed well, in so many chunks."""
    content = zlib.compress(rows, 9)
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, interlace)
    step = -(-len(content) // parts)
    chunks = [chunk(b"IDAT", content[at : at + step]) for at in range(0, len(content), step)]
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + b"".join([*before, *chunks]) + chunk(b"IEND", b"")


@pytest.mark.parametrize("parts", [1, 7])
def test_a_png_that_holds_more_pixels_than_it_says_is_refused(parts: int) -> None:
    bomb = png_of(1, 1, bytes(80 << 20), parts=parts)
    assert taken_by_opencv(bomb)
    assert SMALL_BYTES < len(bomb) < 2 * SMALL_BYTES
    error = refused(bomb)
    assert (error.reason, str(error)) == ("corrupt", "PNG contains more pixels than its header says")


def test_no_more_is_inflated_than_the_header_says(monkeypatch: pytest.MonkeyPatch) -> None:
    inflated, real = 0, zlib.decompressobj

    class Counting:
        def __init__(self) -> None:
            self.inner = real()

        eof = property(lambda self: self.inner.eof)
        unconsumed_tail = property(lambda self: self.inner.unconsumed_tail)

        def decompress(self, data: Any, limit: int) -> bytes:
            nonlocal inflated
            out = self.inner.decompress(data, limit)
            inflated += len(out)
            return out

    bomb = png_of(100, 100, bytes(80 << 20))
    monkeypatch.setattr(zlib, "decompressobj", Counting)
    with pytest.raises(ImageError):
        check_png_pixels(bomb)
    assert inflated <= 100 * 101 + 2 * SLACK_BYTES


@pytest.mark.parametrize("interlace", [0, 1])
@pytest.mark.parametrize("size", [(1, 1), (3, 5), (8, 8), (17, 33)])
def test_every_honest_png_is_taken(size: tuple[int, int], interlace: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rows are counted exactly: not a byte more passes once there is no slack."""
    monkeypatch.setattr(png_pixels, "SMALL_BYTES", 0)
    monkeypatch.setattr(png_pixels, "SLACK_BYTES", 0)
    width, height = size
    rows = sum(
        max(0, -(-(height - y) // down)) * (1 + -(-(width - x) // across)) if x < width else 0
        for x, y, across, down in (png_pixels._ADAM7 if interlace else ((0, 0, 1, 1),))
    )
    honest = png_of(width, height, bytes(rows), interlace=interlace)
    assert taken_by_opencv(honest)
    assert decode_image(honest).image.shape == (height, width)
    with pytest.raises(ImageError, match="more pixels"):
        check_png_pixels(png_of(width, height, bytes(rows + 1), interlace=interlace))


def test_a_large_png_of_noise_is_taken_and_one_that_is_damaged_is_the_decoders_to_refuse() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    data = encoded(noise, ".png")
    assert len(data) > SMALL_BYTES
    np.testing.assert_array_equal(decode_image(data).image, noise)
    damaged = bytearray(data)
    damaged[len(data) // 2] ^= 0xFF
    check_png_pixels(bytes(damaged))
    assert refused(bytes(damaged)).reason == "corrupt"


@pytest.mark.parametrize(("kind", "start"), [(b"zTXt", b"k\0\0"), (b"iTXt", b"k\0\1\0\0\0"), (b"iCCP", b"k\0\0")])
def test_metadata_that_inflates_without_end_is_refused(kind: bytes, start: bytes) -> None:
    """A decoder inflates up to 8 MB of each such chunk: eight kilobytes of a file."""
    text = chunk(kind, start + zlib.compress(bytes(7_900_000), 9))
    assert taken_by_opencv(png_of(1, 1, bytes(2), text))
    error = refused(png_of(1, 1, bytes(2), *[text] * 9))
    assert error.reason == "too_large"
    assert "zTXt, iTXt, iCCP" in str(error)
    short = chunk(kind, start + zlib.compress(b"taken at station 7"))
    assert decode_image(png_of(1, 1, bytes(2), *[short] * 500)).image.shape == (1, 1)
