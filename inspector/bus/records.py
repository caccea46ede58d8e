"""Reads records from a broker's answer, whatever it contains: no record prevents those behind it from being read.

aiokafka's fetcher raises an error at the first record batch that it cannot read, never moves beyond it, and loses the records of
other partitions from the same call. `install` replaces aiokafka's reader with this one. A record that cannot be read is returned
with a `fault` and with everything that could be read; if nothing of a record batch can be read, its offsets are returned as
empty records. So each of them is answered, and reading goes on.

The amount that one answer brings from a partition is limited: a compressed record batch is inflated up to the topic's limit and refused
beyond it; a batch that does not fit beside the previous ones is left to the next answer.

This was tried with aiokafka 0.14, which `pyproject.toml` pins; `tests/integration/test_bus_poison.py` fails if a later version differs.
"""

from __future__ import annotations

import logging
import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

import aiokafka.consumer.fetcher as aiokafka_fetcher
from aiokafka import TopicPartition
from aiokafka.errors import UnsupportedCodecError
from aiokafka.record.default_records import DefaultRecordBatch, _DefaultRecordBatchPy
from aiokafka.record.legacy_records import LegacyRecordBatch
from aiokafka.record.util import decode_varint

from inspector.bus.inflate import HEADER_BYTES, TooLargeError, inflated, try_old
from inspector.bus.ports import Fault

log = logging.getLogger(__name__)

_LENGTH = struct.Struct(">qi")  # base offset, length of what follows
_MAGIC_AT = 16
_V2 = 2
_LEAST_BYTES = {0: 26, 1: 34, _V2: 61}
"""Of a record batch, by its magic number."""

CHECKSUM = Fault("corrupt", "the checksum of its record batch does not match")
HEADER_NAME = Fault("malformed", "the name of one of its Kafka headers is not UTF-8")
STRUCTURE = Fault("corrupt", "it does not have the structure of a Kafka record")


INFLATED_BYTES = 16 * 1024 * 1024
"""How far the record batches of a topic are inflated that nobody has named a limit for."""

_limits: dict[str, int] = {}


class Record(NamedTuple):
    """`ConsumedRecord` of Kafka."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    fault: Fault | None = None


def install() -> None:
    """Let every consumer of this process read with this module; a second call changes nothing."""
    aiokafka_fetcher.MemoryRecords = Batches
    aiokafka_fetcher.PartitionRecords = Records


def limit_inflated(topic: str, limit_bytes: int) -> None:
    """Inflate record batches of this topic up to `limit_bytes` from now on, in this process."""
    _limits[topic] = limit_bytes


class Unending(NamedTuple):
    """A record batch that does not tell where it ends."""

    offset: int
    """The first of it that is still to be read."""
    size_bytes: int


unending: dict[TopicPartition, Unending] = {}
"""Where readers of this process have come upon one; it is theirs as long as their position is its offset."""


def unreadable(partition: TopicPartition, begin: int, end: int) -> list[Record]:
    """Return a record for each offset from `begin` to before `end`, of which nothing can be told."""
    topic, number = partition
    return [Record(topic, number, offset, -1, None, None, (), CHECKSUM) for offset in range(begin, end)]


def following_offset(data: bytes) -> int | None:
    """Return the first offset of the second record batch in what a broker answered; None where there is none, not even its beginning."""
    if len(data) < _LENGTH.size:
        return None
    _, length = _LENGTH.unpack_from(data)
    at = _LENGTH.size + length
    if length < 0 or at + _LENGTH.size > len(data):
        return None
    offset: int = _LENGTH.unpack_from(data, at)[0]
    return offset


class Batches:
    """The record batches of one partition in one answer, as bytes; stands in for aiokafka's `MemoryRecords`."""

    def __init__(self, data: bytes) -> None:
        self._data = memoryview(data)
        self._at = 0

    def size_in_bytes(self) -> int:
        """Return 0: asked only where there is no whole batch, which aiokafka would take for one that is too large, and skip."""
        return 0

    def has_next(self) -> bool:
        """Whether another whole batch is there; a piece of one at the end is asked for again."""
        return self._end() is not None

    def next(self) -> memoryview:
        """Return the next batch."""
        end = self._end()
        if end is None:
            raise StopIteration
        data, self._at = self._data[self._at : end], end
        return data

    def next_base_offset(self) -> int | None:
        """Return the first offset of the batch that `next` would return."""
        if self._end() is None:
            return None
        base_offset: int = _LENGTH.unpack_from(self._data, self._at)[0]
        return base_offset

    def _end(self) -> int | None:
        if len(self._data) - self._at < min(_LEAST_BYTES.values()):
            return None
        _, length = _LENGTH.unpack_from(self._data, self._at)
        end: int = self._at + _LENGTH.size + length
        least = _LEAST_BYTES.get(self._data[self._at + _MAGIC_AT], _LEAST_BYTES[_V2])
        return end if self._at + least <= end <= len(self._data) else None


class Records(aiokafka_fetcher.PartitionRecords):  # type: ignore[misc]  # aiokafka ships no types
    """The records of one partition in one answer; never raises. Stands in for aiokafka's `PartitionRecords`."""

    _records: Batches
    next_fetch_offset: int
    _taken_bytes = 0
    """Of the batches before the one that is read, inflated."""

    def _unpack_records(self) -> Iterator[Record]:
        while self._records.has_next():
            data = self._records.next()
            magic = data[_MAGIC_AT]
            batch = _opened(data, magic)
            fault: Fault | None = STRUCTURE if batch is None else CHECKSUM
            if batch is not None and batch.validate_crc():
                try:
                    if not self._is_passed_over(batch):
                        batch = self._inflated(batch, data)
                        yield from self._readable(batch)
                    # A batch that names an end before its records sends nobody back.
                    self.next_fetch_offset = max(self.next_fetch_offset, batch.next_offset)
                    continue
                except TooLargeError as exc:
                    if self._taken_bytes:
                        return  # it is asked for again, and has all the room then
                    yield from self._refused(data, exc.beginning)
                    continue
                except Exception as exc:  # noqa: BLE001 whatever a codec or a parser raises
                    fault = _fault_of(exc)
            elif batch is not None and batch.is_control_batch:
                # Perhaps the end of a transaction that was given up: what follows is rather read than lost.
                self._aborted_producers.discard(batch.producer_id)
            last = None if magic < _V2 else _last_offset(data, fault, self._records.next_base_offset())
            if last is None:
                log.warning(
                    "%s: the record batch at offset %d cannot be read, and its end is unknown: %s",
                    self._tp,
                    self.next_fetch_offset,
                    STRUCTURE.detail if fault is None else fault.detail,
                )
                unending[self._tp] = Unending(self.next_fetch_offset, len(data))
                return  # the position stays until the consumer has found out (`ending`)
            plain = self._plain(data)
            if plain is None:
                return
            yield from self._salvaged(plain, fault, last)

    @property
    def _limit_bytes(self) -> int:
        return _limits.get(self._tp.topic, INFLATED_BYTES)

    @property
    def _room_bytes(self) -> int:
        return max(0, self._limit_bytes - self._taken_bytes)

    def _inflated(self, batch: Any, data: memoryview) -> Any:  # noqa: ANN401
        """Return a batch whose records can be read without taking more room than there is.

        Raises:
            TooLargeError: They take more.
        """
        if data[_MAGIC_AT] < _V2:
            try_old(data, data[_MAGIC_AT], self._room_bytes)
            self._taken_bytes += len(data)
            return batch
        plain = inflated(data, self._room_bytes)
        self._taken_bytes += len(plain)
        return batch if plain is data else DefaultRecordBatch(plain)

    def _plain(self, data: memoryview) -> memoryview | bytearray | None:
        """Return as much of a batch as can be inflated; None: it is to be asked for again, for there is no room beside those before it."""
        try:
            plain = inflated(data, self._room_bytes)
        except TooLargeError as exc:
            if self._taken_bytes:
                return None
            plain = exc.beginning
        except Exception:  # noqa: BLE001 a codec raises what it likes
            plain = data[:HEADER_BYTES]
        self._taken_bytes += len(plain)
        return plain

    def _refused(self, data: memoryview, beginning: bytearray) -> Iterator[Record]:
        """Yield a record for every offset of a batch that inflates too far; whose it is can be told of those at its beginning."""
        self._taken_bytes += self._limit_bytes
        fault = Fault(
            "too_large",
            f"its record batch decompresses to more than {self._limit_bytes} bytes; send pictures without "
            "compression, or in smaller batches",
        )
        base_offset, _ = _LENGTH.unpack_from(data)  # of an old one that of its last record
        last = base_offset if data[_MAGIC_AT] < _V2 else _last_offset(data, fault, None)
        yield from self._salvaged(beginning, fault, base_offset if last is None else last)

    def _is_passed_over(self, batch: Any) -> bool:  # noqa: ANN401
        """Whether nobody is to see this batch: a marker, or one of a transaction that was given up."""
        if self._isolation_level == aiokafka_fetcher.READ_COMMITTED and batch.producer_id is not None:
            self._consume_aborted_up_to(batch.base_offset)
            if batch.is_control_batch and self._contains_abort_marker(batch):
                self._aborted_producers.discard(batch.producer_id)
            if batch.is_transactional and batch.producer_id in self._aborted_producers:
                return True
        return bool(batch.is_control_batch)

    def _readable(self, batch: Any) -> Iterator[Record]:  # noqa: ANN401
        for record in batch:
            if record.offset >= self.next_fetch_offset:  # below: a part of the batch was taken before
                self.next_fetch_offset = record.offset + 1
                yield Record(
                    self._tp.topic,
                    self._tp.partition,
                    record.offset,
                    record.timestamp,
                    record.key,
                    record.value,
                    tuple(record.headers),
                )

    def _salvaged(self, plain: memoryview | bytearray, fault: Fault | None, last: int) -> Iterator[Record]:
        """Yield a record for every offset of a batch up to `last`; with `fault` none of them is to be trusted."""
        log.warning(
            "%s: a record batch contains records that cannot be read; they are answered as undecodable and skipped",
            self._tp,
        )
        topic, partition = self._tp
        for record in _walk(plain, topic, partition, fault):
            if self.next_fetch_offset <= record.offset <= last:
                self.next_fetch_offset = record.offset + 1
                yield record
        while self.next_fetch_offset <= last:
            self.next_fetch_offset += 1
            yield Record(topic, partition, self.next_fetch_offset - 1, -1, None, None, (), fault or STRUCTURE)
        self.next_fetch_offset = max(self.next_fetch_offset, last + 1)


def _opened(data: memoryview, magic: int) -> Any:  # noqa: ANN401
    """Return a batch, or None for one whose lengths cannot be, which aiokafka finds as it opens it."""
    try:
        return LegacyRecordBatch(data, magic) if magic < _V2 else DefaultRecordBatch(data)
    except Exception:  # noqa: BLE001 beyond the end CorruptRecordException, below zero SystemError: whatever a parser raises
        return None


def _fault_of(exc: Exception) -> Fault | None:
    """Return what is wrong with all of a batch; None: perhaps one record alone."""
    if isinstance(exc, UnsupportedCodecError):
        return Fault("unsupported", f"its record batch is compressed in an unsupported way: {exc}")
    return None


def _last_offset(data: memoryview, fault: Fault | None, following: int | None) -> int | None:
    """Return the last offset of a batch; None where that cannot be told.

    Its own word counts where the checksum says so, or where it names as many records as offsets: no frames topic is compacted.
    Otherwise the batch ends where the next one begins.
    """
    header = _DefaultRecordBatchPy.HEADER_STRUCT.unpack_from(data)
    base, delta, count = header[0], header[6], header[12]
    if fault is not CHECKSUM or (0 <= delta == count - 1 and (following is None or base + delta < following)):
        last: int = base + delta
        return last
    return None if following is None else following - 1


def _walk(plain: memoryview | bytearray, topic: str, partition: int, fault: Fault | None) -> Iterator[Record]:
    """Yield the records of an inflated batch as far as they can be told apart, each with what is wrong with it."""
    if len(plain) < HEADER_BYTES:
        return
    header = _DefaultRecordBatchPy.HEADER_STRUCT.unpack_from(plain)
    base_offset, first_timestamp, count = header[0], header[7], header[12]
    is_cut = fault is not None and fault.reason == "too_large"
    at = HEADER_BYTES
    offset = base_offset - 1
    for _ in range(count):
        try:
            length, at = decode_varint(plain, at)
        except (ValueError, IndexError):
            return
        end = min(at + length, len(plain)) if is_cut else at + length
        if not at < end <= len(plain):
            return
        reader = _RecordReader(plain, at, end)
        reader.read()
        at = end
        told = None if reader.offset_delta is None else base_offset + reader.offset_delta
        offset = told if told is not None and told > offset and fault is None else offset + 1
        yield Record(
            topic,
            partition,
            offset,
            first_timestamp,
            reader.key,
            None if is_cut else reader.value,
            tuple(reader.headers),
            fault or reader.fault,
        )


class _RecordReader:
    """Reads one record between two places of a buffer, as far as it goes."""

    def __init__(self, buffer: memoryview | bytearray, at: int, end: int) -> None:
        self._buffer = buffer
        self._at = at
        self._end = end
        self.offset_delta: int | None = None
        self.key: bytes | None = None
        self.value: bytes | None = None
        self.headers: list[tuple[str, bytes | None]] = []
        self.fault: Fault | None = None

    def read(self) -> None:
        """Fill in what is there; `fault` tells what is not."""
        try:
            self._at += 1  # attributes, of which Kafka has none yet
            self._number()  # timestamp
            self.offset_delta = self._number()
            self.key = self._bytes()
            self.value = self._bytes()
            for _ in range(self._number()):
                name, value = self._bytes() or b"", self._bytes()
                self.headers.append((self._text(name), value))
        except (ValueError, IndexError):
            self.fault = STRUCTURE
        if self._at != self._end:
            self.fault = STRUCTURE

    def _text(self, name: bytes) -> str:
        try:
            return name.decode()
        except UnicodeDecodeError:
            self.fault = HEADER_NAME
            return name.decode(errors="backslashreplace")

    def _number(self) -> int:
        number, self._at = decode_varint(self._buffer, self._at)
        if self._at > self._end:
            raise ValueError("beyond the record's end")
        return int(number)

    def _bytes(self) -> bytes | None:
        size = self._number()
        if size < 0:
            return None
        begin, self._at = self._at, self._at + size
        if self._at > self._end:
            raise ValueError("beyond the record's end")
        return bytes(self._buffer[begin : self._at])
