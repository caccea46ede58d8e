"""A model on trial: it takes what the line leaves, within its room, and whatever is wrong with it ends it alone."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Sequence

import pytest
from typing_extensions import override

from inspector.bus.ports import Partition, ProducedRecord
from inspector.errors import BusError
from inspector.inflight.frame import Refusal
from inspector.stages.shadow import MOST_UNSENT, RETRY_S
from tests.fakes import FakeBroker, FakeProducer
from tests.unit.inspector.stages.shadow_bench import PICTURE_BYTES, Scene, frame, route


def test_no_frame_is_begun_and_none_goes_to_the_device_while_one_of_the_line_waits() -> None:
    scene = Scene()
    scene.idle = False
    scene.offer(1)
    scene.stage.start()
    assert not scene.hands.jobs, "not even decoded: the line needs the cores"
    scene.idle = True
    scene.stage.start()
    assert len(scene.hands.jobs) == 1
    scene.idle = False
    scene.hands.run_all()
    scene.stage.start()
    assert not scene.at_device, "frames of the line came meanwhile"
    scene.idle = True
    scene.stage.start()
    assert len(scene.at_device) == 1
    scene.answer()
    scene.hands.run_all()
    assert [reason for _, reason in scene.encoded] == ["none"]
    assert (scene.count("scored"), scene.count("shed"), scene.count("failed")) == (1, 0, 0)


def test_one_frame_is_with_the_shadow_at_a_time() -> None:
    scene = Scene()
    scene.offer(1, 2, 3)
    for _ in range(3):
        scene.stage.start()
    assert (len(scene.hands.jobs), len(scene.stage)) == (1, 2)
    scene.hands.run_all()
    for _ in range(3):
        scene.stage.start()
    assert (len(scene.at_device), len(scene.hands.jobs), len(scene.stage)) == (1, 0, 2)


def test_what_has_no_room_is_shed_and_no_camera_takes_it_all() -> None:
    scene = Scene(max_bytes=4 * PICTURE_BYTES)
    scene.offer(*range(6))
    assert (len(scene.stage), scene.stage.used_bytes, scene.count("shed")) == (4, 4 * PICTURE_BYTES, 2)
    scene.go()
    scene.offer(1, 2, 3, camera="b")
    assert scene.count("shed", "line/b") == 2, "there was room for one"
    scene.go()
    scene.offer(7)
    assert scene.count("shed") == 3, "camera a has its half"
    while len(scene.stage):
        scene.go()
    assert (scene.stage.used_bytes, scene.count("scored"), scene.count("scored", "line/b")) == (0, 4, 1)


def test_the_picture_that_is_scored_takes_room_until_its_record_is_made() -> None:
    """It is in memory as long: with room for one picture, no two are held."""
    scene = Scene(max_bytes=PICTURE_BYTES)
    scene.offer(1)
    for stage in ("decode", "device", "encode"):
        if stage == "device":
            scene.hands.run_all()
        scene.stage.start()
        if stage == "encode":
            scene.answer()
        scene.offer(2)
        held = len(scene.stage) + (scene.stage._current is not None)
        assert (held, scene.stage.used_bytes) == (1, PICTURE_BYTES), stage
    assert scene.count("shed") == 3
    scene.hands.run_all()
    assert scene.stage.used_bytes == 0
    scene.offer(3)
    assert (len(scene.stage), scene.count("shed")) == (1, 3)


def test_a_picture_above_the_room_is_shed() -> None:
    scene = Scene(max_bytes=PICTURE_BYTES - 1)
    scene.offer(1)
    assert (len(scene.stage), scene.count("shed")) == (0, 1)


def test_cameras_take_turns() -> None:
    scene = Scene()
    scene.offer(1, 2, 3)
    scene.offer(1, 2, camera="b")
    while len(scene.stage):
        scene.go()
    assert [trial.camera[-1] for trial, _ in scene.encoded] == ["a", "b", "a", "b", "a"]


def test_cameras_without_a_trial_and_heartbeats_are_not_its_business() -> None:
    scene = Scene()
    scene.offer(1, camera="c")
    beat = frame("a", 1)
    beat.expected_score = 0.125
    scene.stage.offer([beat])
    assert (len(scene.stage), scene.count("shed")) == (0, 0)


def test_a_trial_that_ends_leaves_nothing_behind() -> None:
    scene = Scene()
    scene.offer(1, 2, 3)
    scene.stage.start()
    scene.hands.run_all()
    del scene.trials["line/a"]
    scene.stage.start()
    assert (len(scene.stage), scene.stage.used_bytes, scene.count("shed")) == (0, 0, 3)
    assert not scene.at_device, "nor is what was decoded scored"


def test_what_is_decoded_for_a_trial_that_has_ended_is_not_kept() -> None:
    """Nor its model, whose memory is wanted."""
    scene = Scene()
    scene.offer(1)
    scene.stage.start()
    gone = weakref.ref(scene.trials.pop("line/a").model)
    scene.stage.start()
    scene.hands.run_all()
    scene.stage.start()
    gc.collect()
    assert gone() is None


def test_a_trial_that_follows_another_gets_none_of_its_frames_and_none_of_its_blame() -> None:
    scene = Scene()
    scene.offer(1, 2)
    scene.stage.start()
    scene.hands.run_all()
    scene.stage.start()
    second = scene.trials["line/a"] = route("line/a")
    scene.offer(3)
    assert (len(scene.stage), scene.count("shed")) == (1, 1)
    scene.answer(Refusal("failed", "out_of_memory"))
    scene.hands.run_all()
    assert scene.ended == [], "it was the other one that failed"
    scene.go()
    assert scene.encoded[-1][0].route is second


@pytest.mark.parametrize("at", ["the device", "encoding"])
def test_what_a_trial_that_has_ended_does_ends_none_that_follows_it(at: str) -> None:
    """Even where no frame was offered to the one that follows."""
    scene = Scene(budget_s=1.0)
    scene.offer(1)
    scene.stage.start()
    scene.hands.run_all()
    scene.stage.start()
    failed = Refusal("failed", "out_of_memory")
    if at == "encoding":
        scene.answer(failed)
    second = scene.trials["line/a"] = route("line/a")
    if at == "the device":
        scene.answer(failed, took_s=10.0)
    scene.hands.run_all()
    assert (scene.ended, scene.trials["line/a"]) == ([], second)


async def test_what_was_said_is_sent_and_with_much_unsent_nothing_is_begun() -> None:
    scene = Scene()
    scene.offer(*range(MOST_UNSENT + 1))
    for _ in range(MOST_UNSENT):
        scene.go()
    scene.stage.start()
    assert (len(scene.hands.jobs), len(scene.stage)) == (0, 1)
    sending = asyncio.create_task(scene.stage.run())
    await asyncio.sleep(1)
    assert len(scene.broker.log(("shadow", 0))) == MOST_UNSENT
    sending.cancel()
    scene.stage.start()
    assert len(scene.hands.jobs) == 1


class Refusing(FakeProducer):
    """Takes nothing, at first."""

    is_refusing = True

    @override
    async def send(self, partition: Partition, records: Sequence[ProducedRecord]) -> int:
        if self.is_refusing:
            raise BusError("no broker answers")
        return await super().send(partition, records)


async def test_what_the_brokers_do_not_take_is_given_up_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene()
    producer = scene.stage._producer = Refusing(scene.broker)
    sending = asyncio.create_task(scene.stage.run())
    scene.offer(1)
    scene.go()
    await asyncio.sleep(0.001)
    assert scene.count("shed") == 1
    assert "cannot be sent: no broker answers" in caplog.text
    producer.is_refusing = False
    scene.offer(2)
    scene.go()
    await asyncio.sleep(RETRY_S + 1)
    sending.cancel()
    assert len(scene.broker.log(("shadow", 0))) == 1


class Slow(FakeProducer):
    """Takes one record at a time, and remembers what it was asked."""

    def __init__(self, broker: FakeBroker) -> None:
        super().__init__(broker)
        self.starts = 0
        self.offered: list[tuple[Partition, list[bytes]]] = []

    @override
    async def start(self) -> None:
        self.starts += 1

    @override
    async def partition_for(self, topic: str, key: bytes) -> int:
        assert topic == "shadow"
        return {b"line/a": 0, b"line/b": 1}[key]

    @override
    async def send(self, partition: Partition, records: Sequence[ProducedRecord]) -> int:
        self.offered.append((partition, [record.key for record in records]))
        return await super().send(partition, records[:1])


async def test_records_of_a_camera_go_together_and_those_that_were_not_taken_again() -> None:
    scene = Scene()
    scene.broker.partitions["shadow"] = 2
    producer = scene.stage._producer = Slow(scene.broker)
    for seq, camera in enumerate("abaa"):
        scene.offer(seq, camera=camera)
        scene.go()
    sending = asyncio.create_task(scene.stage.run())
    await asyncio.sleep(1)
    a, b = (("shadow", 0), b"line/a"), (("shadow", 1), b"line/b")
    assert producer.offered == [(a[0], [a[1]] * 3), (b[0], [b[1]]), (a[0], [a[1]] * 2), (a[0], [a[1]])]
    scene.offer(9)
    scene.go()
    await asyncio.sleep(1)
    assert (len(producer.offered), producer.starts) == (5, 1)
    sending.cancel()


async def test_an_outage_is_told_once_and_again_after_it_was_over(caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene()
    producer = scene.stage._producer = Refusing(scene.broker)
    sending = asyncio.create_task(scene.stage.run())
    for is_refusing, told in ((True, 1), (True, 1), (False, 1), (True, 2)):
        producer.is_refusing = is_refusing
        scene.offer(1)
        scene.go()
        await asyncio.sleep(2 * RETRY_S)
        assert [record.levelname for record in caplog.records].count("WARNING") == told
    assert scene.count("shed") == 3
    sending.cancel()
