from __future__ import annotations

import os
import struct
import subprocess
import sys
import tracemalloc
import zlib
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from inspector.anomaly.errors import ImageError, ParameterError
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

SIZES = [(1, 1), (1, 17), (17, 1), (2, 3), (13, 31), (64, 48), (127, 131), (257, 8)]  # (width, height)
PROGRESSIVE = (cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
FULL_CHROMA = (cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444)
REASONS = ("empty", "corrupt", "truncated", "too_large", "unsupported")


def picture(width: int, height: int, channels: int, seed: int = 0) -> NDArray[np.uint8]:
    """A smooth random picture, RGB where it has colour."""
    rng = np.random.default_rng(seed)
    shape = (height // 16 + 2, width // 16 + 2, 3)[: 2 if channels == 1 else 3]
    coarse = rng.integers(0, 256, shape, dtype=np.uint8)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR), dtype=np.uint8)


def encoded(image: NDArray[np.uint8], suffix: str = ".jpg", *parameters: int) -> bytes:
    """Encode a gray or RGB picture."""
    bgr = image if image.ndim == 2 else image[..., ::-1]
    is_coded, data = cv2.imencode(suffix, np.ascontiguousarray(bgr), parameters)
    assert is_coded
    return data.tobytes()


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, depth: int, colour: int, rows: bytes, *before: bytes) -> bytes:
    """A PNG from its filtered rows."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + b"".join(before) + pixels + chunk(b"IEND", b"")


def refused(data: bytes, **options: object) -> ImageError:
    """The error that decoding ends with; the header check must raise it too, or let the decoder judge."""
    with pytest.raises(ImageError) as caught:
        decode_image(data, **options)  # type: ignore[arg-type]
    return caught.value


def jpeg_claiming(width: int, height: int, *, components: int = 3, marker: int = 0xC0, depth: int = 8) -> bytes:
    """A valid JPEG whose frame header is replaced by one that claims something else."""
    data = encoded(picture(16, 16, 3))
    at = data.index(b"\xff\xc0")
    length = int.from_bytes(data[at + 2 : at + 4], "big")
    frame = struct.pack(">BHHB", depth, height, width, components) + b"\x01\x11\x00" * components
    return data[:at] + bytes([0xFF, marker]) + struct.pack(">H", len(frame) + 2) + frame + data[at + 2 + length :]


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

    assert header == ImageHeader("jpeg", *size, channels, 8, is_multi_scan=parameters == PROGRESSIVE)
    assert (sample.original_width, sample.original_height, sample.channels) == (*size, channels)
    assert sample.image.dtype == np.uint8
    assert sample.image.shape == image.shape
    assert sample.image.flags.c_contiguous
    assert np.abs(sample.image.astype(int) - image).mean() < 6


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("channels", [1, 3])
def test_png_is_lossless_and_never_reduced(size: tuple[int, int], channels: int) -> None:
    image = picture(*size, channels)
    sample = decode_image(encoded(image, ".png"), target=(1, 1))
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


PALETTE = chunk(b"PLTE", bytes([10, 20, 30, 40, 50, 60, 70, 80, 90]))


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


# ------------------------------------------------------------------------------------------------ reduced-scale JPEG


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("factor", [2, 4, 8])
@pytest.mark.parametrize("parameters", [(), (cv2.IMWRITE_JPEG_SAMPLING_FACTOR, 0x411111, *PROGRESSIVE)])
def test_reduced_decoding_gives_exactly_the_rounded_up_size(
    size: tuple[int, int], channels: int, factor: int, parameters: tuple[int, ...]
) -> None:
    data = encoded(picture(*size, channels), ".jpg", *parameters)
    target = (-(-size[0] // factor), -(-size[1] // factor))
    actual = reduction_factor(*size, target)  # a tiny side may allow a larger one
    assert actual >= factor
    width, height = -(-size[0] // actual), -(-size[1] // actual)
    sample = decode_image(data, target=target)
    assert sample.image.shape == (height, width, 3)[: sample.image.ndim]
    assert (sample.original_width, sample.original_height) == size


def test_a_reduced_picture_looks_like_the_picture() -> None:
    image = picture(256, 192, 3)
    sample = decode_image(encoded(image), target=(64, 48))
    small = cv2.resize(image, (64, 48), interpolation=cv2.INTER_AREA)
    assert sample.image.shape == (48, 64, 3)
    assert np.abs(sample.image.astype(int) - small).mean() < 3


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
    header = read_image_header(data)
    assert decode_image(data, target=(128, 128)).image.shape == (128, 128)
    assert decode_image(data, target=(128, 128), margin=1.5).image.shape == (256, 256)
    assert decoded_bytes(header, target=(128, 128), margin=1.5) == decoded_bytes(header, target=None)
    assert decoded_bytes(header, target=(128, 128)) < decoded_bytes(header, target=None)


def test_decoded_bytes_counts_the_decoder_too() -> None:
    assert decoded_bytes(ImageHeader("raw", 100, 50, 3, 8), target=(1, 1)) == 15_000
    # OpenCV's picture and numpy's copy of it; a PNG is not reduced.
    assert decoded_bytes(ImageHeader("png", 100, 50, 3, 16), target=(1, 1)) == 30_000
    assert decoded_bytes(ImageHeader("jpeg", 101, 50, 1, 8), target=(50, 25)) == 2 * 51 * 25
    # A progressive JPEG holds all coefficients, two bytes each, whatever the scale.
    assert decoded_bytes(ImageHeader("jpeg", 800, 800, 3, 8, is_multi_scan=True), target=(100, 100)) > 2 * 800 * 800 * 3


# ----------------------------------------------------------------------------------------------------- raw pictures


@pytest.mark.parametrize("pixel_format", ["mono8", "rgb8", "bgr8"])
def test_raw_pixels_come_out_as_gray_or_rgb(pixel_format: PixelFormat) -> None:
    layout = RawLayout(5, 3, pixel_format)
    data = bytes(range(layout.num_bytes))
    sample = decode_image(data, encoding="raw", raw=layout, target=(1, 1))
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


# --------------------------------------------------------------------------------------------------------- refusals


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
    assert str(refused(data, encoding="png")) == "image is said to be png, but is jpeg"
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


# -------------------------------------------------------------------------------------------------- damaged pictures

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
        factor = reduction_factor(header.width, header.height, target) if header.encoding == "jpeg" else 1
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
