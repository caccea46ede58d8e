"""What is counted of an acknowledged verdict, and whether it came in time."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry

from inspector.observe.metrics import Metrics, Timing
from inspector.stages.sink import count_delivery
from schemas import Reason, Status
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
