"""A frames topic that grows, goes and comes back, and transactions on it: what is there is read, and readiness tells the truth."""

from __future__ import annotations

import asyncio

import pytest
from aiokafka.admin import NewTopic

from inspector.bus.admin import connect_admin
from inspector.bus.connect import producer_client
from inspector.service import Service
from inspector.settings.kafka import KafkaSettings
from inspector.settings.topics import TopicSettings
from tests.buses import KafkaBus, started, wait_until
from tests.frames import camera_frame, record_of
from tests.stage import CAMERAS, Stage, by_seq, metric, sequences


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look after the topic four times as often as a service does: what becomes of it is noticed sooner."""
    monkeypatch.setattr("inspector.stages.source.SURVEY_S", 0.5)
    monkeypatch.setattr("inspector.bus.connect.METADATA_MAX_AGE_MS", 1000)


def is_ready(service: Service) -> bool:
    return service.health.not_ready() == []


async def test_partitions_that_are_added_are_read(stage: Stage) -> None:
    async with stage.service() as service:
        await wait_until(lambda: is_ready(service))
        await stage.publish("a", 0)
        await stage.bus.wait_for_results(1)
        await stage.bus.grow(12)
        await stage.bus.publish(11, *record_of(camera_frame("b", 1, stage.clock.wall_us())))
        results = await stage.bus.wait_for_results(2)
        assert by_seq(results)[1].source.partition == 11
        await wait_until(lambda: is_ready(service) and metric(service, "assigned_partitions") == 12)


@pytest.mark.parametrize("gap", ["at once", "when it was missed"])
async def test_a_topic_that_was_deleted_and_made_again_is_read_from_its_beginning(stage: Stage, gap: str) -> None:
    settings = stage.settings()
    for seq in range(5):
        await stage.publish("a", seq)
    async with stage.service(settings) as service:
        await stage.bus.wait_for_results(5)
        while await stage.bus.committed(0) < 5:
            await asyncio.sleep(0.05)
        await stage.bus.delete_frames()
        if gap == "when it was missed":
            await wait_until(lambda: any("does not exist" in why for why in service.health.not_ready()))
        await stage.bus.make_topics(settings)
        for seq in range(10, 20):  # more than the topic before had: its offsets tell nothing
            await stage.publish("a", seq)
        results = await stage.bus.wait_for_results(15)
        assert set(by_seq(results)) == {*range(5), *range(10, 20)}
        await wait_until(lambda: is_ready(service))
    assert await stage.bus.committed(0) == 10


async def test_two_processes_share_what_was_added_and_what_was_made_again(stage: Stage) -> None:
    settings = stage.settings()

    def share() -> tuple[float, float]:
        return metric(first, "assigned_partitions"), metric(second, "assigned_partitions")

    async with stage.service(settings) as first, stage.service(settings) as second:
        await wait_until(lambda: share() == (4, 4) and is_ready(first) and is_ready(second))
        await stage.bus.grow(12)
        await wait_until(lambda: share() == (6, 6) and is_ready(first) and is_ready(second))
        for number in range(12):
            await stage.bus.publish(number, *record_of(camera_frame("a", number, stage.clock.wall_us())))
        await stage.bus.wait_for_results(12)
        await stage.bus.delete_frames()
        await stage.bus.make_topics(settings)
        for number in range(8):
            for seq in (20 + number, 40 + number):
                await stage.bus.publish(number, *record_of(camera_frame("a", seq, stage.clock.wall_us())))
        results = await stage.bus.wait_for_results(28)
        assert set(by_seq(results)) == {*range(12), *range(20, 28), *range(40, 48)}
        await wait_until(lambda: share() == (4, 4) and is_ready(first) and is_ready(second))
        while [await stage.bus.committed(number) for number in range(8)] != [2] * 8:
            await asyncio.sleep(0.05)


@pytest.mark.kafka
@pytest.mark.parametrize(
    ("isolation_level", "answered"), [("read_committed", {2, 3}), ("read_uncommitted", {1, 2, 3, 4})]
)
async def test_frames_of_a_transaction_are_read_as_the_settings_say(
    kafka_settings: KafkaSettings,
    topic_names: TopicSettings,
    unique_name: str,
    isolation_level: str,
    answered: set[int],
) -> None:
    stage = Stage(KafkaBus(kafka_settings.model_copy(update={"isolation_level": isolation_level}), topic_names))
    await stage.bus.make_topics(stage.settings())

    async def send(producer: object, seq: int, partition: int) -> None:
        key, value, headers = record_of(camera_frame("a", seq, stage.clock.wall_us()))
        await producer.send_and_wait(  # type: ignore[attr-defined]
            topic_names.frames_topic, value, key, partition=partition, headers=headers
        )

    async with (
        started(lambda: producer_client(kafka_settings, transactional_id=f"{unique_name}-1")) as first,
        started(lambda: producer_client(kafka_settings, transactional_id=f"{unique_name}-2")) as second,
    ):
        await first.begin_transaction()
        await send(first, 1, 0)
        await first.abort_transaction()
        await first.begin_transaction()
        await send(first, 2, 0)
        await first.commit_transaction()
        await send_plain(stage, 3)
        await second.begin_transaction()
        await send(second, 4, 2)
        async with stage.service() as service:
            results = await stage.bus.wait_for_results(len(answered))
            assert set(by_seq(results)) == answered
            assert all(result.status == "inspected" for result in results)
            await wait_until(lambda: is_ready(service))
            await second.commit_transaction()
            results = await stage.bus.wait_for_results(len(answered | {4}))
            assert set(by_seq(results)) == answered | {4}


async def send_plain(stage: Stage, seq: int) -> None:
    await stage.bus.publish(1, *record_of(camera_frame("b", seq, stage.clock.wall_us())))


@pytest.mark.kafka
async def test_a_results_topic_that_was_made_again_smaller_gets_its_verdicts_in_order(
    kafka_settings: KafkaSettings, topic_names: TopicSettings
) -> None:
    """Cameras whose partition is gone have others."""
    bus = KafkaBus(kafka_settings, topic_names)
    stage = Stage(bus)
    settings = stage.settings()
    await bus.make_topics(settings)
    async with stage.service(settings) as service:
        for seq in range(2):
            for camera in CAMERAS:
                await stage.publish(camera, seq)
        results = await bus.wait_for_results(2 * len(CAMERAS))
        assert len({sent.partition for sent in await bus.records(topic_names.results_topic("", ""))}) > 1
        async with connect_admin(kafka_settings) as admin:
            await admin._client.delete_topics([topic_names.results_topic("", "")])
            await admin._client.create_topics([NewTopic(topic_names.results_topic("", ""), 1, 1)])
        for seq in range(2, 6):
            for camera in CAMERAS:
                await stage.publish(camera, seq)
        results = await bus.wait_for_results(4 * len(CAMERAS), timeout_s=150)
        assert {camera: [n for n in seqs if n > 1] for camera, seqs in sequences(results).items()} == {
            camera: [2, 3, 4, 5] for camera in CAMERAS
        }
        await wait_until(lambda: metric(service, "in_flight_frames") == 0)
