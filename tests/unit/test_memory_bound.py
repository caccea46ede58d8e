"""How much may be read, decoded and held: arithmetic that the burst test then checks on a real process."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from inspector.budget import Budget, chunk_bytes, headroom_chunks, largest_decoding_bytes, memory_bound_bytes
from inspector.config import MIB, LimitSettings, Settings


def settings(**limits: Any) -> Settings:
    return Settings(limits=LimitSettings(**limits))


@given(limit=st.integers(20, 900), used=st.integers(0, 900), pixels=st.integers(1, 100_000_000))
def test_a_read_that_is_allowed_leaves_room_for_one_frame_to_be_decoded(limit: int, used: int, pixels: int) -> None:
    tree = settings(max_bytes_in_flight=limit * MIB, max_pixels=pixels)
    budget = Budget(limit * MIB)
    budget.hold(used * MIB)
    chunks = headroom_chunks(tree, budget)
    assert chunks >= (1 if used == 0 else 0)
    if used > 0 and chunks > 0:
        read = budget.used_bytes + chunks * chunk_bytes(tree)
        assert read + largest_decoding_bytes(tree) <= budget.limit_bytes


def test_the_bound_grows_with_everything_that_is_bounded() -> None:
    def bound(partitions: int = 2, workers: int = 2, **limits: Any) -> int:
        return memory_bound_bytes(
            settings(**limits), partitions=partitions, workers=workers, fetch_bytes=MIB, send_bytes=MIB
        )

    assert bound(max_bytes_in_flight=600 * MIB) - bound(max_bytes_in_flight=500 * MIB) >= 100 * MIB
    assert bound(partitions=3) - bound(partitions=2) >= 8 * MIB, "one more fetch of the largest message"
    assert bound(workers=3) > bound(workers=2)
    assert bound(max_frames_in_flight=2048) - bound(max_frames_in_flight=1024) == 1024 * 4096
