"""Metrics: what each verb counts, and that no label can grow without bound."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

import pytest
from prometheus_client import CollectorRegistry

from inspector.observe.metrics import OTHER_CAMERA, Metrics


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(CollectorRegistry(), ["L1/C1", "L1/C2"])


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def test_frames_are_counted_by_camera_status_and_reason(metrics: Metrics) -> None:
    metrics.frame_finished("L1/C1", "inspected")
    metrics.frame_finished("L1/C1", "inspected")
    metrics.frame_finished("L1/C2", "expired", "late_before_score")
    name = "inspector_frames_total"
    assert value(metrics, name, camera="L1/C1", status="inspected", reason="none") == 2
    assert value(metrics, name, camera="L1/C2", status="expired", reason="late_before_score") == 1


def test_cameras_that_are_not_configured_share_one_series(metrics: Metrics) -> None:
    for number in range(100):
        metrics.frame_finished(f"L9/C{number}", "no_model", "unknown_camera")
        metrics.capture_to_result(f"L9/C{number}", 0.1)
    name = "inspector_frames_total"
    assert value(metrics, name, camera=OTHER_CAMERA, status="no_model", reason="unknown_camera") == 100
    assert value(metrics, "inspector_capture_to_result_seconds_count", camera=OTHER_CAMERA) == 100
    metrics.verdict("L9/C0", "nok", 0.5)
    metrics.answered("L9/C0", "unknown")
    metrics.clock_offset("L9/C0", 0.5)
    metrics.slow_decoding("L9/C0")
    cameras = {
        sample.labels["camera"]
        for family in metrics.registry.collect()
        for sample in family.samples
        if "camera" in sample.labels
    }
    assert cameras == {"L1/C1", "L1/C2", OTHER_CAMERA}


def test_counters_are_there_before_anything_happens(metrics: Metrics) -> None:
    """A rate over a series that begins with its first event does not see that event."""
    for name, labels in {
        "inspector_frames_total": {"camera": "L1/C1", "status": "expired", "reason": "late_before_send"},
        "inspector_verdicts_total": {"camera": OTHER_CAMERA, "anomaly_class": "nok"},
        "inspector_answers_total": {"camera": "L1/C2", "timing": "late"},
        "inspector_anomaly_score_ratio_count": {"camera": "L1/C2"},
        "inspector_clock_offset_seconds_bucket": {"camera": "L1/C2", "le": "0.0"},
        "inspector_slow_decodings_total": {"camera": "L1/C1"},
        "inspector_stage_seconds_count": {"stage": "batch"},
        "inspector_commits_total": {"outcome": "failed"},
        "inspector_sends_retried_total": {"output": "deadletter"},
        "inspector_deadletters_total": {"reason": "geometry"},
        "inspector_batches_retried_total": {},
        "inspector_out_of_memory_total": {},
    }.items():
        assert value(metrics, name, **labels) == 0, name
    before = {sample.name + str(sample.labels) for family in metrics.registry.collect() for sample in family.samples}
    metrics.frame_finished("L1/C1", "failed", "device")
    metrics.verdict("L1/C1", "nok", None)
    metrics.verdict("L1/C2", "ok", 0.2)
    metrics.answered("L1/C2", "on_time")
    metrics.clock_offset("L1/C1", -1.5)
    metrics.commit("stale")
    after = {sample.name + str(sample.labels) for family in metrics.registry.collect() for sample in family.samples}
    assert after == before


def test_how_ready_it_is_is_asked_at_each_scrape(metrics: Metrics) -> None:
    ready = [False]
    metrics.ready_when(lambda: ready[0])
    assert value(metrics, "inspector_ready") == 0
    ready[0] = True
    assert value(metrics, "inspector_ready") == 1


def test_what_runs_here_is_told(metrics: Metrics) -> None:
    metrics.build(version="1.2", device="cpu")
    assert value(metrics, "inspector_build_info", version="1.2", device="cpu") == 1


def test_lag_is_forgotten_with_the_assignment(metrics: Metrics) -> None:
    metrics.lag(3, uncommitted=17, unread=11)
    assert value(metrics, "inspector_consumer_lag_frames", partition="3") == 17
    assert value(metrics, "inspector_read_lag_frames", partition="3") == 11
    metrics.assigned([4, 5])
    for name in ("consumer_lag_frames", "read_lag_frames", "partition_stalled_seconds"):
        assert value(metrics, f"inspector_{name}", partition="3") is None
        assert value(metrics, f"inspector_{name}", partition="4") is not None, "there from the assignment on"
    assert math.isnan(value(metrics, "inspector_consumer_lag_frames", partition="5") or 0)
    assert value(metrics, "inspector_assigned_partitions") == 2
    assert value(metrics, "inspector_rebalances_total") == 1
    metrics.lag(4, uncommitted=-1, unread=-1)
    assert value(metrics, "inspector_consumer_lag_frames", partition="4") == 0


@pytest.mark.parametrize(
    ("act", "name", "labels", "expected"),
    [
        (lambda m: m.stage_seconds("score", 0.02), "inspector_stage_seconds_sum", {"stage": "score"}, 0.02),
        (
            lambda m: m.stage_seconds("decode", 0.02),
            "inspector_stage_seconds_bucket",
            {"stage": "decode", "le": "0.02"},
            1,
        ),
        (
            lambda m: m.capture_to_result("L1/C1", 0.3),
            "inspector_capture_to_result_seconds_sum",
            {"camera": "L1/C1"},
            0.3,
        ),
        (lambda m: m.capture_to_result("L1/C1", -5), "inspector_capture_to_result_seconds_sum", {"camera": "L1/C1"}, 0),
        (
            lambda m: m.verdict("L1/C1", "ok", 0.3),
            "inspector_verdicts_total",
            {"camera": "L1/C1", "anomaly_class": "ok"},
            1,
        ),
        (lambda m: m.verdict("L1/C1", "nok", 0.9), "inspector_anomaly_score_ratio_sum", {"camera": "L1/C1"}, 0.9),
        (lambda m: m.verdict("L1/C1", "nok", None), "inspector_anomaly_score_ratio_count", {"camera": "L1/C1"}, 0),
        (
            lambda m: m.clock_offset("L1/C1", -1.5),
            "inspector_clock_offset_seconds_bucket",
            {"camera": "L1/C1", "le": "-1.0"},
            1,
        ),
        (lambda m: m.clock_alarm("L1/C1", on=True), "inspector_camera_clock_ahead_alarm", {"camera": "L1/C1"}, 1),
        (lambda m: m.clock_alarm("L1/C1", on=False), "inspector_camera_clock_ahead_alarm", {"camera": "L1/C1"}, 0),
        (lambda m: m.memory_bound(1 << 20), "inspector_memory_bound_bytes", {}, 1 << 20),
        (lambda m: m.batch(8), "inspector_batch_frames_sum", {}, 8),
        (lambda m: m.batch(8), "inspector_batch_frames_bucket", {"le": "4.0"}, 0),
        (lambda m: m.batch_retried(), "inspector_batches_retried_total", {}, 1),
        (lambda m: m.out_of_memory(), "inspector_out_of_memory_total", {}, 1),
        (lambda m: m.batch_room(4), "inspector_batch_room_frames", {}, 4),
        (lambda m: m.capacity("L1/C1", 50.0), "inspector_capacity_frames_per_second", {"camera": "L1/C1"}, 50),
        (lambda m: m.queue_depths(batch=5), "inspector_queue_frames", {"stage": "batch"}, 5),
        (lambda m: m.bytes_in_flight(10, 20), "inspector_in_flight_bytes", {}, 10),
        (lambda m: m.bytes_in_flight(10, 20), "inspector_in_flight_limit_bytes", {}, 20),
        (lambda m: m.frames_in_flight(7), "inspector_in_flight_frames", {}, 7),
        (lambda m: m.commit("stale"), "inspector_commits_total", {"outcome": "stale"}, 1),
        (lambda m: m.send_retried("result"), "inspector_sends_retried_total", {"output": "result"}, 1),
        (lambda m: m.dead_letter("corrupt"), "inspector_deadletters_total", {"reason": "corrupt"}, 1),
        (lambda m: m.duplicate_delivery(), "inspector_frames_redelivered_total", {}, 1),
        (lambda m: m.loop_lag(0.5), "inspector_event_loop_lag_seconds", {}, 0.5),
        (lambda m: m.loop_lag(-0.5), "inspector_event_loop_lag_seconds", {}, 0),
    ],
)
def test_verbs(
    metrics: Metrics, act: Callable[[Metrics], None], name: str, labels: dict[str, str], expected: float
) -> None:
    act(metrics)
    assert value(metrics, name, **labels) == pytest.approx(expected)


def test_two_services_in_one_process_do_not_share_metrics(metrics: Metrics) -> None:
    other = Metrics(CollectorRegistry())
    metrics.batch(4)
    assert value(other, "inspector_batch_frames_sum") == 0


def test_every_name_says_its_unit(metrics: Metrics) -> None:
    units = (
        "seconds",
        "bytes",
        "frames",
        "total",
        "partitions",
        "in_use",
        "ratio",
        "ready",
        "alarm",
        "build",
        "frames_per_second",
    )
    for family in metrics.registry.collect():
        assert family.name.startswith("inspector_")
        assert family.type == "counter" or family.name.endswith(units), family.name
        assert family.documentation, family.name
        # What `promtool check metrics` finds fault with.
        assert not re.search("_(counter|gauge|histogram|summary|milliseconds|ms|count|sum|bucket|info)$", family.name)
        assert re.fullmatch("[a-z_]+", family.name)
