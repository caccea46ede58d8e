"""Which partitions are read: within the byte budget, those that have little in flight first, and room is kept for them."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from inspector.inflight.budget import HEARTBEATS, Budget, chunk_bytes, headroom_chunks, partitions_to_read
from inspector.settings.section import MIB
from inspector.settings.settings import LimitSettings, Settings


def tree(limit_mib: int = 256) -> Settings:
    """Settings whose chunks are 16 MiB large; half of the limit is left to decoding."""
    return Settings(limits=LimitSettings(max_bytes_in_flight=limit_mib * MIB))


def readable(settings: Settings, held: dict[int, int], *, empty: frozenset[int] = frozenset()) -> list[int]:
    """The partitions that are read while these hold so many chunks."""
    budget = Budget(settings.limits.max_bytes_in_flight)
    for partition, chunks in held.items():
        budget.hold(chunks * chunk_bytes(settings), partition)
    return partitions_to_read(settings, budget, list(held), lambda partition: partition not in empty)


def test_with_room_for_all_all_are_read() -> None:
    assert readable(tree(), {0: 0, 1: 0, 2: 0}) == [0, 1, 2]


def test_with_little_room_those_that_have_little_in_flight_and_something_to_read_go_first() -> None:
    assert readable(tree(), {0: 3, 1: 1, 2: 0, 3: 0}, empty=frozenset({3}))[:2] == [2, 1]
    assert readable(tree(80), {0: 1, 1: 0, 2: 0}, empty=frozenset({1})) == [2]


def test_of_those_that_have_as_much_in_flight_the_first_go_first() -> None:
    assert readable(tree(80), {5: 0, 3: 0, 4: 0}) == [5, 3]


def test_a_partition_that_floods_leaves_room_for_each_other_one() -> None:
    settings, held = tree(), {0: 0, 1: 0, 2: 0}
    while 0 in readable(settings, held):
        held[0] += 1
    assert held[0] >= 4, "of seven chunks"
    assert readable(settings, held) == [1, 2]
    assert readable(settings, held | {1: 1}) == [2], "what one has taken of its part is not kept from the other"


@pytest.mark.parametrize(("others", "chunks"), [(1, 6), (2, 5), (3, 4), (5, 4), (11, 4)])
def test_for_each_other_partition_a_chunk_is_kept_up_to_half_of_all_even_if_nothing_is_known_to_be_in_it(
    others: int, chunks: int
) -> None:
    """Of seven chunks; how many the flooding partition has when it is left out."""
    settings, silent = tree(), dict.fromkeys(range(1, 1 + others), 0)
    is_read = [0 in readable(settings, {0: held, **silent}, empty=frozenset(silent)) for held in range(8)]
    assert is_read == [True] * chunks + [False] * (8 - chunks)


def test_one_partition_alone_gets_all_there_is() -> None:
    settings, held = tree(), {0: 0}
    while readable(settings, held):
        held[0] += 1
    assert held[0] == 7


def test_all_that_flood_share_and_none_starves() -> None:
    settings, held = tree(), dict.fromkeys(range(3), 0)
    while chosen := readable(settings, held):
        held[chosen[0]] += 1
    assert sum(held.values()) == 7
    assert max(held.values()) - min(held.values()) <= 1


def test_a_budget_of_hardly_a_chunk_is_read_by_turns_when_nothing_is_in_flight() -> None:
    assert readable(tree(20), {0: 0, 1: 0}, empty=frozenset({0})) == [1]
    budget = Budget(20 * MIB)
    budget.hold(1, 0)
    assert partitions_to_read(tree(20), budget, [0, 1], lambda _: True) == []


def test_a_heartbeat_that_is_stuck_keeps_nothing_from_being_read() -> None:
    budget = Budget(20 * MIB)
    budget.hold(MIB, HEARTBEATS)
    assert partitions_to_read(tree(20), budget, [0, 1], lambda _: True) == [0]
    budget.hold(1, 0)
    assert partitions_to_read(tree(20), budget, [0, 1], lambda _: True) == []


@given(
    limit_mib=st.integers(20, 600),
    held=st.dictionaries(st.integers(0, 20), st.integers(0, 300), min_size=1, max_size=12),
    empty=st.frozensets(st.integers(0, 20)),
)
@example(limit_mib=35, held={0: 0, 1: 1}, empty=frozenset({0}))
def test_never_more_than_there_is_room_for_and_never_none_while_nothing_is_in_flight(
    limit_mib: int, held: dict[int, int], empty: frozenset[int]
) -> None:
    settings = tree(limit_mib)
    budget = Budget(limit_mib * MIB)
    for partition, mib in held.items():
        budget.hold(mib * MIB, partition)
    chosen = partitions_to_read(settings, budget, list(held), lambda partition: partition not in empty)
    room = headroom_chunks(settings, budget)
    assert len(chosen) == len(set(chosen)) <= room
    if room > 0 and min(held.values()) == 0:
        idle = {partition for partition, mib in held.items() if mib == 0}
        if idle - empty:
            assert set(chosen) & (idle - empty), "who has nothing in flight and something to read is read"
        else:
            assert set(chosen) & idle or not set(chosen) & empty, "or those who have something take what room there is"


def test_what_a_partition_holds_is_given_back_with_its_frames() -> None:
    budget = Budget(1000)
    first, second = budget.hold(100, "a"), budget.hold(50, "a")
    assert first.grow(20)
    second.force(5)
    budget.hold(7, "b")
    assert (budget.used_by("a"), budget.used_by("b"), budget.used_by("c")) == (175, 7, 0)
    first.shrink_to(10)
    second.release()
    assert budget.used_by("a") == 10
    first.release()
    first.release()
    assert (budget.used_by("a"), budget.used_bytes) == (0, 7)
