"""What compressed record batches may take: a limit that no codec gets beyond, seen from inside and from the process's memory."""

from __future__ import annotations

import gzip
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from aiokafka import TopicPartition
from aiokafka.codec import gzip_encode, lz4_encode, snappy_encode, zstd_encode
from aiokafka.record.legacy_records import LegacyRecordBatchBuilder

from inspector.bus.inflate import HEADER_BYTES, TooLargeError, inflated
from inspector.bus.records import Batches, Record, Records, limit_inflated
from inspector.inflight.budget import fetched_bytes, memory_bound_bytes
from inspector.settings.section import MIB
from inspector.settings.settings import LimitSettings, Settings
from tests.bombs import CODECS, bomb, compressed_batch
from tests.record_batches import record_batch, sealed

LIMIT = 100_000
ENCODERS = {1: gzip_encode, 2: snappy_encode, 3: lz4_encode, 4: zstd_encode}


def reader(*batches: bytes | bytearray, begin: int = 0, topic: str = "t") -> Records:
    data = Batches(b"".join(bytes(batch) for batch in batches))
    return Records(TopicPartition(topic, 3), data, None, begin, None, None, True, 1)


@pytest.fixture(autouse=True)
def _limit() -> None:
    limit_inflated("t", LIMIT)


def told(records: list[Record]) -> list[tuple[int, str | None]]:
    return [(record.offset, record.fault and record.fault.reason) for record in records]


@pytest.mark.parametrize("codec", CODECS)
def test_a_batch_beyond_the_limit_is_answered_under_its_key_and_those_around_it_are_read(codec: str) -> None:
    records = list(reader(bomb(codec, 20 * LIMIT, base_offset=4), record_batch([b"c"], base_offset=5), begin=4))
    assert told(records) == [(4, "too_large"), (5, None)]
    assert (records[0].key, records[0].value) == (b"line/a", None)
    fault = records[0].fault
    assert fault is not None
    assert fault.detail == (
        "its record batch decompresses to more than 100000 bytes; send pictures without compression, or in smaller "
        "batches"
    )


@pytest.mark.parametrize("codec", CODECS)
def test_every_offset_of_it_is_answered_with_what_its_beginning_tells(codec: str) -> None:
    values = [b"a" * 1000, b"b" * 1000, *[bytes(LIMIT)] * 3]
    batch = record_batch(values, codec=CODECS[codec], headers=[("camera_id", b"c")])
    records = list(reader(batch, record_batch([b"c"], base_offset=5)))
    assert told(records) == [*((offset, "too_large") for offset in range(5)), (5, None)]
    assert [record.headers for record in records[:2]] == [(("camera_id", b"c"),)] * 2
    assert all(record.value is None for record in records[:5]), "nothing of it is kept"


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("spare", [-1, 0, 1])
def test_the_limit_is_exact(codec: str, spare: int) -> None:
    plain = bytes(record_batch([bytes(5000), b"b"]))
    batch = memoryview(compressed_batch(ENCODERS[CODECS[codec]](plain[HEADER_BYTES:]), CODECS[codec], count=2))
    limit = len(plain) - HEADER_BYTES + spare
    if spare < 0:
        with pytest.raises(TooLargeError):
            inflated(batch, limit)
    else:
        assert bytes(inflated(batch, limit)[HEADER_BYTES:]) == plain[HEADER_BYTES:]


@pytest.mark.parametrize("codec", CODECS)
def test_what_does_not_fit_beside_those_before_it_comes_with_the_next_answer(codec: str) -> None:
    batches = [record_batch([bytes(40_000)], base_offset=number, codec=CODECS[codec]) for number in range(3)]
    first = reader(*batches)
    assert told(list(first)) == [(0, None), (1, None)]
    assert first.next_fetch_offset == 2
    assert told(list(reader(batches[2], begin=2))) == [(2, None)]


def test_bombs_in_a_row_come_one_by_one() -> None:
    bombs = [bomb("gzip", 2 * LIMIT, base_offset=number) for number in range(3)]
    first = reader(*bombs)
    assert told(list(first)) == [(0, "too_large")]
    assert first.next_fetch_offset == 1


def test_a_batch_with_a_wrong_checksum_is_inflated_no_further() -> None:
    batch = bomb("zstd", 20 * LIMIT)
    batch[17] ^= 1
    (record,) = list(reader(batch))
    assert told([record]) == [(0, "corrupt")]


def test_bare_snappy_is_read_and_limited_too() -> None:
    body = bytes(record_batch([bytes(5000)])[HEADER_BYTES:])
    batch = compressed_batch(snappy_encode(body, xerial_compatible=False), 2)
    (record,) = list(reader(batch))
    assert record.value == bytes(5000)
    large = compressed_batch(snappy_encode(bytes(2 * LIMIT), xerial_compatible=False), 2)
    assert told(list(reader(large))) == [(0, "too_large")]


def test_a_stream_of_empty_pieces_is_none() -> None:
    """They cost time and no room."""
    for codec, body in (
        (1, gzip.compress(b"") * 1000),
        (2, snappy_encode(b"") + struct.pack(">ib", 1, 0) * 70_000),
        (2, snappy_encode(b"") + struct.pack(">i", 0) * 1000),
        (1, gzip.compress(b"x" * 1000)[:-9]),
    ):
        assert told(list(reader(compressed_batch(body, codec)))) == [(0, "corrupt")]


@pytest.mark.parametrize("codec", [1, 2, 3])
def test_messages_of_before_kafka_0_11_are_limited_too(codec: int) -> None:
    def message(size: int) -> bytes:
        builder = LegacyRecordBatchBuilder(magic=1, compression_type=codec, batch_size=1 << 24)
        for number in range(3):
            builder.append(number, timestamp=1, key=b"k", value=bytes(size))
        return bytes(builder.build())

    assert [len(record.value or b"") for record in reader(message(1000))] == [1000] * 3
    wrapped = bytearray(message(LIMIT))
    struct.pack_into(">q", wrapped, 0, 2)  # a broker gives the whole the offset of its last message
    records = list(reader(wrapped, record_batch([b"c"], base_offset=3)))
    assert told(records) == [(0, "too_large"), (1, "too_large"), (2, "too_large"), (3, None)]


def test_an_unknown_codec_is_none_of_ours() -> None:
    batch = record_batch([b"a"])
    struct.pack_into(">h", batch, 21, 6)
    assert told(list(reader(sealed(batch)))) == [(0, "unsupported")]


READING = """
import pathlib, sys
from aiokafka import TopicPartition
from inspector.bus.records import Batches, Records, limit_inflated

def memory(name):
    return next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith(name))

limit_inflated("t", int(sys.argv[1]))

def records(file):
    data = Batches(pathlib.Path(file).read_bytes())
    return Records(TopicPartition("t", 0), data, None, 0, None, None, True, 1)

list(records(sys.argv[2]))  # a small one: what a first use takes is no part of it
before = memory("VmRSS")
pathlib.Path("/proc/self/clear_refs").write_text("5")
grown = []
for file in sys.argv[3:]:
    (record,) = records(file)
    assert record.fault.reason == "too_large", record.fault
print(memory("VmHWM") - before)
"""


def test_a_process_grows_by_no_more_than_it_promises(tmp_path: Path) -> None:
    settings = Settings(limits=LimitSettings(max_frame_bytes=8 * MIB))
    limit = fetched_bytes(settings)
    files = [tmp_path / "small"]
    files[0].write_bytes(record_batch([b"a"]))
    on_the_wire = 0
    for codec in CODECS:
        file = tmp_path / codec
        data = bomb(codec, 300 * MIB)
        file.write_bytes(data)
        on_the_wire = max(on_the_wire, len(data))
        files.append(file)
    done = subprocess.run(
        [sys.executable, "-c", READING, str(limit), *map(str, files)], capture_output=True, text=True, check=True
    )
    grown = int(done.stdout)

    def bound(partitions: int) -> int:
        return memory_bound_bytes(
            settings, partitions=partitions, workers=1, device_threads=1, domains=0, fetch_bytes=MIB, send_bytes=MIB
        )

    print(f"grew {grown / MIB:.1f} MiB; the largest bomb has {on_the_wire / MIB:.1f} MiB")
    assert limit < grown, "it was inflated at all"
    # Its bytes are counted as fetched; what comes out of them, and a codec's window, beside.
    assert grown <= 2 * limit + 2 * on_the_wire + 8 * MIB < 300 * MIB
    assert bound(1) - bound(0) >= 2 * limit
