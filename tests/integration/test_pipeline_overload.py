"""More than the device can score: what cannot be in time is answered unscored, and no camera suffers for another. On both buses.

Time passes while the device scores, and at no other time: so many seconds for a batch and for each of its pictures.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from inspector.service import Service
from schemas import DLResultMessage
from tests.buses import wait_until
from tests.fakes import FakeModel
from tests.frames import png
from tests.stage import Stage, metric, sequences

EACH_S = 0.1


class Device:
    """Takes time by the stage's clock, when everything else has done what it can, and stands still while it is held."""

    def __init__(self, stage: Stage, *, each_s: float = EACH_S, fixed_s: float = 0.0) -> None:
        self.free = threading.Event()
        self.free.set()
        loop = asyncio.get_running_loop()
        self.service: Service | None = None

        def work(size: int) -> None:
            self.free.wait(60)
            asyncio.run_coroutine_threadsafe(self.others_finish(), loop).result(60)
            stage.clock.advance(fixed_s + each_s * size)

        self.models = [stage.model, *stage.other_models.values()]
        for model in self.models:
            model.on_launch = work

    async def others_finish(self) -> None:
        """Wait until the workers have done all that they have, and what is ready has been sent."""
        assert self.service is not None
        pipeline = self.service.pipeline
        assert pipeline is not None
        calm = 0
        while calm < 3:  # what is decoded makes room for more to be decoded
            is_busy = any(frame.stage in {"decode", "encode", "send"} for frame in pipeline._frames)
            calm = 0 if is_busy else calm + 1
            await asyncio.sleep(0.001)

    @property
    def scored(self) -> int:
        return sum(sum(model.batches) for model in self.models)


@asynccontextmanager
async def running(stage: Stage, device: Device, **sections: Any) -> AsyncIterator[Service]:
    """The service with one thread of each kind."""
    async with stage.service(stage.settings(device_threads=1, decode_threads=1, **sections)) as service:
        device.service = service
        yield service


def cameras(**options: dict[str, Any]) -> list[dict[str, Any]]:
    """Cameras of these names with these settings, each on the partition that `Stage.publish` uses."""
    return [
        {"line_id": "line", "camera_id": name, "model": "m", "partition": "abcd".index(name), **values}
        for name, values in options.items()
    ]


async def wave(stage: Stage, service: Service, device: Device, counts: dict[str, int]) -> None:
    """Publish so many frames of each camera, and let the device go on when all have been read; return when all are answered."""
    device.free.clear()
    sent = stage.sent
    cameras = [camera for camera, count in counts.items() for _ in range(count)]
    await stage.publish_many((camera, sent + number) for number, camera in enumerate(cameras))
    await wait_until(lambda: metric(service, "in_flight_frames") == stage.sent - sent)
    device.free.set()
    await stage.bus.wait_for_results(stage.sent)
    await wait_until(lambda: metric(service, "in_flight_frames") == 0)


def inspected(results: list[DLResultMessage]) -> Counter[str | None]:
    return Counter(result.camera_id for result in results if result.status == "inspected")


@pytest.mark.parametrize(
    ("each_s", "fixed_s", "capacity", "own_models"),
    # Of a GPU with a model for each, a batch of the other camera's two frames takes a fifth of the second, three whole ones the rest.
    [(0.05, 0.0, 20, False), (0.05, 0.0, 20, True), (0.002, 0.2, 32, False), (0.002, 0.2, 26, True)],
    ids=["cpu", "cpu-own", "gpu", "gpu-own"],
)
async def test_a_flood_is_answered_and_the_device_scores_what_is_in_time(
    stage: Stage, each_s: float, fixed_s: float, capacity: int, *, own_models: bool
) -> None:
    """All frames of a wave are due in a second, in which the device scores `capacity` frames in whole batches."""
    stage.other_models[Path("n")] = FakeModel(stage.model.thresholds)
    device = Device(stage, each_s=each_s, fixed_s=fixed_s)
    routes = cameras(a={}, b={"model": "n" if own_models else "m"})
    waves = 4
    async with running(stage, device, models={"m": Path("m"), "n": Path("n")}, cameras=routes) as service:
        for _ in range(waves):
            await wave(stage, service, device, {"b": 2, "a": 60})
        results = await stage.bus.results()
        assert metric(service, "capacity_frames_per_second", camera="line/a") > 0
    in_time = inspected(results)
    print(
        in_time,
        device.scored,
        Counter(r.reason for r in results),
        stage.clock.monotonic_s() - 1000,
        [m.batches for m in device.models],
    )
    # The first wave finds a device of which nothing is known, and any may begin with a batch of one frame.
    whole = 3 if fixed_s else 2
    assert in_time.total() >= 0.9 * (waves - 1) * capacity * (whole - 1) / whole
    assert device.scored - in_time.total() <= 8 + waves, "the first batches, and one frame of a wave that is tried"
    assert in_time["b"] >= 2 * (waves - 1), "the camera within its share is in time"
    reasons = {result.reason for result in results}
    assert reasons <= {"none", "late_before_decode", "late_before_score", "late_before_send"}
    assert sequences(results)["a"] == sorted(sequences(results)["a"])


async def test_without_overload_nothing_is_given_up(stage: Stage) -> None:
    device = Device(stage, each_s=0.05)
    async with running(stage, device) as service:
        for _ in range(5):
            await wave(stage, service, device, {"a": 3, "b": 3, "c": 3})
        results = await stage.bus.results()
    assert Counter(result.status for result in results) == {"inspected": 45}
    assert device.scored == 45


async def test_under_overload_cameras_have_the_share_of_their_weight(stage: Stage) -> None:
    device = Device(stage)
    sections = {
        "cameras": cameras(a={"weight": 3}, b={"weight": 1}),
        "batching": {"max_batch_size": 2},
        "deadline": {"default_budget_ms": 4000},
    }
    async with running(stage, device, **sections) as service:
        for _ in range(4):
            await wave(stage, service, device, {"b": 60, "a": 60})
        in_time = inspected(await stage.bus.results())
    assert in_time.total() >= 4 * 40 * 0.9
    assert 2 <= in_time["a"] / in_time["b"] <= 4


async def test_where_the_freshest_counts_older_frames_are_answered_as_superseded(stage: Stage) -> None:
    device = Device(stage, each_s=0.01)
    device.free.clear()
    routes = cameras(a={"policy": "freshest_first"}, b={})
    async with running(stage, device, cameras=routes, batching={"max_batch_size": 2}) as service:
        await stage.publish("b", 0)
        await wait_until(lambda: metric(service, "queue_frames", stage="score") == 1)
        await stage.publish_many(("a", seq) for seq in range(1, 30))
        labels = {"camera": "line/a", "status": "expired", "reason": "superseded"}
        await wait_until(lambda: metric(service, "in_flight_frames") + metric(service, "frames_total", **labels) == 30)
        device.free.set()
        results = await stage.bus.wait_for_results(30)
        assert await stage.bus.deadletters() == []
    of_a = [result for result in results if result.camera_id == "a"]
    assert [result.seq for result in of_a] == list(range(1, 30)), "in order, though the newest was scored first"
    assert (of_a[-1].status, of_a[-1].reason) == ("inspected", "none")
    others = Counter((result.status, result.reason, result.anomaly_class_id) for result in of_a[:-1])
    assert others["expired", "superseded", 1] >= 20
    assert {status for status, _, _ in others} <= {"expired", "inspected"}


async def still(value: Callable[[], float]) -> None:
    """Return once a value has not changed for as long as several reads take."""
    seen: list[float] = []

    def unchanged() -> bool:
        seen.append(value())
        return len(seen) > 50 and len(set(seen[-50:])) == 1

    await wait_until(unchanged)


async def test_a_flood_of_large_frames_does_not_use_up_the_bytes_of_another_partition(stage: Stage) -> None:
    device = Device(stage)
    device.free.clear()
    sections = {
        "kafka": stage.bus.kafka.model_copy(update={"max_partition_fetch_bytes": 200_000}),
        "limits": {"max_frame_bytes": 100_000, "max_pixels": 10_000, "max_bytes_in_flight": 8 << 20},
        "batching": {"max_batch_size": 2},
    }
    large = {"image": png() + bytes(90_000), "budget_us": 600_000_000}
    await stage.publish_many((("a", seq) for seq in range(100)), **large)
    async with running(stage, device, **sections) as service:
        await wait_until(lambda: metric(service, "queue_frames", stage="score") > 0)
        await still(lambda: metric(service, "in_flight_frames"))
        before = metric(service, "in_flight_frames")
        assert before < 60, "the budget bounds the flood"
        await stage.publish("b", 0)
        await wait_until(lambda: metric(service, "in_flight_frames") == before + 1)
        device.free.set()
        results = await stage.bus.wait_for_results(101)
    assert inspected(results) == {"a": 100, "b": 1}
