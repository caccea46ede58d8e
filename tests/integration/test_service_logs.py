"""What lasts is told once: topics that are not there yet, and a results topic that is gone."""

from __future__ import annotations

import io
import json
import logging
from collections import Counter
from collections.abc import Iterator

import pytest

from inspector.bus.admin import connect_admin
from inspector.settings.kafka import KafkaSettings
from inspector.settings.topics import TopicSettings
from tests.buses import KafkaBus, wait_until
from tests.log_lines import written_log
from tests.stage import Stage, metric


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """What the service's own handler writes."""
    with written_log("info") as stream:
        yield stream


def repeated(lines: io.StringIO) -> dict[str, int]:
    """Return the warnings that were written more than once."""
    records = [json.loads(line) for line in lines.getvalue().splitlines()]
    told = Counter(record["message"] for record in records if record["level"] in {"warning", "error"})
    return {message: count for message, count in told.items() if count > 1}


OFTEN = 6
"""So often aiokafka has missed a topic when it must have been told once."""


class Counting(logging.Handler):
    """Counts how often aiokafka missed a topic, whether that was written or not."""

    def __init__(self) -> None:
        super().__init__()
        self.missed = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.missed += "not found in cluster metadata" in record.getMessage()


@pytest.fixture
def counting() -> Iterator[Counting]:
    counting = Counting()
    logging.getLogger("aiokafka.cluster").addHandler(counting)
    yield counting
    logging.getLogger("aiokafka.cluster").removeHandler(counting)


async def test_topics_that_are_not_there_yet_are_told_of_once(
    kafka_settings: KafkaSettings, topic_names: TopicSettings, lines: io.StringIO, counting: Counting
) -> None:
    stage = Stage(KafkaBus(kafka_settings, topic_names))
    async with stage.service() as service:
        await wait_until(lambda: counting.missed > OFTEN)
        assert f"Topic {topic_names.deadletters_topic} not found" in lines.getvalue()
        assert repeated(lines) == {}
        await stage.bus.make_topics(stage.settings())
        await wait_until(lambda: service.health.not_ready() == [])


async def test_a_results_topic_that_is_gone_is_told_of_once(
    kafka_settings: KafkaSettings, topic_names: TopicSettings, lines: io.StringIO, counting: Counting
) -> None:
    stage = Stage(KafkaBus(kafka_settings, topic_names))
    settings = stage.settings()
    await stage.bus.make_topics(settings)
    async with stage.service(settings) as service:
        await stage.publish("a", 0)
        await stage.bus.wait_for_results(1)
        async with connect_admin(kafka_settings) as admin:
            await admin._client.delete_topics([topic_names.results_topic("", "")])
        await stage.publish("a", 1)
        await wait_until(lambda: counting.missed > OFTEN)
        assert f"Topic {topic_names.results_topic('', '')} not found" in lines.getvalue()
        assert repeated(lines) == {}
        await stage.bus.make_topics(settings)
        results = await stage.bus.wait_for_results(1)
        assert [result.seq for result in results] == [1]
        await wait_until(lambda: metric(service, "in_flight_frames") == 0)
