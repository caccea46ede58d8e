from __future__ import annotations

import threading

import pytest

from inspector.watchdog.ongoing import Ongoing


def test_a_step_is_there_while_it_lasts_and_each_has_a_number_of_its_own() -> None:
    ongoing = Ongoing()
    with ongoing.step("a"):
        first = ongoing.steps()["a"]
        with ongoing.step("b"):
            assert set(ongoing.steps()) == {"a", "b"}
    assert ongoing.steps() == {}
    with ongoing.step("a"):
        assert ongoing.steps()["a"] != first


def test_a_step_that_fails_has_ended() -> None:
    ongoing = Ongoing()
    with pytest.raises(ValueError, match="mine"), ongoing.step("a"):
        raise ValueError("mine")
    assert ongoing.steps() == {}


def test_many_threads_take_steps_at_once() -> None:
    ongoing = Ongoing()

    def work(name: str) -> None:
        for _ in range(500):
            with ongoing.step(name):
                assert name in ongoing.steps()

    threads = [threading.Thread(target=work, args=(f"t{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ongoing.steps() == {}
