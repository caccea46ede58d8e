"""A verdict that waited for a send that failed says so: its time tells nothing of the next."""

from __future__ import annotations

import pytest

from inspector.inflight.frame import Outgoing
from inspector.stages import sink as sink_module
from tests.unit.inspector.stages.sink_bench import Bench


def scored(bench: Bench, value: bytes, key: bytes = b"k", topic: str = "results") -> Outgoing:
    outgoing = bench.outgoing(value, key, topic=topic)
    outgoing.frame.stage_seconds = {"score": 1.0, "encode": 0.25, "send": 0.5}
    return outgoing


async def test_a_failed_send_marks_what_it_held_up_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sink_module, "WINDOW_RECORDS", 1)
    bench = Bench()
    bench.broker.plan = ["lost"]
    sent, behind, elsewhere, later = (scored(bench, b"v", key) for key in (b"k", b"k", b"kk", b"k"))
    async with bench.running():
        bench.sink.put(sent)
        bench.sink.put(behind)
        await bench.until_delivered(2)
        bench.sink.put(elsewhere)
        bench.sink.put(later)
        await bench.until_delivered(4)
    assert bench.events.retried == ["result"]
    assert [each.after_score_s for each in (sent, behind, elsewhere, later)] == [None, None, 0.75, 0.75]


async def test_a_topic_that_was_missing_marks_what_waited_for_it() -> None:
    bench = Bench()
    bench.broker.gone = {"gone"}
    bench.events.on_retry = bench.broker.gone.clear
    waiting, later = scored(bench, b"1", topic="gone"), scored(bench, b"2", topic="gone")
    async with bench.running():
        bench.sink.put(waiting)
        await bench.until_delivered(1)
        bench.sink.put(later)
        await bench.until_delivered(2)
    assert [each.after_score_s for each in (waiting, later)] == [None, 0.75]


async def test_a_partition_that_is_gone_marks_what_moves() -> None:
    bench = Bench()
    first, moved = scored(bench, b"1", b"kkk"), scored(bench, b"2", b"kkk")
    async with bench.running():
        bench.sink.put(first)
        await bench.until_delivered(1)
        bench.broker.most["results"] = 2
        bench.sink.put(moved)
        await bench.until_delivered(2)
    assert [each.after_score_s for each in (first, moved)] == [0.75, None]
