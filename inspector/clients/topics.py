"""`inspector topics apply`: creates the topics with the right settings, and reports where existing ones differ.

It changes nothing that is there. A partition count in particular: keys would move to other partitions, and a camera's
order would be lost.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from inspector.bus.admin import TopicSpec, TopicState, connect_admin
from inspector.errors import TopicError
from inspector.settings.commands import AUTO_REPLICATION
from inspector.settings.section import MIB
from inspector.settings.settings import MESSAGE_OVERHEAD_BYTES, Settings

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS

FRAMES_RETENTION_MS = HOUR_MS
RESULTS_RETENTION_MS = 7 * DAY_MS
HEARTBEATS_RETENTION_MS = HOUR_MS
DEADLETTERS_RETENTION_MS = 14 * DAY_MS
# One file is kept whole as long as it is written to: smaller than Kafka's 1 GiB, short retention means something.
FRAMES_SEGMENT_BYTES = 256 * MIB
RESULTS_MESSAGE_BYTES = MIB


@dataclass(frozen=True)
class TopicReport:
    """The outcome for one topic."""

    name: str
    created: bool
    differences: tuple[str, ...] = ()


def wanted_topics(settings: Settings, *, replication: int = 3, min_insync: int | None = None) -> list[TopicSpec]:
    """Return the topics that the settings ask for.

    Args:
        settings: names, partitions and message sizes.
        replication: copies of each partition; a broker's loss is survived from two on.
        min_insync: copies that must have a record before it is acknowledged; default: all but one, at least one.
    """
    topics = settings.topics
    common = {
        "min.insync.replicas": str(max(1, replication - 1) if min_insync is None else min_insync),
        "cleanup.policy": "delete",
    }
    frame_bytes = settings.limits.max_message_bytes
    frames = common | {
        "retention.ms": str(FRAMES_RETENTION_MS),
        "segment.bytes": str(FRAMES_SEGMENT_BYTES),
        "max.message.bytes": str(frame_bytes),
        # Pictures do not compress; and what is compressed may be large where it is read.
        "compression.type": "uncompressed",
    }
    results = common | {"retention.ms": str(RESULTS_RETENTION_MS), "max.message.bytes": str(RESULTS_MESSAGE_BYTES)}
    deadletters = common | {
        "retention.ms": str(DEADLETTERS_RETENTION_MS),
        # It may carry the frame, and says more about it.
        "max.message.bytes": str(frame_bytes + MESSAGE_OVERHEAD_BYTES),
    }
    if topics.results_per_camera:
        names = dict.fromkeys(topics.results_topic(camera.line_id, camera.camera_id) for camera in settings.cameras)
        names[topics.stray_results_topic] = None
        result_topics = [TopicSpec(name, 1, replication, results) for name in names]
    else:
        result_topics = [TopicSpec(topics.results_topic("", ""), topics.frames_partitions, replication, results)]
    return [
        TopicSpec(topics.frames_topic, topics.frames_partitions, replication, frames),
        *result_topics,
        TopicSpec(topics.deadletters_topic, 1, replication, deadletters),
        *_heartbeats(settings, replication, common),
        *_releases(settings, replication, common),
    ]


def _heartbeats(settings: Settings, replication: int, common: dict[str, str]) -> Iterator[TopicSpec]:
    """Only where something sends or reads them."""
    if settings.heartbeat.interval_ms is not None or settings.gate.heartbeat_timeout_ms is not None:
        config = common | {
            "retention.ms": str(HEARTBEATS_RETENTION_MS),
            "max.message.bytes": str(RESULTS_MESSAGE_BYTES),
        }
        yield TopicSpec(settings.topics.heartbeats_topic, 1, replication, config)


def _releases(settings: Settings, replication: int, common: dict[str, str]) -> Iterator[TopicSpec]:
    """Only where there are releases: which model judges each camera, compacted; who changed it, for ever; what a model on trial says.

    The first two have one partition: the log's order decides which of two releases at once came first.
    """
    if settings.releases.is_on:
        limit = {"max.message.bytes": str(RESULTS_MESSAGE_BYTES)}
        kept = {"retention.ms": "-1", "retention.bytes": "-1"}
        yield TopicSpec(settings.topics.models_topic, 1, replication, {**common, **limit, "cleanup.policy": "compact"})
        yield TopicSpec(settings.topics.audit_topic, 1, replication, {**common, **limit, **kept})
        seen = {"retention.ms": str(RESULTS_RETENTION_MS)}
        yield TopicSpec(settings.topics.shadow_topic, 1, replication, {**common, **limit, **seen})


async def apply_topics(
    settings: Settings, *, replication: int | Literal["auto"] = 3, min_insync: int | None = None
) -> list[TopicReport]:
    """Create what is missing; say what differs. A second call changes nothing.

    Args:
        settings: names, partitions and message sizes.
        replication: copies of each partition; auto: as many as there are brokers, `AUTO_REPLICATION` at most.
        min_insync: copies that must have a record before it is acknowledged; default: all but one, at least one.

    Raises:
        BusError: No broker answers, or not as it should.
        TopicError: There are too few brokers, or one refuses to make a topic.
    """
    async with connect_admin(settings.kafka) as admin:
        num_brokers = await admin.num_brokers()
        copies = max(1, min(AUTO_REPLICATION, num_brokers)) if replication == "auto" else replication
        insync = None if min_insync is None else min(min_insync, copies)
        wanted = wanted_topics(settings, replication=copies, min_insync=insync)
        states = [(spec, await admin.topic(spec.name)) for spec in wanted]
        if num_brokers < copies and any(state is None for _, state in states):
            raise TopicError(
                f"{copies} copies need {copies} brokers, but there are {num_brokers}; for a trial: --replication "
                f"{num_brokers} (or auto)"
            )
        missing = [spec for spec, state in states if state is None]
        created = await admin.create(missing) if missing else set()
    return [_report(spec, state, created) for spec, state in states]


def _report(spec: TopicSpec, state: TopicState | None, created: set[str]) -> TopicReport:
    if state is None:
        return TopicReport(spec.name, created=spec.name in created)
    return TopicReport(spec.name, created=False, differences=tuple(_differences(spec, state)))


def _differences(spec: TopicSpec, state: TopicState) -> Iterator[str]:
    if state.partitions != spec.partitions:
        yield (
            f"has {state.partitions} partitions, but the settings say {spec.partitions}; this is never changed in "
            "place: create a topic with another name and move the cameras to it"
        )
    if state.replication != spec.replication:
        yield f"has {state.replication} copies, not {spec.replication}; change it with kafka-reassign-partitions"
    for key, value in spec.config.items():
        actual = state.config.get(key, value)  # what the broker does not tell cannot be compared
        if actual != value:
            yield f"has {key}={actual}, not {value}; change it with kafka-configs --alter --add-config {key}={value}"
