"""Trials in the shadow that give way: to releases, to the line's budget, and to the next start after a fault."""

from __future__ import annotations

import gc
import time
import weakref
from collections.abc import Iterable
from pathlib import Path

import pytest
from typing_extensions import override

from inspector.settings.topics import TopicSettings
from inspector.watchdog.limits import EXIT_DEVICE_LOST
from tests.buses import wait_until
from tests.device import DeviceModel
from tests.fakes import FakeModel
from tests.lines import ShadowLine, shadow, tried
from tests.releases import THRESHOLDS, digest_of, release
from tests.stage import metric


@pytest.fixture
async def line(topic_names: TopicSettings, tmp_path: Path) -> ShadowLine:
    line = ShadowLine(topic_names, tmp_path)
    await line.bus.make_topics(line.settings)
    return line


@pytest.mark.parametrize("camera", ["a", "b"])
async def test_a_release_that_lacks_memory_ends_the_trials_and_judges(line: ShadowLine, camera: str) -> None:
    for letter in "bd":
        line.shelf.put(letter)
    line.shelf.put("c")
    line.release(release("a", 1, "b", candidate=shadow("c")))
    async with line.running() as service:
        await line.until_tried(service, "c")
        held = weakref.ref(line.shelf.models.pop(digest_of("c")))

        def read() -> None:
            gc.collect()
            if held() is not None:
                raise MemoryError

        line.shelf.on_read[digest_of("d")] = read
        line.release(release(camera, 2, "d", candidate=shadow("c") if camera == "a" else None))
        await wait_until(lambda: metric(service, "release_number", camera=f"line/{camera}") == 2)
        told = line.outcomes()
        assert ("refused", 2, "memory") not in told, "what a trial held is no reason"
        assert ("refused", 1, "shadow") in told


async def test_a_trial_that_ended_for_a_release_which_was_refused_begins_again(line: ShadowLine) -> None:
    for letter in "bc":
        line.shelf.put(letter)
    line.shelf.put("d").thresholds = None  # type: ignore[assignment]
    line.release(release("a", 1, "b", candidate=shadow("c")))
    async with line.running() as service:
        await line.until_tried(service, "c")
        line.release(release("a", 2, "d"))
        await line.until_told(4)
        assert line.outcomes()[2:] == [("refused", 2, "thresholds"), ("applied", 1, "shadow")]
        await line.until_tried(service, "c")


async def test_a_trial_that_is_too_slow_for_the_line_never_begins(line: ShadowLine) -> None:
    line.settings = line.settings.model_copy(
        update={"deadline": line.settings.deadline.model_copy(update={"default_budget_ms": 1})}
    )
    line.shelf.put("b")
    candidate = line.shelf.put("c", Dawdling(THRESHOLDS))
    line.release(release("a", 1, "b", candidate=shadow("c")))
    async with line.running() as service:
        await line.until_told(2)
        assert line.outcomes() == [("applied", 1, ""), ("refused", 1, "shadow")]
        assert (tried(service, "line/a"), candidate.warmed) == (None, [1])


async def test_a_trial_that_goes_on_when_the_process_stops_begins_again_at_the_next_start(line: ShadowLine) -> None:
    line.shelf.put("b")
    line.shelf.put("c")
    line.release(release("a", 1, "b", candidate=shadow("c")))
    for _ in range(2):
        async with line.running() as service:
            await line.until_tried(service, "c")


async def test_a_trial_that_cost_the_line_its_device_is_not_begun_at_the_next_start(line: ShadowLine) -> None:
    line.shelf.put("b")
    candidate = DeviceModel(THRESHOLDS, room=8)
    line.shelf.put("c", candidate)
    line.release(release("a", 1, "b", candidate=shadow("c")))
    async with line.running(status=EXIT_DEVICE_LOST) as service:
        await line.until_tried(service, "c")
        candidate.lost = RuntimeError("CUDA error: device-side assert triggered")
        await line.stage.publish("a", 1)
        await wait_until(lambda: any("device is lost" in why for why in service.health.not_alive()))
    before = len(line.outcomes())
    async with line.running() as service:
        await line.until_told(before + 2)
        assert line.outcomes()[before:] == [("applied", 1, ""), ("refused", 1, "shadow")]
        assert tried(service, "line/a") is None
        line.release(release("a", 2, "b", candidate=shadow("c")))
        candidate.lost = None
        await line.until_tried(service, "c")


class Dawdling(FakeModel):
    """Takes longer for a frame than a short budget has."""

    @override
    def warm_up(self, batch_sizes: Iterable[int]) -> None:
        time.sleep(0.01)
        super().warm_up(batch_sizes)
