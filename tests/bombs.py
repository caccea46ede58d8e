"""Record batches that are small on the wire and large in memory, made without ever being large here."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import cramjam

from tests.record_batches import ATTRIBUTES_AT, RECORDS_AT, record_batch, sealed

CODECS = {"gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
_PIECE = bytes(1 << 20)


def bomb(codec: str, inflated_bytes: int, *, base_offset: int = 0, key: bytes = b"line/a") -> bytearray:
    """Return a batch of one record with this key, whose value is so many zeros."""
    head = b"\0\0\0" + varint(len(key)) + key + varint(inflated_bytes)  # attributes, timestamp, offset before them

    def pieces() -> Iterator[bytes]:
        yield varint(len(head) + inflated_bytes + 1) + head
        for _ in range(inflated_bytes // len(_PIECE)):
            yield _PIECE
        yield bytes(inflated_bytes % len(_PIECE)) + b"\0"  # and no headers

    return compressed_batch(_compressed(codec, pieces()), CODECS[codec], base_offset=base_offset)


def varint(number: int) -> bytes:
    """Return a number that is not negative as records have it."""
    number, digits = number << 1, bytearray()
    while number >> 7:
        digits.append(0x80 | number & 0x7F)
        number >>= 7
    return bytes([*digits, number])


def compressed_batch(body: bytes, codec: int, *, count: int = 1, base_offset: int = 0) -> bytearray:
    """Return a batch whose records are these bytes, compressed already."""
    batch = record_batch([b"x"] * count, base_offset=base_offset)[:RECORDS_AT] + bytearray(body)
    struct.pack_into(">i", batch, 8, len(batch) - 12)
    struct.pack_into(">h", batch, ATTRIBUTES_AT, codec)
    return sealed(batch)


def _compressed(codec: str, pieces: Iterator[bytes]) -> bytes:
    if codec == "snappy":
        out = io.BytesIO()
        out.write(b"\x82SNAPPY\x00" + struct.pack(">ii", 1, 1))
        for piece in pieces:
            block = bytes(cramjam.snappy.compress_raw(piece))
            out.write(struct.pack(">i", len(block)) + block)
        return out.getvalue()
    if codec == "gzip":
        packer = zlib.compressobj(1, wbits=31)
        return b"".join([*map(packer.compress, pieces), packer.flush()])
    compressor: Any = cramjam.lz4.Compressor(block_linked=False) if codec == "lz4" else cramjam.zstd.Compressor()
    for piece in pieces:
        compressor.compress(piece)
    return bytes(compressor.finish())
