"""What is counted of an acknowledged verdict, and whether it came in time."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from inspector.anomaly.types import Thresholds
from inspector.inflight.frame import Outgoing, Refusal
from inspector.inflight.route import Route
from inspector.observe.metrics import Metrics, Timing
from inspector.stages.sink import count_delivery
from schemas import Identity, ModelReference, Reason, Status
from tests.fakes import FakeModel
from tests.unit.inspector.stages.sink_bench import Bench

DEADLINE_AT = 2_000_000


@pytest.mark.parametrize(
    ("status", "reason", "deadline_at", "wall_us", "expected"),
    [
        ("inspected", "none", DEADLINE_AT, DEADLINE_AT, "on_time"),
        ("failed", "geometry", DEADLINE_AT, DEADLINE_AT - 1, "on_time"),
        ("inspected", "none", DEADLINE_AT, DEADLINE_AT + 1, "late"),
        ("expired", "late_before_send", DEADLINE_AT, DEADLINE_AT - 1, "late"),
        ("expired", "superseded", DEADLINE_AT, DEADLINE_AT - 1, "superseded"),
        ("expired", "captured_in_future", DEADLINE_AT, DEADLINE_AT - 1, "unknown"),
        ("undecodable", "malformed", None, DEADLINE_AT, "unknown"),
    ],
)
def test_a_verdict_is_counted_by_whether_it_came_before_the_deadline(
    status: Status, reason: Reason, deadline_at: int | None, wall_us: int, expected: Timing
) -> None:
    metrics = Metrics(CollectorRegistry(), ["c"])
    outgoing = Bench().outgoing(b"verdict", status=status)
    outgoing.reason, outgoing.frame.deadline_at = reason, deadline_at
    count_delivery(metrics, outgoing, wall_us)
    counted = {
        sample.labels["timing"]: sample.value
        for family in metrics.registry.collect()
        if family.name == "inspector_answers"
        for sample in family.samples
        if sample.name.endswith("_total") and sample.labels["camera"] == "c"
    }
    assert counted == {"on_time": 0, "late": 0, "superseded": 0, "unknown": 0} | {expected: 1}


class Counted:
    """What the metrics say after verdicts were acknowledged."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.metrics = Metrics(self.registry, ["c"])

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(f"inspector_{name}", labels)


def judged(*, letter: bytes | None = None, status: Status = "inspected", reason: Reason = "none") -> Outgoing:
    """A verdict on a picture that was captured at 1 s; its model is known."""
    outgoing = Bench().outgoing(b"verdict", deadletter=letter, status=status)
    outgoing.reason = reason
    outgoing.frame.identity = Identity("line", "c", "part", 1, 1_000_000)
    model = FakeModel(Thresholds(classification=0.5, segmentation=0.5))
    reference = ModelReference(name="m", version="7", digest="0f" * 32)
    outgoing.frame.route = Route("c", model, reference, None, 1)
    return outgoing


def test_a_verdict_is_counted_with_its_class_its_score_and_its_age() -> None:
    counted, outgoing = Counted(), judged()
    outgoing.anomaly_class, outgoing.score_ratio = "ok", 0.25
    count_delivery(counted.metrics, outgoing, 1_250_000)
    assert counted.value("frames_total", camera="c", status="inspected", reason="none") == 1
    assert counted.value("verdicts_total", camera="c", anomaly_class="ok") == 1
    assert counted.value("anomaly_score_ratio_sum", camera="c") == 0.25
    assert counted.value("capture_to_result_seconds_sum", camera="c") == 0.25
    told = [
        sample.exemplar
        for family in counted.registry.collect()
        for sample in family.samples
        if family.name == "inspector_capture_to_result_seconds" and sample.exemplar
    ]
    assert [(exemplar.labels, exemplar.value) for exemplar in told] == [({"part_id": "part", "seq": "1"}, 0.25)]
    assert not counted.value("deadletters_total", reason="none")


def test_a_letter_is_counted_by_its_reason_and_an_unknown_age_is_none() -> None:
    counted, outgoing = Counted(), judged(letter=b"letter", status="failed", reason="geometry")
    outgoing.frame.identity = Identity()
    count_delivery(counted.metrics, outgoing, 1_250_000)
    assert counted.value("deadletters_total", reason="geometry") == 1
    assert counted.value("frames_total", camera="c", status="failed", reason="geometry") == 1
    assert counted.value("verdicts_total", camera="c", anomaly_class="nok") == 1
    assert not counted.value("capture_to_result_seconds_count", camera="c")


def test_a_heartbeat_counts_for_no_camera() -> None:
    counted, outgoing = Counted(), judged()
    outgoing.frame.expected_score = 0.0
    count_delivery(counted.metrics, outgoing, 1_250_000)
    assert counted.value("heartbeats_total", status="inspected") == 1
    assert not counted.value("frames_total", camera="c", status="inspected", reason="none")
    assert not counted.value("capture_to_result_seconds_count", camera="c")


def told(outgoing: Outgoing, caplog: pytest.LogCaptureFixture, level: int) -> dict[str, Any] | None:
    """The fields of the line that the log has of a verdict, if it has one at this level."""
    caplog.clear()
    with caplog.at_level(level, "inspector.stages.sink"):
        count_delivery(Counted().metrics, outgoing, 1_250_000)
    assert len(caplog.records) <= 1
    return vars(caplog.records[0]) if caplog.records else None


def test_a_part_that_is_rejected_uninspected_is_logged_with_what_is_known_of_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    outgoing = judged(letter=b"letter", status="failed", reason="geometry")
    outgoing.frame.refusal = Refusal("failed", "geometry", "too wide")
    line = told(outgoing, caplog, logging.WARNING)
    assert line is not None
    assert (line["levelno"], line["status"], line["reason"], line["detail"]) == (
        logging.WARNING,
        "failed",
        "geometry",
        "too wide",
    )
    assert (line["model"], line["model_version"], line["model_digest"]) == ("m", "7", "0f" * 32)
    assert (line["part_id"], line["anomaly_class"]) == ("part", "nok")
    assert caplog.messages == ["a part was rejected uninspected: failed, geometry"]
    assert {"score_ratio", "batch_size"}.isdisjoint(line), "what is not known is left out"
    outgoing.frame.refusal, outgoing.frame.route = Refusal("failed", "geometry"), None
    nameless = told(outgoing, caplog, logging.WARNING)
    assert nameless is not None
    assert {"detail", "model", "model_version", "model_digest"}.isdisjoint(nameless)


def test_an_ordinary_verdict_is_logged_only_for_who_debugs(caplog: pytest.LogCaptureFixture) -> None:
    outgoing = judged()
    outgoing.anomaly_class, outgoing.score_ratio, outgoing.frame.batch_size = "ok", 0.25, 3
    assert told(outgoing, caplog, logging.INFO) is None
    line = told(outgoing, caplog, logging.DEBUG)
    assert line is not None
    assert caplog.messages == ["verdict: ok, inspected"]
    assert (line["levelno"], line["anomaly_class"], line["score_ratio"], line["batch_size"]) == (
        logging.DEBUG,
        "ok",
        0.25,
        3,
    )
