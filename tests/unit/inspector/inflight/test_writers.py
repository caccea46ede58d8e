"""Who else writes results of this deployment's cameras: what is counted and told, and what is none of its business."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from inspector.bus.ports import ConsumedRecord, Fault, Partition
from inspector.errors import AccessError, ConfigError
from inspector.inflight.writers import WriterWatch, watch_writers
from inspector.observe.metrics import Metrics
from inspector.settings.settings import Settings
from tests.fakes import FakeBroker, FakeTail
from tests.virtual_time import run_virtually

PLACE = ("results", 0)
CAMERAS = ("line/a", "line/b")


class Ears:
    """A watch, and what it counted."""

    def __init__(self, places: Collection[Partition] = (PLACE,), cameras: Collection[str] = CAMERAS) -> None:
        self.broker = FakeBroker({"results": 1})
        self.registry = CollectorRegistry()
        self.metrics = Metrics(self.registry, cameras)
        self.watch = WriterWatch(
            FakeTail(self.broker),
            deployment="ours",
            cameras=cameras,
            partitions=lambda: places,
            metrics=self.metrics,
        )

    def wrote(self, deployment: bytes | None, camera: bytes | None = b"line/a", fault: Fault | None = None) -> None:
        headers = [] if deployment is None else [("deployment", deployment)]
        self.broker.append(PLACE, camera, b"", headers, fault=fault)

    def counted(self, camera: str = "line/a") -> float | None:
        return self.registry.get_sample_value("inspector_foreign_results_total", {"camera": camera})


async def test_another_deployment_is_counted_and_named_with_the_mend(caplog: pytest.LogCaptureFixture) -> None:
    ears = Ears()
    ears.wrote(b"theirs")  # before this one looked for the first time
    await ears.watch.look()
    assert ears.counted() == 0
    for name, camera in ((b"ours", b"line/a"), (b"theirs", b"line/a"), (b"theirs", b"line/b"), (b"theirs", b"line/a")):
        ears.wrote(name, camera)
    await ears.watch.look()
    assert (ears.counted(), ears.counted("line/b")) == (2, 1)
    (told,) = caplog.messages
    assert told.startswith(
        "deployment theirs also writes results for line/a, line/b. Only one deployment may judge a camera"
    )
    assert "stop one of them" in told
    await ears.watch.look()
    assert ears.counted() == 2, "nothing is counted twice"


async def test_its_own_results_and_those_of_other_cameras_are_none_of_its_business(
    caplog: pytest.LogCaptureFixture,
) -> None:
    ears = Ears()
    await ears.watch.look()
    ears.wrote(b"ours")
    ears.wrote(b"theirs", b"line/c")
    ears.wrote(b"theirs", None)
    ears.wrote(b"theirs", fault=Fault("corrupt", "not to be believed"))
    await ears.watch.look()
    assert (ears.counted(), ears.counted("other")) == (0, 0)
    assert caplog.messages == []


@pytest.mark.parametrize(
    ("name", "told"),
    [
        (None, "a writer without a deployment name"),
        (b"", "a writer without a deployment name"),
        (b"x\ny\xff", r"deployment x\ny\\xff also writes"),
        (b"a" * 5000, "deployment " + "a" * 129 + " also writes"),
    ],
)
async def test_a_strange_name_is_told_in_one_bounded_line(
    caplog: pytest.LogCaptureFixture, name: bytes | None, told: str
) -> None:
    ears = Ears()
    await ears.watch.look()
    ears.wrote(name)
    await ears.watch.look()
    assert ears.counted() == 1
    (line,) = caplog.messages
    assert line.startswith(told)
    assert "\n" not in line


async def test_a_process_that_has_sent_nothing_looks_nowhere() -> None:
    ears = Ears(places=())
    ears.wrote(b"theirs")
    await ears.watch.look()
    assert ears.counted() == 0


class Refused:
    def __init__(self, failure: Exception) -> None:
        self.failure = failure
        self.looks = 0

    async def look(
        self, partitions: Collection[Partition], tell: Callable[[ConsumedRecord], None], *, most: int
    ) -> None:
        self.looks += 1
        raise self.failure

    async def stop(self) -> None: ...


@pytest.mark.parametrize(
    ("failure", "level", "why"),
    [
        (AccessError("no right Read"), logging.WARNING, ": no right Read"),
        (ConfigError("the file is empty"), logging.WARNING, ": the file is empty"),
        (KeyError("a fault of ours"), logging.ERROR, ""),
    ],
)
async def test_what_cannot_be_read_is_told_and_stops_nothing(
    caplog: pytest.LogCaptureFixture, failure: Exception, level: int, why: str
) -> None:
    watch = WriterWatch(
        Refused(failure),
        deployment="ours",
        cameras=CAMERAS,
        partitions=lambda: [PLACE],
        metrics=Metrics(CollectorRegistry()),
    )
    await watch.look_if_possible()
    (told,) = caplog.messages
    assert told == "cannot check whether another deployment writes results for these cameras" + why
    assert [record.levelno for record in caplog.records] == [level]


async def test_of_many_cameras_the_first_five_are_named_and_each_writer_has_its_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    cameras = tuple(f"line/{letter}" for letter in "abcdefg")
    ears = Ears(cameras=cameras)
    await ears.watch.look()
    for camera in cameras[:6]:
        ears.wrote(b"theirs", camera.encode())
    for camera in cameras[:5]:
        ears.wrote(b"another", camera.encode())
    await ears.watch.look()
    another, theirs = caplog.messages
    assert another.startswith("deployment another also writes results for line/a, line/b, line/c, line/d, line/e. Only")
    assert theirs.startswith(
        "deployment theirs also writes results for line/a, line/b, line/c, line/d, line/e and 1 more."
    )


SETTINGS: dict[str, Any] = {
    "deployment": "ours",
    "models": {"m": "m"},
    "cameras": [{"line_id": "line", "camera_id": name, "model": "m"} for name in "ab"],
}


def test_it_looks_every_so_often_at_the_results_that_this_process_writes() -> None:
    async def watch(interval_s: float) -> list[float | None]:
        ears = Ears()
        settings = Settings.model_validate({**SETTINGS, "second_writer_check_s": interval_s})
        others = [(topic, 0) for topic in settings.topics.own_topics]
        seen: list[float | None] = []
        watching = asyncio.create_task(
            watch_writers(settings, FakeTail(ears.broker), lambda: [PLACE, *others], ears.metrics)
        )
        await asyncio.sleep(interval_s + 0.5)
        for place in (PLACE, *others):
            for camera in (b"line/a", b"line/c"):
                ears.broker.append(place, camera, b"", [("deployment", b"theirs")])
            ears.broker.append(place, b"line/a", b"", [("deployment", b"ours")])
        for _ in range(3):
            seen.append(ears.counted())
            await asyncio.sleep(interval_s - 0.25)
        watching.cancel()
        return seen

    assert run_virtually(watch(10.0)) == [0, 1, 1], "what other topics hold is none of its business"


def test_where_it_is_not_to_look_it_only_waits() -> None:
    async def watch() -> int:
        settings = Settings.model_validate({**SETTINGS, "second_writer_check_s": 0})
        looking = Refused(AssertionError("it looked"))
        watching = asyncio.create_task(watch_writers(settings, looking, lambda: [PLACE], Metrics(CollectorRegistry())))
        await asyncio.sleep(3 * 3600.0)
        assert not watching.done()
        watching.cancel()
        return looking.looks

    assert run_virtually(watch()) == 0
