"""The lease: what may be committed, how far work may run ahead, what a revoked one ignores."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from inspector.inflight.lease import Lease

PARTITION = ("frames", 3)


def lease_with(offsets: list[int], cap: int = 1000) -> Lease:
    lease = Lease(PARTITION, 1, cap=cap)
    for offset in offsets:
        assert lease.take(offset)
    return lease


@given(
    offsets=st.lists(st.integers(0, 500), unique=True, min_size=1).map(sorted),
    data=st.data(),
)
def test_the_mark_is_the_longest_acknowledged_prefix_whatever_the_gaps(offsets: list[int], data: st.DataObject) -> None:
    lease = lease_with(offsets, cap=data.draw(st.integers(1, len(offsets))))
    order = data.draw(st.permutations(offsets))
    done: set[int] = set()
    for offset in order:
        lease.acknowledge(offset)
        done.add(offset)
        prefix = 0
        while prefix < len(offsets) and offsets[prefix] in done:
            prefix += 1
        assert lease.committable() == (offsets[prefix - 1] + 1 if prefix else None)
        assert lease.in_flight == len(offsets) - len(done)
        assert lease.readable == (len(offsets) - prefix < lease.cap)
    assert lease.committable() == offsets[-1] + 1


@given(st.lists(st.tuples(st.sampled_from(["take", "ack", "commit", "abandon"]), st.integers(0, 3))))
def test_a_commit_never_passes_what_is_owed_and_never_goes_back(steps: list[tuple[str, int]]) -> None:
    lease = Lease(PARTITION, 1, cap=1000)
    owed: set[int] = set()
    abandoned: set[int] = set()
    committed = -1
    for step, offset in steps:
        if step == "take":
            if lease.take(offset):
                owed.add(offset)
        elif step == "ack":
            lease.acknowledge(offset)
            owed.discard(offset)
        elif step == "abandon" and offset in owed:
            lease.abandon(offset)
            owed.discard(offset)
            abandoned.add(offset)
        elif step == "commit" and (mark := lease.committable()) is not None:
            assert all(offset >= mark for offset in owed | abandoned)
            assert mark > committed
            lease.committed(mark)
            committed = mark
        assert lease.in_flight == len(owed)


def test_the_cap_bounds_the_distance_and_not_only_what_is_in_flight() -> None:
    lease = lease_with([0, 1, 2], cap=3)
    assert not lease.readable
    lease.acknowledge(2)
    lease.acknowledge(1)
    assert lease.in_flight == 1
    assert not lease.readable
    lease.acknowledge(0)
    assert lease.readable


def test_what_was_committed_is_not_committed_again() -> None:
    lease = lease_with([7])
    lease.acknowledge(7)
    lease.committed(8)
    assert lease.committable() is None


def test_an_acknowledgement_for_an_offset_never_read_changes_nothing() -> None:
    lease = lease_with([4, 9])
    for stranger in (3, 5, 10):
        lease.acknowledge(stranger)
        lease.abandon(stranger)
    assert (lease.in_flight, lease.committable()) == (2, None)


def test_a_record_that_is_still_in_flight_is_not_taken_twice() -> None:
    lease = lease_with([4, 5])
    assert not lease.take(4)
    lease.acknowledge(4)
    assert lease.committable() == 5


def test_what_is_read_again_from_before_is_owed_again() -> None:
    lease = lease_with([4, 5])
    lease.acknowledge(4)
    for offset in (3, 4):
        assert lease.take(offset), "a partition was cut off or made anew"
    assert lease.in_flight == 3
    for offset in (3, 4):
        assert lease.committable() is None
        lease.acknowledge(offset)
    assert lease.committable() == 5, "never back to 4"
    lease.acknowledge(5)
    assert lease.committable() == 6
    assert lease.in_flight == 0


def test_a_closing_lease_reads_no_more_but_still_commits() -> None:
    lease = lease_with([1])
    lease.close()
    assert not lease.readable
    lease.acknowledge(1)
    assert lease.committable() == 2


def test_a_revoked_lease_ignores_everything() -> None:
    lease = lease_with([1, 2])
    lease.acknowledge(1)
    lease.end()
    lease.acknowledge(2)
    lease.committed(3)
    assert lease.ended
    assert not lease.readable
    assert not lease.take(3)
    assert (lease.in_flight, lease.committable()) == (0, None)


def test_what_is_committed_begins_where_reading_began() -> None:
    assert lease_with([]).committed_offset is None
    lease = lease_with([7, 8])
    assert lease.committed_offset == 7
    lease.acknowledge(7)
    lease.committed(8)
    assert lease.committed_offset == 8


def test_the_next_offset_is_behind_the_one_that_was_read_last() -> None:
    lease = lease_with([])
    seen = [lease.next_offset]
    for offset in (0, 7, 0):
        lease.take(offset)
        seen.append(lease.next_offset)
    lease.end()
    lease.take(9)
    seen.append(lease.next_offset)
    assert seen == [None, 1, 8, 8, 8], "what is skipped was not read"


def test_a_lease_is_of_a_partition_and_of_one_assignment() -> None:
    lease = Lease(PARTITION, 4, cap=5)
    assert (lease.partition, lease.epoch, lease.cap) == (PARTITION, 4, 5)
    assert (lease.closing, lease.ended, lease.readable, lease.in_flight) == (False, False, True, 0)
    lease.close()
    assert (lease.closing, lease.ended) == (True, False)
    lease.end()
    assert (lease.closing, lease.ended) == (True, True)


def test_what_was_given_up_is_given_up_once_and_holds_back_the_commit() -> None:
    lease = lease_with([1, 2])
    for _ in range(2):
        lease.abandon(1)
    lease.acknowledge(1)
    lease.acknowledge(2)
    assert (lease.in_flight, lease.committable()) == (0, None)
    lease = lease_with([3, 4])
    lease.acknowledge(3)
    lease.abandon(4)
    assert lease.committable() == 4, "what lies before it"
