"""Record batches as Kafka has them, and what can be wrong with one."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Any

from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.util import calc_crc32c

CRC_AT = 17
ATTRIBUTES_AT = 21
LAST_DELTA_AT = 23
RECORDS_AT = 61

Headers = Sequence[tuple[str, bytes | None]]


def record_batch(
    values: Sequence[bytes], *, base_offset: int = 0, codec: int = 0, headers: Headers = (), key: bytes | None = None
) -> bytearray:
    """Return the bytes of a batch of these values."""
    builder = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=codec,
        is_transactional=0,
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=-1,
        batch_size=1 << 20,
    )
    for number, value in enumerate(values):
        builder.append(number, timestamp=1, key=key, value=value, headers=list(headers))
    data = bytearray(builder.build())
    struct.pack_into(">q", data, 0, base_offset)  # outside of the checksum: the broker's word
    return data


def sealed(data: bytearray) -> bytearray:
    """Return a batch whose checksum agrees with its bytes again."""
    struct.pack_into(">I", data, CRC_AT, calc_crc32c(bytes(data[ATTRIBUTES_AT:])))
    return data


def with_bytes(old: bytes, new: bytes) -> Callable[[bytearray], bytearray]:
    """Return what replaces the first `old` of a batch by as many bytes, and seals it."""
    assert len(old) == len(new)

    def change(data: bytearray) -> bytearray:
        at = data.index(old)
        data[at : at + len(old)] = new
        return sealed(data)

    return change


class Changed:
    """A builder of aiokafka's whose batch is changed before it is sent."""

    def __init__(self, builder: Any, change: Callable[[bytearray], bytearray]) -> None:
        self._builder = builder
        self._change = change

    def __getattr__(self, name: str) -> Any:
        return getattr(self._builder, name)

    def build(self) -> bytearray:
        return self._change(bytearray(self._builder.build()))
