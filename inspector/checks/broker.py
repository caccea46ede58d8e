"""Whether the broker lets this process work: it answers, accepts the credentials, has the topics, and grants the rights.

Nothing is changed: no topic is created, no record is written, no group is joined.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from inspector.bus.admin import BusAdmin, connect_admin
from inspector.bus.rights import Right, TopicRights
from inspector.clients.topics import wanted_topics
from inspector.errors import BusError
from inspector.settings.settings import Settings


async def broker_faults(settings: Settings) -> list[str]:
    """Return a sentence for everything that is wrong; what a broker does not tell is not tried."""
    try:
        async with connect_admin(settings.kafka) as admin:
            return await _faults(admin, settings)
    except BusError as exc:
        return [f"kafka: {exc}"]


async def _faults(admin: BusAdmin, settings: Settings) -> list[str]:
    topics, user = settings.topics, settings.kafka.principal
    wanted = {spec.name: spec for spec in wanted_topics(settings)}
    granted = await admin.rights(list(wanted))
    faults: list[str] = []
    for name, spec in wanted.items():
        is_frames = name == topics.frames_topic
        right: Right = "Read" if name in {topics.frames_topic, topics.models_topic} else "Write"
        faults += _topic(granted[name], name, right, user)
        told = granted[name].rights
        reads_back = settings.second_writer_check_s > 0 and name not in topics.own_topics
        if reads_back and told is not None and "Read" not in told and right in told:
            faults.append(
                f"topic {name}: {user} lacks the right Read on it, so a second writer would not be noticed; grant it, "
                "or set second_writer_check_s = 0"
            )
        if is_frames and granted[name].partitions not in (None, spec.partitions):
            faults.append(
                f"topics.frames_partitions: topic {name} has {granted[name].partitions} partitions, but the settings "
                f"say {spec.partitions}; correct the settings, or create a topic with another name"
            )
        if is_frames and granted[name].state == "there":
            faults += _frames_config(name, await admin.config(name), spec.config)
    group = settings.kafka.group_id
    rights = await admin.group_rights(group)
    if rights is not None and "Read" not in rights:
        faults.append(f"kafka.group_id: {user} lacks the right Read on group {group}; grant it")
    return faults


def _frames_config(name: str, config: Mapping[str, str], wanted: Mapping[str, str]) -> Iterator[str]:
    """Yield how the frames topic lets records in that this process, as it is set, is not made for."""
    key = "compression.type"
    if config.get(key, wanted[key]) != wanted[key]:
        yield (
            f"topic {name}: {key} is {config[key]}, so compressed pictures are decompressed here, and refused if "
            f"larger than limits.max_frame_bytes; {_mend(name, key, wanted[key])}"
        )
    key = "max.message.bytes"
    taken, expected = int(config.get(key, wanted[key])), int(wanted[key])
    if taken != expected:
        what = "which may be more than the reserved memory" if taken > expected else "so the largest frames are refused"
        yield (
            f"topic {name}: {key} is {taken}, but the settings require {expected} (limits.max_frame_bytes plus "
            f"overhead), {what}; {_mend(name, key, wanted[key])}, or change limits.max_frame_bytes"
        )


def _mend(name: str, key: str, value: str) -> str:
    return f"change it with kafka-configs --alter --entity-type topics --entity-name {name} --add-config {key}={value}"


def _topic(found: TopicRights, name: str, right: Right, user: str) -> Iterator[str]:
    if found.state == "forbidden":
        yield f"topic {name}: {user} lacks the rights Describe and {right} on it, or it does not exist; grant them"
    elif found.state == "missing":
        yield f"topic {name} does not exist; create it with `inspector topics apply`"
    elif found.rights is not None and right not in found.rights:
        yield f"topic {name}: {user} lacks the right {right} on it; grant it"
