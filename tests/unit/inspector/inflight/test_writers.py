"""Who else writes results of this deployment's cameras: what is counted and told, and what is none of its business."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection

import pytest
from prometheus_client import CollectorRegistry

from inspector.bus.ports import ConsumedRecord, Fault, Partition
from inspector.errors import AccessError, ConfigError
from inspector.inflight.writers import WriterWatch
from inspector.observe.metrics import Metrics
from tests.fakes import FakeBroker, FakeTail

PLACE = ("results", 0)
CAMERAS = ("line/a", "line/b")


class Ears:
    """A watch, and what it counted."""

    def __init__(self, places: Collection[Partition] = (PLACE,)) -> None:
        self.broker = FakeBroker({"results": 1})
        self.registry = CollectorRegistry()
        self.watch = WriterWatch(
            FakeTail(self.broker),
            deployment="ours",
            cameras=CAMERAS,
            partitions=lambda: places,
            metrics=Metrics(self.registry, CAMERAS),
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

    async def look(
        self, partitions: Collection[Partition], tell: Callable[[ConsumedRecord], None], *, most: int
    ) -> None:
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
