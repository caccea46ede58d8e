"""A camera whose clock is ahead: told once, shown until it has been well for a minute; strangers are none of the log's business."""

from __future__ import annotations

import logging

import pytest
from prometheus_client import CollectorRegistry

from inspector.observe.clocks import CALM_S, ClockWatch
from inspector.observe.metrics import Metrics
from tests.fakes import FakeClock


def watching(registry: CollectorRegistry, clock: FakeClock, *cameras: str) -> ClockWatch:
    metrics = Metrics(registry, cameras)
    return ClockWatch(metrics, cameras, wall_us=clock.wall_us, monotonic_s=clock.monotonic_s)


def test_a_clock_that_is_ahead_is_told_once_and_shown_until_it_is_well(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    clock, registry = FakeClock(), CollectorRegistry()
    watch = watching(registry, clock, "L/C", "L/D")

    def alarm(camera: str) -> float | None:
        return registry.get_sample_value("inspector_camera_clock_ahead_alarm", {"camera": camera})

    def read(ahead_s: float, camera: str = "L/C") -> None:
        watch.read(camera, clock.wall_us() + round(ahead_s * 1e6))
        watch.look()

    for ahead_s in (-0.2, 0.0, 0.009):
        read(ahead_s)
    assert alarm("L/C") == 0
    assert caplog.text == ""
    for _ in range(3):
        read(1.5)
    assert (alarm("L/C"), alarm("L/D")) == (1, 0)
    assert caplog.text.count("the clock of L/C is ahead of this machine's by at least 1.500 s") == 1
    clock.advance(CALM_S - 1)
    read(-0.1)
    assert alarm("L/C") == 1
    read(0.5)
    clock.advance(CALM_S - 1)
    read(-0.1)
    assert alarm("L/C") == 1, "it begins anew"
    clock.advance(1)
    read(-0.1)
    assert alarm("L/C") == 0
    assert "the clock of L/C has not been ahead of this machine's for 60 s" in caplog.text
    read(1.5)
    assert alarm("L/C") == 1
    assert caplog.text.count("is ahead of this machine's") == 2
    below = {"camera": "L/C", "le": "-1.0"}
    assert registry.get_sample_value("inspector_clock_offset_seconds_bucket", below) == 4


def test_the_alarm_of_a_camera_that_falls_silent_ends() -> None:
    clock, registry = FakeClock(), CollectorRegistry()
    watch = watching(registry, clock, "L/C", "L/D")
    for camera in ("L/C", "L/D"):
        watch.read(camera, clock.wall_us() + 1_500_000)
        clock.advance(1)

    def alarms() -> list[float | None]:
        watch.look()
        alarm = "inspector_camera_clock_ahead_alarm"
        return [registry.get_sample_value(alarm, {"camera": camera}) for camera in ("L/C", "L/D")]

    clock.advance(CALM_S - 2.5)
    assert alarms() == [1, 1]
    clock.advance(1)
    assert alarms() == [0, 1]
    clock.advance(1)
    assert alarms() == [0, 0]


def test_cameras_that_nobody_configured_are_counted_and_not_named(caplog: pytest.LogCaptureFixture) -> None:
    clock, registry = FakeClock(), CollectorRegistry()
    watch = watching(registry, clock, "L/C")
    for number in range(5):
        watch.read(f"X/{number}", clock.wall_us() + 1_500_000)
    assert caplog.text == ""
    assert registry.get_sample_value("inspector_camera_clock_ahead_alarm", {"camera": "other"}) == 0
    assert registry.get_sample_value("inspector_clock_offset_seconds_count", {"camera": "other"}) == 5
