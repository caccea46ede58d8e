"""Health answers from its own thread: also while the loop hangs, and then with 503."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from prometheus_client import CollectorRegistry

from inspector.errors import ConfigError
from inspector.observe.health import Health, HealthServer
from inspector.observe.metrics import Metrics
from inspector.settings.watch.http import HttpSettings


@dataclass
class FakeClock:
    now: float = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def health(clock: FakeClock) -> Health:
    return Health(hang_after_s=5, awaits=("models", "partitions"), clock=clock)


@pytest.fixture
def server(health: Health) -> Iterator[HealthServer]:
    registry = CollectorRegistry()
    Metrics(registry).batch(3)
    server = HealthServer(HttpSettings(port=0), health, registry)
    server.start()
    yield server
    server.stop()


def get(server: HealthServer, path: str, method: str = "GET", accept: str = "") -> tuple[int, str]:
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)) as connection:
        connection.request(method, path, headers={"Accept": accept})
        response = connection.getresponse()
        return response.status, response.read().decode()


def test_alive_from_the_start_and_ready_when_everything_is_there(server: HealthServer, health: Health) -> None:
    assert get(server, "/healthz") == (200, "ok\n")
    assert get(server, "/readyz") == (503, "models: not there yet\npartitions: not there yet\n")
    health.there("models")
    health.missing("partitions", "the group is rebalancing")
    assert get(server, "/readyz") == (503, "partitions: the group is rebalancing\n")
    health.there("partitions")
    assert get(server, "/readyz") == (200, "ok\n")


def test_a_part_that_goes_makes_unready_but_not_dead(server: HealthServer, health: Health) -> None:
    health.there("models")
    health.there("partitions")
    health.missing("broker", "no connection")
    assert get(server, "/readyz") == (503, "broker: no connection\n")
    assert get(server, "/healthz") == (200, "ok\n")


def test_a_loop_that_does_not_beat_is_dead_until_it_beats(
    server: HealthServer, health: Health, clock: FakeClock
) -> None:
    clock.now += 5.0
    assert get(server, "/healthz")[0] == 200
    clock.now += 0.5
    assert get(server, "/healthz") == (503, "event loop: has not run for 5.5 s\n")
    assert get(server, "/readyz")[0] == 503
    assert get(server, "/metrics")[0] == 200
    health.beat()
    assert get(server, "/healthz") == (200, "ok\n")


async def test_answers_while_the_loop_is_blocked(server: HealthServer, health: Health, clock: FakeClock) -> None:
    clock.now += 6
    # Called on the loop itself: nothing else can run on it until the answer is here.
    assert get(server, "/healthz")[0] == 503


async def test_heartbeat_beats_and_measures_how_late_it_is(health: Health, clock: FakeClock) -> None:
    metrics = Metrics(CollectorRegistry())
    beating = asyncio.create_task(health.keep_beating(metrics, interval_s=0))
    await asyncio.sleep(0)  # it has looked at the clock, and sleeps
    clock.now += 60
    assert health.not_alive()
    await asyncio.sleep(0)  # it wakes up, late
    assert not health.not_alive()
    assert metrics.registry.get_sample_value("inspector_event_loop_lag_seconds") == 60
    beating.cancel()
    with pytest.raises(asyncio.CancelledError):
        await beating


def test_a_failure_is_for_good_and_the_first_reason_stays(server: HealthServer, health: Health) -> None:
    health.fail("device lost")
    health.fail("and then the rest")
    health.beat()
    assert get(server, "/healthz") == (503, "failed: device lost\n")


def test_metrics_come_in_prometheus_text(server: HealthServer) -> None:
    status, text = get(server, "/metrics")
    assert status == 200
    assert "inspector_batch_frames_sum 3.0" in text
    assert text.count("# EOF") == 0
    assert get(server, "/metrics?name=x")[0] == 200
    assert "# EOF" in get(server, "/metrics", accept="application/openmetrics-text; version=1.0.0")[1]


def test_other_paths_and_methods_are_refused(server: HealthServer) -> None:
    assert get(server, "/")[0] == 404
    assert get(server, "/metricsx")[0] == 404
    assert get(server, "/healthz", method="POST")[0] == 501
    assert get(server, "/healthz", method="HEAD") == (200, "")


def test_a_taken_port_is_refused_with_its_name(server: HealthServer, health: Health) -> None:
    with pytest.raises(ConfigError, match=rf"cannot listen on 127\.0\.0\.1:{server.port}: Address already in use"):
        HealthServer(HttpSettings(port=server.port), health, CollectorRegistry())


def test_a_stopped_server_gives_its_port_back(health: Health) -> None:
    first = HealthServer(HttpSettings(port=0), health, CollectorRegistry())
    first.start()
    assert get(first, "/healthz")[0] == 200  # its connection lingers in the kernel
    first.stop()
    second = HealthServer(HttpSettings(port=first.port), health, CollectorRegistry())
    second.stop()  # never started
    with pytest.raises(OSError, match="refused"):
        get(second, "/healthz")


def test_listens_on_loopback_unless_told_otherwise() -> None:
    assert HttpSettings().host == "127.0.0.1"
