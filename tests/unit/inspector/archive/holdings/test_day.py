from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from inspector.archive.holdings import day as day_module
from inspector.archive.holdings.day import Change, Day, Limits
from schemas.archive.row import ArchiveRow
from tests.archives import arrival_of

LIMITS = Limits(ok=5, uninspected=2)
SCORES = st.sampled_from([0.2, 0.3, 0.46, 0.7, None])


def rows(*scores: float | None) -> list[ArchiveRow]:
    return [arrival_of(seq, score).row for seq, score in enumerate(scores)]


def ids(found: object) -> set[str]:
    return {row.result_id for row in found}  # type: ignore[attr-defined]


def after(segments: dict[int, list[ArchiveRow]], change: Change) -> dict[int, list[ArchiveRow]]:
    """The index as the change leaves it."""
    merged = segments | change.segments
    return {number: found for number, found in merged.items() if found}


def smallest(candidates: list[ArchiveRow], size: int) -> set[str]:
    return set(sorted(row.result_id for row in candidates)[:size])


@given(
    st.lists(SCORES, max_size=24),
    st.randoms(use_true_random=False),
    st.lists(st.integers(1, 7), min_size=1, max_size=20),
)
def test_whatever_the_order_the_batches_the_repeats_and_the_restarts_the_same_pictures_stay(
    scores: list[float | None], chance: object, sizes: list[int]
) -> None:
    arriving = rows(*scores)
    index: dict[int, list[ArchiveRow]] = {}
    files: set[str] = set()
    order = arriving + arriving[: len(arriving) // 3]  # what is read again after a crash
    chance.shuffle(order)  # type: ignore[attr-defined]
    day = Day(index)
    for number in range(0, len(order), sizes[0]):
        if sizes[number % len(sizes)] > 4:
            day = Day(index)  # another process goes on
        change = day.add(order[number : number + sizes[0]], LIMITS)
        index = after(index, change)
        assert not ids(change.added) & ids(change.removed)
        files = (files | ids(change.added)) - ids(change.removed)
    inspected = [row for row in arriving if row.status == "inspected"]
    ok_rows = [row for row in inspected if row.anomaly_class == "ok"]
    sample = smallest(ok_rows, LIMITS.ok)
    kept = {row.result_id for row in inspected if row.anomaly_class == "nok" or row.is_near} | sample
    kept |= smallest([row for row in arriving if row.status != "inspected"], LIMITS.uninspected)
    held = [row for segment in index.values() for row in segment]
    assert files == ids(held) == kept
    assert len(held) == len(kept)
    assert {row.result_id for row in held if row.is_sample and row.status == "inspected"} == sample
    assert ids(Day(index).rows()) == kept


def test_a_sample_that_is_full_takes_only_what_comes_before_its_last() -> None:
    day = Day({})
    ok_rows = sorted(rows(*[0.2] * 9), key=lambda row: row.result_id)
    assert day.may_sample(ok_rows[-1].result_id, is_inspected=True, limits=LIMITS)
    day.add(ok_rows[2:7], LIMITS)
    assert day.may_sample(ok_rows[1].result_id, is_inspected=True, limits=LIMITS)
    assert not day.may_sample(ok_rows[7].result_id, is_inspected=True, limits=LIMITS)
    assert not Day({}).may_sample("0" * 32, is_inspected=False, limits=Limits(5, 0))


def test_the_index_is_parted_so_that_a_change_costs_the_same_however_long_the_day(monkeypatch: object) -> None:
    monkeypatch.setattr(day_module, "SEGMENT_ROWS", 3)  # type: ignore[attr-defined]
    day = Day({})
    noks = rows(*[0.9] * 7)
    first = day.add(noks, LIMITS)
    assert {number: len(found) for number, found in first.segments.items()} == {0: 3, 1: 3, 2: 1}
    assert list(day.add([arrival_of(99, 0.9).row], LIMITS).segments) == [2]
    gone = day.remove([noks[0].result_id, noks[1].result_id, noks[2].result_id, "strange"])
    assert gone.segments == {0: []}
    assert ids(gone.removed) == ids(noks[:3])
