"""The belt: what passes, what is counted."""

from __future__ import annotations

from inspector.line.conveyor import Conveyor, Tally


def belt(*parts: str) -> Conveyor:
    conveyor = Conveyor()
    conveyor.start()
    for number, part in enumerate(parts):
        conveyor.announce(part, 1.0, now_s=number * 0.1, now_us=number)
    return conveyor


def test_only_a_pass_that_was_heard_in_time_opens_the_rejector() -> None:
    conveyor = belt("a", "b", "c", "d")
    conveyor.hear("PASS", "a", "", now_us=5)
    conveyor.hear("REJECT", "b", "nok", now_us=5)
    assert conveyor.move(now_s=0.99) == []
    assert [(part.part_id, outcome) for part, outcome in conveyor.move(now_s=1.2)] == [
        ("a", "passed"),
        ("b", "rejected"),
        ("c", "rejected"),
    ]
    conveyor.hear("PASS", "c", "", now_us=9)
    conveyor.hear("PASS", "d", "", now_us=9)
    conveyor.hear("PASS", "a", "", now_us=9)
    conveyor.hear("REJECT", "z", "nok", now_us=9)
    conveyor.move(now_s=9)
    tally = conveyor.tally
    assert [part.part_id for part in conveyor.passed] == ["a", "d"]
    assert (tally.announced, tally.passed, tally.rejected, tally.unanswered) == (4, 2, 2, 1)
    assert (tally.late, tally.acted_twice, tally.unknown) == (1, 1, 1)
    assert tally.whys == {"nok": 1}


def test_what_is_on_the_belt_when_the_line_stops_is_rejected() -> None:
    conveyor = belt("a", "b")
    conveyor.hear("PASS", "a", "", now_us=5)
    assert [part.part_id for part in conveyor.stop()] == ["a", "b"]
    conveyor.hear("PASS", "b", "", now_us=5)
    assert conveyor.stop() == []
    assert conveyor.tally == Tally(announced=2, rejected=2, stopped=2, stops=1)
    assert len(conveyor) == 0


def test_refusals_are_counted() -> None:
    conveyor = belt("a")
    conveyor.refused("a")
    conveyor.refused("z")
    conveyor.move(now_s=5)
    assert (conveyor.tally.refused, conveyor.tally.rejected) == (1, 1)
