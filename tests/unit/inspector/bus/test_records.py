"""Whatever stands in a partition: every offset comes out once, good records as they are, the others with what is wrong with them."""

from __future__ import annotations

import struct
import zlib

import pytest
from aiokafka import TopicPartition
from hypothesis import given
from hypothesis import strategies as st

from inspector.bus.records import (
    CHECKSUM,
    HEADER_NAME,
    STRUCTURE,
    Batches,
    Record,
    Records,
    following_offset,
    unending,
    unreadable,
)
from tests.record_batches import ATTRIBUTES_AT, LAST_DELTA_AT, RECORDS_AT, record_batch, sealed, with_bytes

NAMES = [("line_id", b"l"), ("XX", b"1"), ("camera_id", b"c")]
not_utf8 = with_bytes(b"XX", b"\xff\xfe")


def reader(*batches: bytes | bytearray, begin: int = 0) -> Records:
    data = Batches(b"".join(bytes(batch) for batch in batches))
    return Records(TopicPartition("t", 3), data, None, begin, None, None, True, 1)


def read(*batches: bytes | bytearray, begin: int = 0) -> list[Record]:
    return list(reader(*batches, begin=begin))


def offsets(records: list[Record]) -> list[int]:
    return [record.offset for record in records]


@pytest.mark.parametrize("codec", [0, 1, 2, 3, 4])
def test_good_batches_come_as_they_are(codec: int) -> None:
    records = read(
        record_batch([b"a", b"b"], codec=codec, headers=NAMES, key=b"k"),
        record_batch([b"c"], base_offset=2, codec=codec),
    )
    assert [(r.offset, r.key, r.value, r.fault) for r in records] == [
        (0, b"k", b"a", None),
        (1, b"k", b"b", None),
        (2, None, b"c", None),
    ]
    assert list(records[0].headers) == NAMES


@pytest.mark.parametrize("begin", [0, 1, 2])
def test_a_header_name_that_is_not_utf8_harms_its_own_record_alone(begin: int) -> None:
    batch = record_batch([b"a", b"b"], headers=NAMES)
    at = batch.rindex(b"XX")  # of the second record
    batch[at : at + 2] = b"\xff\xfe"
    records = read(sealed(batch), record_batch([b"c"], base_offset=2), begin=begin)
    expected = [(0, b"a", None), (1, b"b", HEADER_NAME), (2, b"c", None)]
    assert [(r.offset, r.value, r.fault) for r in records] == expected[begin:]
    if begin < 2:
        assert list(records[1 - begin].headers) == [NAMES[0], (r"\xff\xfe", b"1"), NAMES[2]]


def test_the_same_in_a_compressed_batch() -> None:
    inner = not_utf8(record_batch([b"a"], headers=NAMES))
    packed = record_batch([b"x" * 100], codec=1)
    import gzip

    body = gzip.compress(bytes(inner[RECORDS_AT:]))
    batch = packed[:RECORDS_AT] + bytearray(body)
    struct.pack_into(">i", batch, 8, len(batch) - 12)
    (record,) = read(sealed(batch))
    assert (record.offset, record.value, record.fault) == (0, b"a", HEADER_NAME)


def test_a_wrong_checksum_leaves_no_record_of_its_batch_trusted_and_all_answered() -> None:
    broken = record_batch([b"a", b"b", b"c"], base_offset=5, headers=NAMES)
    broken[broken.index(b"b")] ^= 1
    records = read(record_batch([b"z"], base_offset=4), broken, record_batch([b"d"], base_offset=8), begin=4)
    assert offsets(records) == [4, 5, 6, 7, 8]
    assert [r.fault for r in records] == [None, CHECKSUM, CHECKSUM, CHECKSUM, None]
    assert list(records[1].headers) == NAMES, "whose it is can still be told"


def test_a_codec_that_nobody_knows_is_answered_offset_by_offset() -> None:
    batch = record_batch([b"a", b"b"])
    struct.pack_into(">h", batch, ATTRIBUTES_AT, 7)
    records = read(sealed(batch), record_batch([b"c"], base_offset=2))
    assert offsets(records) == [0, 1, 2]
    assert [r.fault and r.fault.reason for r in records] == ["unsupported", "unsupported", None]


def test_compressed_bytes_that_are_garbage_are_answered_offset_by_offset() -> None:
    batch = record_batch([b"a" * 100, b"b"], codec=3)
    batch[RECORDS_AT:] = b"\0" * len(batch[RECORDS_AT:])
    records = read(sealed(batch), record_batch([b"c"], base_offset=2))
    assert [(r.offset, r.value, r.fault) for r in records] == [
        (0, None, STRUCTURE),
        (1, None, STRUCTURE),
        (2, b"c", None),
    ]


def test_where_the_end_of_a_broken_batch_cannot_be_told_the_next_one_tells_it() -> None:
    broken = record_batch([b"a", b"b"])
    struct.pack_into(">i", broken, LAST_DELTA_AT, 1 << 30)
    records = read(broken, record_batch([b"c"], base_offset=2))
    assert offsets(records) == [0, 1, 2]
    assert records[2].fault is None


def test_where_nothing_tells_it_the_position_stays_until_the_consumer_has_found_out(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broken = record_batch([b"a", b"b"])
    struct.pack_into(">i", broken, LAST_DELTA_AT, 1 << 30)
    records = reader(record_batch([b"z"]), broken)
    assert offsets(list(records)) == [0]
    assert records.next_fetch_offset == 1
    assert "at offset 1 cannot be read, and its end is unknown" in caplog.text


def test_a_piece_of_a_batch_is_asked_for_again() -> None:
    batch = record_batch([b"a" * 50])
    records = reader(batch[:80])
    assert list(records) == []
    assert records.next_fetch_offset == 0


def test_records_are_taken_as_many_as_wanted_and_go_on_within_a_salvaged_batch() -> None:
    broken = record_batch([b"a", b"b", b"c"])
    broken[broken.index(b"b")] ^= 1
    records = reader(broken)
    next(records)
    assert records.next_fetch_offset == 1
    assert offsets(read(broken, begin=1)) == [1, 2]


@given(st.data())
def test_no_byte_of_a_batch_stops_those_behind_it_or_takes_the_trust_of_one_before(data: st.DataObject) -> None:
    batches = [record_batch([b"value-%d" % n, b"other"], base_offset=2 * n, headers=NAMES) for n in range(3)]
    hit = data.draw(
        st.integers(17, len(batches[1]) - 1)
    )  # from the checksum on; what stands before is the broker's word
    batches[1][hit] ^= data.draw(st.integers(1, 255))
    records = read(*batches)
    assert offsets(records) == [0, 1, 2, 3, 4, 5]
    assert [r.fault for r in records] == [None, None, CHECKSUM, CHECKSUM, None, None]


def test_a_batch_that_does_not_tell_its_end_is_noted_with_its_place_and_size() -> None:
    good, bad = record_batch([b"a"]), record_batch([b"b", b"c"], base_offset=1)
    struct.pack_into(">i", bad, LAST_DELTA_AT, 1 << 30)
    assert offsets(read(good, bad)) == [0]
    assert unending.pop(TopicPartition("t", 3)) == (1, len(bad))
    assert offsets(read(good, bad, record_batch([b"d"], base_offset=3))) == [0, 1, 2, 3], "the one behind it tells"
    assert TopicPartition("t", 3) not in unending


def test_the_batch_behind_one_is_told_by_its_beginning_alone() -> None:
    first, second = record_batch([b"a"]), record_batch([b"b"], base_offset=7)
    assert following_offset(bytes(first + second)) == 7
    assert following_offset(bytes(first + second[:12])) == 7
    assert following_offset(bytes(first + second[:11])) is None
    assert following_offset(bytes(first)) is None
    assert following_offset(b"") is None
    struct.pack_into(">i", first, 8, -5)
    assert following_offset(bytes(first + second)) is None


def test_what_is_unreadable_has_a_record_for_each_offset() -> None:
    records = unreadable(TopicPartition("t", 3), 5, 8)
    assert [(r.topic, r.partition, r.offset, r.value, r.fault) for r in records] == [
        ("t", 3, offset, None, CHECKSUM) for offset in (5, 6, 7)
    ]


def test_a_batch_that_names_an_end_before_its_records_sends_nobody_back() -> None:
    """Found by `make fuzz`; its checksum fits, so that it is read as it says."""
    liar = record_batch([b"a", b"b", b"c"])
    struct.pack_into(">i", liar, LAST_DELTA_AT, 0)
    records = reader(sealed(liar), record_batch([b"x", b"y", b"z"], base_offset=1))
    assert offsets(list(records)) == [0, 1, 2, 3]
    assert records.next_fetch_offset == 4


@pytest.mark.parametrize("magic", [0, 1])
@pytest.mark.parametrize("length", [1 << 25, -2, -(1 << 31)])
def test_an_old_message_whose_lengths_cannot_be_stops_nobody(magic: int, length: int) -> None:
    """Found by `make fuzz`: aiokafka raises as soon as it opens one."""
    body = bytes([magic, 0]) + bytes(8 if magic else 0) + struct.pack(">i", length) + bytes(30)
    broken = struct.pack(">qiI", 5, 4 + len(body), zlib.crc32(body)) + body
    records = reader(record_batch([b"z"]), broken, record_batch([b"c"], base_offset=6))
    assert offsets(list(records)) == [0], "the consumer finds out where the next one begins"
    assert records.next_fetch_offset == 1
    assert unending.pop(TopicPartition("t", 3)).offset == 1
