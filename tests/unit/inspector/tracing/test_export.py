"""The exporter against a collector that takes, refuses, hangs or is gone: counted, bounded, and nobody waits for it."""

from __future__ import annotations

import threading
import time
import tracemalloc
from collections.abc import Callable
from typing import Any, get_args

import pytest
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from prometheus_client import CollectorRegistry

from inspector.inflight.budget import SENDING_SPANS_BYTES, TRACED_FRAME_BYTES
from inspector.observe import fields
from inspector.observe.metrics import Stage
from inspector.settings.watch.tracing import TracingSettings
from inspector.tracing import export
from inspector.tracing.counts import TraceCounts
from inspector.tracing.export import OtlpExporter
from inspector.tracing.finished import FinishedFrame
from schemas import TraceContext
from tests.collectors import running_collector

STAGES = {"queue": 0.25, "decode": 0.5, "send": 0.125}


def frame(number: int = 1, **changes: Any) -> FinishedFrame:
    context = TraceContext(f"{number:032x}", f"{number:016x}", is_sampled=True, state="vendor=7")
    plain = FinishedFrame(context, None, 2_000_000, STAGES, {"part_id": f"part-{number}", "seq": number}, None)
    return plain._replace(**changes)


class Bench:
    """An exporter to `url`."""

    def __init__(self, url: str, **settings: object) -> None:
        self.registry = CollectorRegistry()
        tracing = TracingSettings.model_validate({"endpoint": url, "service_name": "test", **settings})
        self.exporter = OtlpExporter(tracing, TraceCounts(self.registry), deployment="d1", version="9")

    def count(self, outcome: str) -> float:
        return self.registry.get_sample_value("inspector_traced_frames_total", {"outcome": outcome}) or 0


def until(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline_s
        threading.Event().wait(0.005)


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "INTERVAL_S", 0.01)


def test_a_collector_reads_the_frame_and_under_it_its_stages_one_after_the_other() -> None:
    with running_collector() as collector:
        bench = Bench(collector.url)
        bench.exporter.start()
        bench.exporter.put(frame(7, parent_id="00000000000000aa", fault="truncated"))
        bench.exporter.put(frame(8))
        assert bench.exporter.stop(30)
    assert (bench.count("exported"), bench.count("export_failed")) == (2, 0)
    failed, fine = collector.frames()
    assert (failed.trace_id, failed.span_id, failed.parent_id) == (f"{7:032x}", f"{7:016x}", "00000000000000aa")
    assert (failed.status, failed.words, fine.status, fine.parent_id) == (2, "truncated", 0, "")
    assert (failed.start_ns, failed.end_ns, failed.kind) == (1_125_000_000, 2_000_000_000, 5)
    assert failed.attributes == {"part_id": "part-7", "seq": 7}
    assert failed.state == "vendor=7"
    assert failed.resource.items() >= {"service.name": "test", "service.version": "9", "deployment": "d1"}.items()
    stages = collector.stages(failed)
    assert [(s.name, s.start_ns, s.end_ns) for s in stages] == [
        ("queue", 1_125_000_000, 1_375_000_000),
        ("decode", 1_375_000_000, 1_875_000_000),
        ("send", 1_875_000_000, 2_000_000_000),
    ]
    assert {stage.trace_id for stage in stages} == {failed.trace_id}
    assert len({span.span_id for span in collector.spans}) == len(collector.spans) == 8


def test_more_frames_than_may_wait_are_dropped_and_counted_while_the_collector_hangs() -> None:
    with running_collector() as collector:
        collector.gate.clear()
        bench = Bench(collector.url, max_queued_frames=100)
        bench.exporter.start()
        bench.exporter.put(frame(0))
        until(lambda: collector.requests == 1)
        for number in range(1, 151):
            bench.exporter.put(frame(number))
        assert bench.count("queue_full") == 50
        collector.gate.set()
        assert bench.exporter.stop(30)
        assert bench.count("exported") == 101
        assert len(collector.frames()) == 101
        assert collector.requests == 3, "in batches"


@pytest.mark.parametrize("status", [400, 503])
def test_what_the_collector_refuses_is_dropped_and_counted_until_it_takes_spans_again(
    status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "REQUEST_TIMEOUT_S", 0.5)  # no time for a second try
    with running_collector() as collector:
        collector.status = status
        bench = Bench(collector.url)
        bench.exporter.start()
        bench.exporter.put(frame(1))
        until(lambda: bench.count("export_failed") == 1)
        collector.status = 200

        def is_taken() -> bool:
            bench.exporter.put(frame(2))
            return bench.count("exported") > 0

        until(is_taken)
        assert bench.exporter.stop(30)


def test_a_collector_that_is_gone_holds_up_neither_frames_nor_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "REQUEST_TIMEOUT_S", 0.5)
    bench = Bench("http://127.0.0.1:1", max_queued_frames=10)
    bench.exporter.start()
    for number in range(500):
        bench.exporter.put(frame(number))
    assert bench.exporter.stop(30)
    assert bench.count("queue_full") + bench.count("export_failed") == 500
    assert bench.count("queue_full") > 0


def test_a_frame_of_which_no_span_can_be_made_is_counted_and_the_next_one_is_sent(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with running_collector() as collector:
        bench = Bench(collector.url)
        bench.exporter.start()
        bench.exporter.put(frame(1, context=TraceContext("no id", "no id", is_sampled=True)))
        until(lambda: bench.count("export_failed") == 1)
        bench.exporter.put(frame(2))
        until(lambda: bench.count("exported") == 1)
        assert bench.exporter.stop(30)
    assert "spans could not be made or sent" in caplog.text


def test_a_frame_takes_no_more_than_the_memory_bound_says_as_it_waits_and_as_it_is_sent() -> None:
    bench = Bench("http://127.0.0.1:1")
    list(bench.exporter._maker.spans(frame()))  # what is made once
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        names = (*fields.FRAME_FIELDS, *fields.VERDICT_FIELDS)
        largest = frame(
            context=TraceContext("a" * 32, "b" * 16, is_sampled=True, state="a=" + "x" * 510),
            attributes={name: name + "x" * (249 if name == fields.TOPIC else 128) for name in names},
            stage_seconds=dict.fromkeys(get_args(Stage), 0.1),
        )
        waiting = tracemalloc.get_traced_memory()[0] - before
        spans = list(bench.exporter._maker.spans(largest))
        made = tracemalloc.get_traced_memory()[0] - before - waiting
    finally:
        tracemalloc.stop()
    assert len(spans) == 9
    assert waiting <= TRACED_FRAME_BYTES
    messages_and_bytes = 2 * encode_spans(spans).ByteSize()
    assert export.BATCH_FRAMES * (made + messages_and_bytes) <= SENDING_SPANS_BYTES


def test_one_that_was_never_started_ends_too_and_counts_what_it_was_given() -> None:
    bench = Bench("http://127.0.0.1:1")
    bench.exporter.put(frame(1))
    assert bench.exporter.stop(1)
    assert bench.count("export_failed") == 1
