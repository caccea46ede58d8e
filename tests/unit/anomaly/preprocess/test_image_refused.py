"""What is no picture, too large a one or a damaged one is refused, and never shows anything else."""

from __future__ import annotations

import os
import subprocess
import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector.anomaly.errors import ImageError, ParameterError
from inspector.anomaly.preprocess.image import (
    ImageLimits,
    decode_image,
    decoded_bytes,
    read_image_header,
    reduction_factor,
)
from tests.encoded import PALETTE, PROGRESSIVE, REASONS, chunk, encoded, jpeg_claiming, picture, png, refused


@pytest.mark.parametrize("suffix", [".bmp", ".tiff", ".webp", ".gif", ".jp2", ".ppm", ".hdr", ".avif"])
def test_formats_that_opencv_would_open_are_refused(suffix: str) -> None:
    image = picture(32, 32, 3)
    is_coded, data = cv2.imencode(suffix, image.astype(np.float32) if suffix == ".hdr" else image)
    assert is_coded
    error = refused(data.tobytes())
    assert error.reason == "unsupported"
    assert "neither JPEG nor PNG" in str(error)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(b"", "empty", id="empty"),
        pytest.param(b"\x89PN", "truncated", id="start of PNG"),
        pytest.param(b"\xff\xd8", "truncated", id="start of JPEG"),
        pytest.param(b"hello, world", "unsupported", id="text"),
        pytest.param(b"\xff\xd8\xff" + b"\xff" * 5000, "corrupt", id="only fill bytes"),
        pytest.param(b"\xff\xd8\xff\xe0\0\0" + bytes(50), "corrupt", id="segment of no length"),
        pytest.param(b"\xff\xd8" + b"\xff\xfe\0\x02" * 600 + b"\xff\xd9", "corrupt", id="too many segments"),
        pytest.param(b"\xff\xd8\xff\xfe\0\x02xx" + bytes(9), "corrupt", id="no marker"),
        pytest.param(b"\xff\xd8\xff\xd9", "corrupt", id="ends at once"),
        pytest.param(jpeg_claiming(16, 16, components=4), "unsupported", id="CMYK"),
        pytest.param(jpeg_claiming(16, 16, depth=12), "unsupported", id="12 bits"),
        pytest.param(jpeg_claiming(16, 16, marker=0xC3), "unsupported", id="lossless"),
        pytest.param(jpeg_claiming(16, 16, marker=0xC9), "unsupported", id="arithmetic"),
        pytest.param(jpeg_claiming(16, 0), "corrupt", id="no height"),
        pytest.param(jpeg_claiming(65_500, 65_500), "too_large", id="JPEG bomb"),
        pytest.param(jpeg_claiming(7_900, 7_900), "truncated", id="JPEG of too few bytes for its pixels"),
        pytest.param(png(20_000, 20_000, 8, 2, b"\0"), "too_large", id="PNG bomb"),
        pytest.param(png(70_000, 1, 8, 0, bytes(70_001)), "too_large", id="PNG too wide for a result"),
        pytest.param(png(7_900, 7_900, 8, 2, b"\0"), "truncated", id="PNG of too few bytes for its pixels"),
        pytest.param(png(0, 5, 8, 0, b"\0"), "corrupt", id="PNG without width"),
        pytest.param(png(1, 1, 16, 3, b"\0\0\0", PALETTE), "corrupt", id="impossible depth"),
        pytest.param(png(1, 1, 8, 5, b"\0\0\0"), "corrupt", id="impossible colour type"),
        pytest.param(png(1, 1, 8, 3, b"\0\0"), "corrupt", id="no palette"),
        pytest.param(png(1, 1, 8, 0, b"\0\0", chunk(b"acTL", bytes(8))), "unsupported", id="animated"),
        pytest.param(png(1, 1, 8, 0, b"\0\0", *[chunk(b"tEXt", b"")] * 17_000), "corrupt", id="too many chunks"),
        pytest.param(png(1, 1, 8, 0, b"\0\0", chunk(b"IEND", b"")), "corrupt", id="no pixels"),
        pytest.param(png(1, 1, 8, 0, b"\0\0", b"\x7f\xff\xff\xfftEXt"), "truncated", id="chunk of 2 GiB"),
    ],
)
def test_refusals_say_why(data: bytes, reason: str) -> None:
    assert refused(data).reason == reason


def test_refusals_of_a_wrong_claim_and_of_limits() -> None:
    data = encoded(picture(40, 30, 3))
    assert str(refused(data, encoding="png")) == "image was declared as png, but is jpeg"
    assert refused(data, limits=ImageLimits(max_bytes=len(data) - 1)).reason == "too_large"
    assert refused(data, limits=ImageLimits(max_pixels=40 * 30 - 1)).reason == "too_large"
    exact = ImageLimits(max_bytes=len(data), max_pixels=40 * 30)
    assert decode_image(data, encoding="jpeg", limits=exact).image.shape == (30, 40, 3)


@pytest.mark.parametrize(
    "data",
    [jpeg_claiming(65_500, 65_500), jpeg_claiming(7_900, 7_900), png(20_000, 20_000, 8, 2, b"\0")],
    ids=["jpeg", "jpeg within limits", "png"],
)
def test_bombs_are_refused_without_allocating(data: bytes) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(ImageError):
            read_image_header(data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 100_000


def test_opencv_would_refuse_a_bomb_on_its_own() -> None:
    code = (
        "import inspector.anomaly.preprocess.image, cv2, numpy as np, sys\n"
        "data = np.frombuffer(sys.stdin.buffer.read(), np.uint8)\n"
        "try: image = cv2.imdecode(data, cv2.IMREAD_COLOR)\n"
        "except cv2.error: image = None\n"
        "sys.exit(image is not None)"
    )
    bomb = png(1 << 15, 1 << 14, 8, 0, b"\0")
    environment = {key: value for key, value in os.environ.items() if key != "OPENCV_IO_MAX_IMAGE_PIXELS"}
    finished = subprocess.run(
        [sys.executable, "-c", code], input=bomb, capture_output=True, check=False, env=environment
    )
    assert (finished.returncode, finished.stderr) == (0, b"")


CORPUS = {
    "jpeg gray": encoded(picture(37, 29, 1)),
    "jpeg colour": encoded(picture(37, 29, 3)),
    "jpeg progressive": encoded(picture(37, 29, 3), ".jpg", *PROGRESSIVE),
    "jpeg restart": encoded(picture(37, 29, 3), ".jpg", cv2.IMWRITE_JPEG_RST_INTERVAL, 1),
    "png gray": encoded(picture(23, 11, 1), ".png"),
    "png colour": encoded(picture(13, 11, 3), ".png"),
    "png palette": png(2, 1, 8, 3, b"\0\2\1", PALETTE),
    "png 16 bit": png(2, 2, 16, 0, b"\0\1\2\3\4\0\5\6\7\x08"),
}
corpus = pytest.mark.parametrize("data", CORPUS.values(), ids=CORPUS.keys())


@corpus
def test_every_prefix_is_refused(data: bytes) -> None:
    decode_image(data)
    for length in range(1, len(data)):
        # Some cuts look like other damage, but none looks like a picture.
        assert refused(data[:length]).reason in ("truncated", "corrupt")
    assert refused(data[:-2]).reason == "truncated"
    assert refused(data[: len(data) * 3 // 4]).reason == "truncated"


def judged(data: bytes) -> None:
    """Decode, at full and at reduced scale, to a picture of the size that the header says, or to an `ImageError`."""
    for target in (None, (8, 8)):
        try:
            header = read_image_header(data, limits=ImageLimits(max_pixels=1_000_000))
            image = decode_image(data, target=target, limits=ImageLimits(max_pixels=1_000_000)).image
        except ImageError as error:
            assert error.reason in REASONS  # noqa: PT017 - either outcome is fine, but no other error
            continue
        factor = reduction_factor(header.width, header.height, target)
        size = (-(-header.height // factor), -(-header.width // factor))
        assert image.shape == (size if header.channels == 1 else (*size, 3))
        assert image.dtype == np.uint8
        assert image.nbytes <= decoded_bytes(header, target=target)


@corpus
@pytest.mark.parametrize("flip", [0x01, 0x80, 0xFF])
def test_a_damaged_byte_gives_an_error_or_a_picture_of_that_size(data: bytes, flip: int) -> None:
    for at in range(len(data)):
        damaged = bytearray(data)
        damaged[at] ^= flip
        judged(bytes(damaged))


@given(data=st.data())
def test_arbitrary_damage_gives_an_error_or_a_picture_of_that_size(data: st.DataObject) -> None:
    damaged = bytearray(data.draw(st.sampled_from(list(CORPUS.values()))))
    for _ in range(data.draw(st.integers(1, 5))):
        start = data.draw(st.integers(0, len(damaged)))
        stop = data.draw(st.integers(start, min(start + 40, len(damaged))))
        damaged[start:stop] = data.draw(st.binary(max_size=40))
    judged(bytes(damaged))


@given(data=st.binary(max_size=200), start=st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"]))
def test_garbage_is_refused(data: bytes, start: bytes) -> None:
    judged(start + data)


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
@pytest.mark.parametrize("target", [None, (16, 16)])
def test_a_cut_picture_never_shows_the_one_before_it(suffix: str, target: tuple[int, int] | None) -> None:
    good, other = (encoded(picture(64, 64, 3, seed), suffix) for seed in (1, 2))
    before = decode_image(good, target=target).image.copy()
    for share in (0.3, 0.6, 0.9):
        assert refused(other[: int(len(other) * share)], target=target).reason == "truncated"
        # With an end mark put behind the cut, as a careless camera might.
        end = b"\xff\xd9" if suffix == ".jpg" else chunk(b"IEND", b"")
        try:
            image = decode_image(other[: int(len(other) * share)] + end, target=target).image
        except ImageError:
            continue
        assert suffix == ".jpg"
        # The part that is missing is no copy of the good picture.
        assert np.abs(image[-1].astype(int) - before[-1]).mean() > 3


@pytest.mark.parametrize("name", ["jpeg colour", "png colour"])
@pytest.mark.parametrize("padding", [b"\0", b"\0" * 4096, b"\xff" * 4096, b"\r\n"])
def test_padding_behind_the_end_is_harmless(name: str, padding: bytes) -> None:
    data = CORPUS[name]
    np.testing.assert_array_equal(decode_image(data + padding).image, decode_image(data).image)


def test_the_end_of_a_thumbnail_is_not_the_end_of_the_picture() -> None:
    data = encoded(picture(64, 64, 3))
    thumbnail = b"\xff\xe1\0\x06\xff\xd8\xff\xd9"
    whole = data[:2] + thumbnail + data[2:]
    decode_image(whole)
    assert refused(whole[:-2]).reason == "truncated"


def test_many_threads_decode_as_one_does() -> None:
    files = [encoded(picture(96, 64, c, seed)) for seed in range(6) for c in (1, 3)] * 8
    expected = [decode_image(data, target=(48, 32)).image for data in files]
    with ThreadPoolExecutor(8) as pool:
        images = list(pool.map(lambda data: decode_image(data, target=(48, 32)).image, files))
    for image, alone in zip(images, expected, strict=True):
        np.testing.assert_array_equal(image, alone)


@pytest.mark.parametrize("name", ["part.jpg", Path("part.jpg")])
def test_the_name_of_a_file_is_not_its_bytes(name: Any) -> None:
    with pytest.raises(ParameterError, match=r"an image is decoded from bytes, got .*part.jpg.*; read the file first"):
        decode_image(name)
