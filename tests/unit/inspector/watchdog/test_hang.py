"""Stillness: time counts only while somebody looks, and only at the same step."""

from __future__ import annotations

from inspector.watchdog.hang import Stillness, Watched


def test_who_stays_at_a_step_stands_still_and_who_goes_on_does_not() -> None:
    stillness = Stillness(0.5)
    stillness.look({"a": 1, "b": 2}, 0.5)
    assert stillness.look({"a": 1, "b": 3}, 0.5) == {"a": 0.5, "b": 0.0}
    assert stillness.look({"a": 1, "b": 3}, 0.25) == {"a": 0.75, "b": 0.25}


def test_who_has_nothing_to_do_is_forgotten() -> None:
    stillness = Stillness(0.5)
    stillness.look({"a": 1}, 0.5)
    stillness.look({"a": 1}, 0.5)
    assert stillness.look({}, 0.5) == {}
    assert stillness.look({"a": 1}, 0.5) == {"a": 0.0}


def test_time_in_which_nobody_looked_is_not_stillness() -> None:
    """The process was suspended for an hour: one look's worth counts."""
    stillness = Stillness(0.5)
    stillness.look({"a": 1}, 0.5)
    assert stillness.look({"a": 1}, 3600.0) == {"a": 0.5}


def test_the_sentence_names_who_and_how_long() -> None:
    one = Watched("{doer} stands for {seconds} s", 1.0, 9, dict)
    assert one.says("device-0", 61.4) == "device-0 stands for 61 s"


def test_a_step_that_always_takes_long_is_no_hang() -> None:
    """A batch that took 20 s when it was tried may take five times that, though the limit is 60 s."""
    slow = Watched("{doer}", 60.0, 11, dict, takes_s=lambda: 20.0)
    assert not slow.is_over(99.0)
    assert slow.is_over(100.0)
    quick = Watched("{doer}", 60.0, 11, dict, takes_s=lambda: 0.1)
    assert not quick.is_over(59.0)
    assert quick.is_over(60.0)
