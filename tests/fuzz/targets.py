"""What is fuzzed: every reader of bytes that come from outside. A target raises only where the code under test breaks its word."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path

from aiokafka import TopicPartition

from inspector.anomaly.errors import BundleError, ImageError
from inspector.anomaly.model.manifest import DIGEST_KEY, MANIFEST_NAME, document_digest, read_manifest
from inspector.anomaly.preprocess.image import decode_image
from inspector.anomaly.preprocess.image_header import ImageLimits, read_image_header
from inspector.anomaly.preprocess.orientation import exif_orientation
from inspector.anomaly.preprocess.png_pixels import check_png_pixels
from inspector.bus import records as bus_records
from inspector.bus.inflate import HEADER_BYTES
from inspector.errors import ConfigError
from inspector.settings.file import load_settings
from inspector.store.allowed import AllowList
from inspector.store.errors import ClaimError
from schemas import (
    AuditRecord,
    CameraFrame,
    DeadLetter,
    DLResultMessage,
    Message,
    ModelRelease,
    SchemaError,
    decode,
    encode,
    identity_from_headers,
)
from schemas.image_uri import store_place
from tests.record_batches import sealed
from trainer.formats.decode import read_picture_header

LIMITS = ImageLimits(max_bytes=1 << 20, max_pixels=100_000, max_scans=8)
MOST_RECORDS = 20_000
"""More are not asked for: a record batch may say that it holds two thousand million offsets, and each is owed an answer."""

_MESSAGES: tuple[type[Message], ...] = (CameraFrame, DLResultMessage, DeadLetter, ModelRelease, AuditRecord)
_PREFIXES = ("s3://bucket/lines/", "file:///srv/frames/")
_ALLOWED = AllowList(_PREFIXES)


def message(data: bytes) -> None:
    """A value of one of the topics; the first byte says which. What is read is written and read again as the same."""
    kind = _MESSAGES[data[0] % len(_MESSAGES)] if data else CameraFrame
    try:
        read = decode(kind, data[1:])
    except SchemaError as exc:
        assert len(str(exc)) <= 500  # noqa: PT017 no test
        return
    assert decode(kind, encode(read)) == read


def headers(data: bytes) -> None:
    """Headers of a record: names and values, cut at zeros. Never refused."""
    parts = data.split(b"\0")
    pairs = [(name.decode("utf-8", "replace"), value) for name, value in zip(parts[::2], parts[1::2], strict=False)]
    identity = identity_from_headers(pairs)
    assert identity.seq is None or identity.seq >= 0


def image_header(data: bytes) -> None:
    """The header of a JPEG or PNG, its EXIF orientation, and whether a PNG's pixels are as many as it says."""
    try:
        header = read_image_header(data, limits=LIMITS)
        if header.encoding == "png":
            check_png_pixels(data)
    except ImageError:
        return
    assert 1 <= header.width * header.height <= LIMITS.max_pixels
    exif_orientation(data)


def picture(data: bytes) -> None:
    """A whole picture, decoded."""
    try:
        encoding = read_image_header(data, limits=LIMITS).encoding
        sample = decode_image(data, encoding=encoding, limits=LIMITS)
    except ImageError:
        return
    assert sample.image.size


def trainer_formats(data: bytes) -> None:
    """The header of a file of any format that the trainer reads."""
    try:
        header = read_picture_header(data, limits=LIMITS)
    except ImageError:
        return
    assert header.width >= 1
    assert header.height >= 1


def manifest(data: bytes) -> None:
    """A bundle's manifest; where the first byte is odd with a digest that fits, so that what is behind it is read too."""
    content = data[1:]
    if data[:1] and data[0] % 2:
        try:
            document = json.loads(content)
            if isinstance(document, dict):
                content = json.dumps(document | {DIGEST_KEY: document_digest(document)}).encode()
        except (ValueError, RecursionError):
            pass
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / MANIFEST_NAME).write_bytes(content)
        try:
            read, _ = read_manifest(folder)
        except BundleError:
            return
    assert read.name


def record_batches(data: bytes) -> None:
    """What a broker answers for one partition; with an odd first byte the checksum of the first batch is mended."""
    content = bytearray(data[1:])
    if data[:1] and data[0] % 2 and len(content) > HEADER_BYTES:
        content = sealed(content)
    reader = bus_records.Records(
        TopicPartition("t", 0),
        bus_records.Batches(bytes(content)),
        None,
        0,
        None,
        None,
        True,
        1,
    )
    last = -1
    for number, record in enumerate(reader):
        assert record.offset > last
        last = record.offset
        if number > MOST_RECORDS:
            return
    bus_records.unending.clear()


def image_uri(data: bytes) -> None:
    """A place in a store."""
    uri = data.decode("utf-8", "surrogateescape")  # lone surrogates too
    try:
        store_place(uri)
    except ValueError as exc:
        assert len(str(exc)) < 500  # noqa: PT017 no test
    try:
        found = _ALLOWED.find(uri)
    except ClaimError as exc:
        assert str(exc).isascii()  # noqa: PT017 no test
        return
    assert uri.isascii()
    assert uri.startswith(_PREFIXES)
    assert not any(trick in uri for trick in ("/../", "/./", "%", "\\", "?", "#", "@"))
    assert found.place.path.startswith(found.folder.path)


def settings(data: bytes) -> None:
    """A settings file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "inspector.toml"
        path.write_bytes(data)
        try:
            load_settings(path)
        except ConfigError as exc:
            assert str(exc)  # noqa: PT017 no test


TARGETS: dict[str, Callable[[bytes], None]] = {
    target.__name__: target
    for target in (
        message,
        headers,
        image_header,
        picture,
        trainer_formats,
        manifest,
        record_batches,
        image_uri,
        settings,
    )
}
