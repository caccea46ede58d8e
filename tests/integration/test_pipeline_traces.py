"""A frame is found again: its trace at a collector and in its result, its part in a bucket of the latency, its name in every line of the log."""

from __future__ import annotations

import http.client
import io
import itertools
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing

import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics

from inspector.loop.clock import SystemClock
from inspector.observe import fields
from inspector.service import Service
from inspector.settings.settings import Settings
from inspector.stages import decode
from schemas import Identity, image_digest, result_id_of_frame, trace_from_headers
from tests.buses import wait_until
from tests.collectors import running_collector
from tests.frames import Headers, camera_frame, record_of
from tests.log_lines import written_log
from tests.stage import Stage, by_seq, metric

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SENDER = ("traceparent", f"00-{TRACE}-{SPAN}-01".encode())
PARSE: Callable[[str], Iterable[Metric]] = parse_openmetrics  # ships no types
STAGES = ["queue", "decode", "batch", "score", "encode", "sequence", "send"]
AMPLE = {"default_budget_ms": 3_600_000}


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """What the service's own handler writes."""
    with written_log("debug") as stream:
        yield stream


def records(stream: io.StringIO, about: str) -> list[dict[str, str | int]]:
    return [record for record in map(json.loads, stream.getvalue().splitlines()) if about in record["message"]]


def metrics_page(service: Service, accept: str) -> tuple[str, str]:
    with closing(http.client.HTTPConnection("127.0.0.1", service.http_port, timeout=30)) as connection:
        connection.request("GET", "/metrics", headers={"Accept": accept})
        response = connection.getresponse()
        return response.headers["Content-Type"], response.read().decode()


async def send(stage: Stage, seq: int, *more: tuple[str, bytes | None], image: bytes | None = None) -> Identity:
    """Publish a frame of camera a with more headers."""
    given = {} if image is None else {"image": image, "image_digest": image_digest(image)}
    frame = camera_frame("a", seq, SystemClock().wall_us(), **given)
    key, value, headers = record_of(frame)
    all_headers: Headers = [*headers, *more]
    await stage.bus.publish(0, key, value, all_headers)
    return frame.identity


async def result_headers(stage: Stage) -> dict[int, Headers]:
    """Return the headers of each result by its frame's number."""
    sent = await stage.bus.records(stage.bus.topics.results_topic("", ""))
    found = {}
    for record in sent:
        headers = list(record.headers)
        found[int(dict(headers)["seq"] or b"")] = headers
    return found


async def test_a_traced_frame_is_found_at_the_collector_in_its_result_in_the_metrics_and_in_the_log(  # noqa: PLR0915 one service for all
    stage: Stage, lines: io.StringIO
) -> None:
    with running_collector() as collector:
        tracing = {"endpoint": collector.url, "sample_ratio": 1.0, "service_name": "line-7"}
        settings = stage.settings(tracing=tracing, deadline=AMPLE, device_threads=1, deployment="d7")
        async with stage.service(settings, clock=SystemClock()) as service:
            await wait_until(lambda: service.health.not_ready() == [], timeout_s=240)  # the first warm-up loads much
            held = stage.hold_device()
            first = await send(stage, 0, SENDER, ("tracestate", b"vendor=7"))
            await wait_until(held.scoring.is_set)
            await send(stage, 1)
            await send(stage, 2, ("traceparent", b"00-broken"))
            await send(stage, 3, ("traceparent", SENDER[1][:-1] + b"0"))
            await wait_until(lambda: metric(service, "queue_frames", stage="batch") == 3)
            await send(stage, 4, image=b"no picture")
            held.gate.set()
            results = by_seq(await stage.bus.wait_for_results(5))
            await wait_until(lambda: metric(service, "in_flight_frames") == 0)
            content_type, page = metrics_page(service, "application/openmetrics-text;version=1.0.0,text/plain;q=0.5")
            plain_type, plain = metrics_page(service, "text/plain")
            assert metric(service, "traceparents_ignored_total") == 1
        assert metric(service, "traced_frames_total", outcome="exported") == 4, "all but the one whose sender said no"

    spans = {int(span.attributes["seq"]): span for span in collector.frames()}
    assert spans.keys() == {0, 1, 2, 4}
    assert (spans[0].trace_id, spans[0].parent_id, spans[0].state) == (TRACE, SPAN, "vendor=7")
    assert [spans[seq].parent_id for seq in (1, 2, 4)] == [""] * 3
    assert len({span.trace_id for span in spans.values()}) == 4

    # The frame's span names what the log and the result name, and its stages fill it without a gap.
    model = results[0].model
    assert model is not None
    assert spans[0].attributes.items() >= {
        **first._asdict(),
        "result_id": results[0].result_id,
        "topic": stage.bus.topics.frames_topic,
        "partition": 0,
        "status": "inspected",
        "reason": "none",
        "anomaly_class": "ok",
        "model": model.name,
        "model_version": model.version,
        "model_digest": model.digest,
    }.items() - {("captured_at", first.captured_at)}
    assert [spans[seq].attributes["batch_size"] for seq in (0, 1, 2)] == [1, 3, 3]
    assert spans[0].resource.items() >= {"service.name": "line-7", "deployment": "d7"}.items()
    for seq, span in spans.items():
        stages = collector.stages(span)
        assert [one.name for one in stages] == (STAGES if seq != 4 else ["encode", "sequence", "send"])
        assert (stages[0].start_ns, stages[-1].end_ns) == (span.start_ns, span.end_ns)
        assert all(one.end_ns == other.start_ns for one, other in itertools.pairwise(stages))
        assert first.captured_at is not None
        assert span.start_ns > (first.captured_at - 60_000_000) * 1000
    assert (spans[4].status, spans[4].words, spans[0].status) == (2, results[4].reason, 0)

    # Results hand the trace on, under our span where there is one.
    handed = {seq: trace_from_headers(headers) for seq, headers in (await result_headers(stage)).items()}
    for seq, span in spans.items():
        trace = handed[seq]
        assert trace is not None
        assert (trace.trace_id, trace.span_id, trace.is_sampled) == (span.trace_id, span.span_id, True)
    assert handed[0] is not None
    assert handed[0].state == "vendor=7"
    assert handed[3] is not None
    assert (handed[3].trace_id, handed[3].span_id, handed[3].is_sampled) == (TRACE, SPAN, False)

    # Exemplars link the buckets of the latency to parts and traces, for who asks for OpenMetrics.
    assert content_type.startswith("application/openmetrics-text; version=1.0.0")
    assert plain_type.startswith("text/plain")
    assert " # {" not in plain
    page = "".join(line + "\n" for line in page.splitlines() if "clock_offset_seconds" not in line)
    families = {family.name: family for family in PARSE(page)}
    exemplars = [
        sample.exemplar
        for sample in families["inspector_capture_to_result_seconds"].samples
        if sample.labels["camera"] == "line/a" and sample.exemplar
    ]
    assert exemplars
    for exemplar in exemplars:
        seq = int(exemplar.labels["seq"])
        assert exemplar.labels["part_id"] == f"part-{seq}"
        assert exemplar.labels.get("trace_id") == (spans[seq].trace_id if seq in spans else None)

    # Every line about a frame carries its name.
    verdicts = {line["seq"]: line for line in records(lines, "verdict: ")}
    assert verdicts.keys() == {0, 1, 2, 3}
    assert all(line.keys() >= set(fields.FRAME_FIELDS) for line in verdicts.values())
    assert (verdicts[1]["trace_id"], verdicts[1]["batch_size"]) == (spans[1].trace_id, 3)
    assert "trace_id" not in verdicts[3]
    (rejected,) = records(lines, "was rejected uninspected")
    assert (
        rejected.items()
        >= {
            "level": "warning",
            "part_id": "part-4",
            "seq": 4,
            "result_id": results[4].result_id,
            "offset": 4,
            "status": "undecodable",
            "reason": results[4].reason,
            "trace_id": spans[4].trace_id,
        }.items()
    )


async def test_without_tracing_the_senders_trace_is_handed_on_and_a_fault_names_its_frame(
    stage: Stage, lines: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_args: object, **_named: object) -> None:
        raise ZeroDivisionError("a surprise")

    monkeypatch.setattr(decode, "decode_image", broken)
    async with stage.service(stage.settings(deadline=AMPLE), clock=SystemClock()) as service:
        identity = await send(stage, 0, SENDER)
        (result,) = await stage.bus.wait_for_results(1)
        await wait_until(lambda: metric(service, "in_flight_frames") == 0)
        assert metric(service, "traced_frames_total", outcome="exported") == 0
    assert (result.status, result.reason) == ("failed", "internal")
    assert SENDER in (await result_headers(stage))[0]
    (told,) = records(lines, "decoding a frame failed unexpectedly")
    assert "ZeroDivisionError: a surprise" in str(told["exception"])
    (rejected,) = records(lines, "was rejected uninspected")
    assert rejected["detail"] == "ZeroDivisionError: a surprise"
    line_id, camera_id, part_id, seq, captured_at = identity
    assert None not in (line_id, camera_id, part_id, seq, captured_at)
    result_id = result_id_of_frame(str(line_id), str(camera_id), str(part_id), int(seq or 0), int(captured_at or 0))
    for line in (told, rejected):
        assert line.items() >= {"part_id": "part-0", "seq": 0, "result_id": result_id, "partition": 0}.items()


async def test_a_collector_that_is_gone_costs_no_verdict_and_no_clean_end(stage: Stage) -> None:
    tracing = {"endpoint": "http://127.0.0.1:1", "sample_ratio": 1.0, "max_queued_frames": 4}
    settings: Settings = stage.settings(tracing=tracing, deadline=AMPLE)
    async with stage.service(settings, clock=SystemClock()) as service:
        for seq in range(40):
            await send(stage, seq)
        results = await stage.bus.wait_for_results(40)
        await wait_until(lambda: metric(service, "in_flight_frames") == 0)
    assert {result.status for result in results} == {"inspected"}
    lost = sum(metric(service, "traced_frames_total", outcome=word) for word in ("queue_full", "export_failed"))
    assert lost >= 40 - 4
