from __future__ import annotations

import pytest

from inspector.bus.ports import Partition, Survey
from inspector.inflight.watch import GIVE_UP_AFTER_S, LOOKS, STALLED_AFTER_S, UNSEEN_AFTER_S, Watch

A: Partition = ("frames", 0)
B: Partition = ("frames", 1)


def survey(a: int = 10, b: int = 10, *, partitions: int = 2, shared_out: int = 2) -> Survey:
    return Survey(partitions, shared_out, {A: a, B: b})


def watched(seconds: float, position: int | None, *, end: int = 10, asked: tuple[Partition, ...] = (A, B)) -> Watch:
    """A watch that has seen partition 0 stand at a position for so long."""
    watch = Watch("frames", 0.0)
    watch.seen(survey(end), {A: position, B: 10}, (A, B), 0.0)
    for _ in range(LOOKS):
        watch.seen(survey(end), {A: position, B: 10}, asked, seconds)
    return watch


def test_before_the_first_survey_and_without_one_for_long_nobody_knows() -> None:
    watch = Watch("frames", 100.0)
    assert watch.not_ready(101.0) == "the brokers have not reported yet what there is to read"
    watch.seen(survey(), {A: 10, B: 10}, (), 102.0)
    assert watch.not_ready(103.0) is None
    watch.unseen("no broker answers")
    assert watch.not_ready(103.0) is None, "one that fails is not the end"
    late = watch.not_ready(102.0 + UNSEEN_AFTER_S)
    assert late == "the brokers have not told for 10 s what there is to read: no broker answers"


@pytest.mark.parametrize(
    ("partitions", "shared_out", "why"),
    [
        (0, 2, "topic frames does not exist"),
        (6, 2, "topic frames has 6 partitions, but there were 2 when the group shared them out"),
        (2, 0, "topic frames has 2 partitions, but there were 0 when the group shared them out"),
        (2, 2, None),
    ],
)
def test_ready_means_that_all_partitions_were_shared_out(partitions: int, shared_out: int, why: str | None) -> None:
    watch = Watch("frames", 0.0)
    watch.seen(survey(partitions=partitions, shared_out=shared_out), {}, (), 0.0)
    assert watch.not_ready(0.0) == why


def test_a_partition_that_stands_still_with_records_before_it_makes_unready_and_then_ends() -> None:
    assert watched(STALLED_AFTER_S - 1, 4).not_ready(STALLED_AFTER_S - 1) is None
    watch = watched(STALLED_AFTER_S, 4)
    assert watch.stalled_s() == {A: STALLED_AFTER_S, B: 0.0}
    told = "partition 0 of frames holds 6 records from offset 4 on, and none of them was read for 10 s"
    assert watch.not_ready(STALLED_AFTER_S) == told
    assert watch.failure() is None
    failure = watched(GIVE_UP_AFTER_S, 4).failure()
    assert failure is not None
    assert "offset 4 on, and none of them was read for 30 s, although the brokers answer" in failure


def test_a_partition_whose_position_is_never_found_stands_still_too() -> None:
    failure = watched(GIVE_UP_AFTER_S, None).failure()
    assert failure is not None
    assert "holds 10 records from its first offset on" in failure


def test_one_look_after_a_pause_ends_nothing() -> None:
    """The process was suspended: it has read nothing meanwhile, and reads on."""
    watch = Watch("frames", 0.0)
    watch.seen(survey(), {A: 4, B: 10}, (A, B), 0.0)
    for _ in range(LOOKS - 1):
        watch.seen(survey(), {A: 4, B: 10}, (A, B), 3600.0)
    assert watch.failure() is None
    watch.seen(survey(), {A: 5, B: 10}, (A, B), 3602.0)
    assert watch.failure() is None


def test_what_has_nothing_to_read_or_was_not_asked_for_does_not_stand_still() -> None:
    assert watched(GIVE_UP_AFTER_S, 10).failure() is None
    assert watched(GIVE_UP_AFTER_S, None, end=0).failure() is None
    assert watched(GIVE_UP_AFTER_S, 4, asked=(B,)).failure() is None


def test_time_begins_anew_with_progress_a_new_assignment_and_brokers_that_were_away() -> None:
    watch = watched(25.0, 4)
    watch.seen(survey(), {A: 5, B: 10}, (A, B), 26.0)
    assert watch.stalled_s()[A] == 0
    watch = watched(25.0, 4)
    watch.begin()
    watch.seen(survey(), {A: 4, B: 10}, (A, B), 40.0)
    assert watch.failure() is None
    watch = watched(25.0, 4)
    watch.unseen("away")
    watch.seen(survey(), {A: 4, B: 10}, (A, B), 40.0)
    assert watch.failure() is None


def test_a_partition_that_was_given_away_is_forgotten() -> None:
    watch = watched(25.0, 4)
    watch.seen(survey(), {B: 10}, (B,), 40.0)
    assert watch.stalled_s() == {B: 0.0}


def test_a_refusal_counts_from_the_first_of_those_in_a_row() -> None:
    watch = Watch("frames", 0.0)
    watch.seen(survey(), {A: 10, B: 10}, (), 0.0)
    watch.refused("no", 10.0)
    assert watch.not_ready(10.0) == "no"
    watch.refused("not at all", 10.0 + GIVE_UP_AFTER_S - 1)
    assert not watch.is_refused_for_good()
    assert watch.not_ready(39.0) == "not at all"
    watch.unseen("no broker answers")
    watch.refused("no", 60.0)
    assert not watch.is_refused_for_good()
    watch.refused("no", 60.0 + GIVE_UP_AFTER_S)
    assert watch.is_refused_for_good()
    watch.seen(survey(), {A: 10, B: 10}, (), 91.0)
    assert watch.not_ready(91.0) is None


def test_a_partition_whose_end_nobody_told_holds_nothing() -> None:
    watch = Watch("frames", 0.0)
    for now_s in (0.0, *[GIVE_UP_AFTER_S] * LOOKS):
        watch.seen(Survey(2, 2, {B: 10}), {A: None, B: 10}, (A, B), now_s)
    assert (watch.not_ready(GIVE_UP_AFTER_S), watch.failure()) == (None, None)


def test_the_end_of_a_partition_is_that_of_the_last_survey() -> None:
    watch = Watch("frames", 0.0)
    assert watch.end(A) is None
    watch.seen(Survey(2, 2, {A: 10, B: 20}), {A: 10}, (), 0.0)
    watch.seen(Survey(2, 2, {A: 11, B: 20}), {A: 10}, (), 2.0)
    assert [watch.end(partition) for partition in (A, B, ("frames", 2))] == [11, 20, None]
    watch.unseen("no broker answers")
    assert watch.end(A) == 11
