"""Two deployments on one camera, on Apache Kafka: each sees that the other writes."""

from __future__ import annotations

from inspector.service import Service
from inspector.settings.kafka import KafkaSettings
from inspector.settings.topics import TopicSettings
from tests.buses import KafkaBus, wait_until
from tests.stage import Stage, metric


def foreign(service: Service) -> float:
    return metric(service, "foreign_results_total", camera="line/a")


async def test_two_deployments_of_one_camera_both_say_so(
    kafka_settings: KafkaSettings, topic_names: TopicSettings
) -> None:
    stage = Stage(KafkaBus(kafka_settings, topic_names))
    await stage.bus.make_topics(stage.settings())
    # Groups of their own, so each reads every frame; the pace of the looks is what a test can wait for.
    day, night = (
        stage.settings(
            deployment=name,
            second_writer_check_s=0.05,
            kafka=kafka_settings.model_copy(update={"group_id": f"{kafka_settings.group_id}-{name}"}),
        )
        for name in ("day", "night")
    )
    async with stage.bus.connected(), stage.service(day) as first:
        await stage.publish("a", 0)
        await stage.bus.wait_for_results(1)
        assert foreign(first) == 0
        async with stage.service(night) as second:
            for seq in range(1, 200):
                await stage.publish("a", seq)
                await stage.bus.wait_for_results(seq + 1)
                if foreign(first) and foreign(second):
                    break
            await wait_until(lambda: foreign(first) and foreign(second))
    assert {result.deployment for result in await stage.bus.results()} == {"day", "night"}
