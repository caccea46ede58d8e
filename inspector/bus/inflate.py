"""Inflates compressed record batches, but no further than a limit: a megabyte on the wire may be a gigabyte in memory.

aiokafka inflates everything that a batch contains. This module inflates into memory that was reserved before, and stops a codec
that needs more. The codecs are Kafka's: gzip, snappy (as xerial's library frames it, or bare), lz4 and zstd.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable

import cramjam
from aiokafka.errors import UnsupportedCodecError

HEADER_BYTES = 61
"""Of a record batch of today's format, which is never compressed."""
ATTRIBUTES_AT = 21
CODEC_MASK = 0x07

_GZIP = zlib.MAX_WBITS | 16
_STEP_BYTES = 1 << 20
_MAX_MEMBERS = 16
"""Of one gzip stream; producers write 1. Empty ones cost time and no room."""
_MAX_BLOCKS = 1 << 16
"""Of one snappy stream, likewise; the usual ones are 32 KiB large."""
_XERIAL = b"\x82SNAPPY\x00"
_XERIAL_BYTES = 16
_LENGTH = struct.Struct(">i")
_NO_ROOM = "failed to write whole buffer"
"""What cramjam says where the room does not suffice; `tests/unit/inspector/bus/test_inflate.py` fails where it says otherwise."""

_OLD_HEADER_BYTES = (18, 26)
"""Of a message of Kafka before 0.11, by its magic number, up to the length of its key."""


class TooLargeError(Exception):
    """More would come out than the limit allows; `beginning` is what did."""

    def __init__(self, beginning: bytearray) -> None:
        """`beginning` may have zeros at its end."""
        super().__init__("it decompresses to more than the limit")
        self.beginning = beginning


def inflated(batch: memoryview, limit_bytes: int) -> memoryview | bytearray:
    """Return a record batch as it would be without compression; `batch` itself where it has none.

    Memory grows by `limit_bytes` for what comes out, and for zstd by as much again while it is inflated.

    Args:
        batch: of today's format, its checksum tried.
        limit_bytes: of the records that come out.

    Raises:
        TooLargeError: They take more.
        UnsupportedCodecError: Nobody knows the codec.
        Exception: Whatever a codec raises for invalid bytes.
    """
    (attributes,) = struct.unpack_from(">h", batch, ATTRIBUTES_AT)
    codec = attributes & CODEC_MASK
    if codec == 0:
        return batch
    plain = bytearray(HEADER_BYTES + max(0, limit_bytes))
    plain[:HEADER_BYTES] = batch[:HEADER_BYTES]
    struct.pack_into(">h", plain, ATTRIBUTES_AT, attributes & ~CODEC_MASK)
    try:
        with memoryview(plain) as room:
            size = _codec(codec)(batch[HEADER_BYTES:], room[HEADER_BYTES:])
    except _NoRoomError:
        raise TooLargeError(plain) from None
    del plain[HEADER_BYTES + size :]
    return plain


def try_old(message: memoryview, magic: int, limit_bytes: int) -> None:
    """Find out whether a compressed message of Kafka before 0.11 inflates within a limit; its records are read elsewhere.

    Raises:
        TooLargeError: It does not.
        UnsupportedCodecError: Nobody knows the codec.
        Exception: Whatever a codec raises for invalid bytes.
    """
    codec = message[17] & CODEC_MASK
    if codec == 0:
        return
    after_key = _behind(message, _OLD_HEADER_BYTES[magic])
    value = message[after_key + _LENGTH.size : _behind(message, after_key)]
    room = bytearray(max(0, limit_bytes))
    try:
        with memoryview(room) as view:
            _codec(codec)(value, view)
    except _NoRoomError:
        raise TooLargeError(bytearray()) from None


def _behind(message: memoryview, at: int) -> int:
    """Return where a field ends that begins with its length; that of none is negative."""
    return at + _LENGTH.size + max(0, int(_LENGTH.unpack_from(message, at)[0]))


class _NoRoomError(Exception):
    """The room is full and more is to come."""


Inflate = Callable[[memoryview, memoryview], int]
"""Writes into its second argument what comes out of its first, and returns how many bytes that were."""


def _codec(number: int) -> Inflate:
    try:
        return _CODECS[number]
    except KeyError:
        raise UnsupportedCodecError(f"codec {number}") from None


def _gzip(data: memoryview, room: memoryview) -> int:
    at = 0
    rest: bytes | memoryview = data
    for _ in range(_MAX_MEMBERS):
        stream = zlib.decompressobj(_GZIP)
        while not stream.eof:
            piece = stream.decompress(rest, min(_STEP_BYTES, len(room) - at + 1))
            if len(piece) > len(room) - at:
                room[at:] = piece[: len(room) - at]
                raise _NoRoomError
            room[at : at + len(piece)] = piece
            at += len(piece)
            rest = stream.unconsumed_tail
            if not piece and not rest and not stream.eof:
                raise ValueError("its gzip stream is truncated")
        rest = stream.unused_data
        if not rest:
            return at
    raise ValueError(f"its gzip stream has more than {_MAX_MEMBERS} members")


def _snappy(data: memoryview, room: memoryview) -> int:
    if data[: len(_XERIAL)] != _XERIAL:
        return _snappy_block(data, room)
    at, written = _XERIAL_BYTES, 0
    for _ in range(_MAX_BLOCKS):
        if at >= len(data):
            return written
        (length,) = _LENGTH.unpack_from(data, at)
        at += _LENGTH.size
        if not 0 < length <= len(data) - at:
            raise ValueError("a block of its snappy stream has an invalid length")
        written += _snappy_block(data[at : at + length], room[written:])
        at += length
    raise ValueError(f"its snappy stream has more than {_MAX_BLOCKS} blocks")


def _snappy_block(data: memoryview, room: memoryview) -> int:
    size = int(cramjam.snappy.decompress_raw_len(data))  # as the block says of itself
    if size > len(room):
        raise _NoRoomError
    return int(cramjam.snappy.decompress_raw_into(data, room[:size]))


def _cramjam(decompress_into: Callable[[memoryview, memoryview], int]) -> Inflate:
    def inflate(data: memoryview, room: memoryview) -> int:
        try:
            return int(decompress_into(data, room))
        except cramjam.DecompressionError as exc:
            if _NO_ROOM in str(exc):
                raise _NoRoomError from None
            raise

    return inflate


_CODECS: dict[int, Inflate] = {
    1: _gzip,
    2: _snappy,
    3: _cramjam(cramjam.lz4.decompress_into),
    4: _cramjam(cramjam.zstd.decompress_into),
}
