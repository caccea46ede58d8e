from __future__ import annotations

import logging

from inspector.observe import repeats
from inspector.observe.repeats import MAX_CONDITIONS, Repeats
from tests.fakes import FakeClock


class Log:
    """What is written of what is logged."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self._repeats = Repeats(self.clock.monotonic_s)

    def write(self, text: str, *args: object, level: int = logging.WARNING, name: str = "x") -> str | None:
        record = logging.LogRecord(name, level, __file__, 1, text, args, None)
        told = self._repeats.told(record)
        assert record.getMessage() == text % args, "other handlers see it as it was"
        return None if told is None else told.getMessage()


def test_a_condition_is_told_once_and_then_counted_once_a_minute() -> None:
    log = Log()
    assert log.write("cannot reach node %d", 1) == "cannot reach node 1"
    for second in range(59):
        log.clock.advance(1)
        assert log.write("cannot reach node %d", second) is None
    log.clock.advance(1)
    assert log.write("cannot reach node %d", 3) == "cannot reach node 3 (59 more like this in the last 60 s)"
    assert log.write("cannot reach node %d", 3) is None
    log.clock.advance(600)
    assert log.write("cannot reach node %d", 3) == "cannot reach node 3 (1 more like this in the last 600 s)"
    log.clock.advance(61)
    assert log.write("cannot reach node %d", 3) == "cannot reach node 3"


def test_conditions_are_told_apart_by_text_level_and_logger() -> None:
    log = Log()
    assert log.write("topic %s is missing", "a")
    assert log.write("topic %s is missing", "b")
    assert log.write("topic %s is missing", "a", level=logging.ERROR)
    assert log.write("topic %s is missing", "a", name="y")
    assert log.write("member inspector-0a1b2c3d4e5f left")
    assert log.write("member inspector-ff1b2c3d4e5f left") is None


def test_what_is_less_than_a_warning_is_never_left_out() -> None:
    log = Log()
    assert [log.write("assigned", level=logging.INFO) for _ in range(3)] == ["assigned"] * 3


def test_memory_is_bounded() -> None:
    log = Log()
    names = [chr(ord("g") + number % 20) * (1 + number // 20) for number in range(MAX_CONDITIONS + 1)]
    assert all(log.write(name) for name in names)
    assert len(log._repeats._conditions) == MAX_CONDITIONS == repeats.MAX_CONDITIONS
    assert log.write(names[0]), "the oldest was forgotten"
