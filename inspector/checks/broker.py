"""Whether the broker lets this process do its work: it answers, takes the credentials, has the topics, and grants the rights.

Nothing is changed: no topic is made, no record written, no group joined.
"""

from __future__ import annotations

from collections.abc import Iterator

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
    topics, user = settings.topics, settings.kafka.sasl_username or "this client"
    wanted = {spec.name: spec for spec in wanted_topics(settings)}
    granted = await admin.rights(list(wanted))
    faults: list[str] = []
    for name, spec in wanted.items():
        is_frames = name == topics.frames_topic
        right: Right = "Read" if is_frames else "Write"
        faults += _topic(granted[name], name, right, user)
        if is_frames and granted[name].partitions not in (None, spec.partitions):
            faults.append(
                f"topics.frames_partitions: topic {name} has {granted[name].partitions} partitions, the settings say "
                f"{spec.partitions}; say what it has, or make a topic of another name"
            )
    group = settings.kafka.group_id
    rights = await admin.group_rights(group)
    if rights is not None and "Read" not in rights:
        faults.append(f"kafka.group_id: {user} lacks the right Read on group {group}; grant it")
    return faults


def _topic(found: TopicRights, name: str, right: Right, user: str) -> Iterator[str]:
    if found.state == "forbidden":
        yield f"topic {name}: {user} lacks the rights Describe and {right} on it, or there is none; grant them"
    elif found.state == "missing":
        yield f"topic {name}: there is none; `inspector topics apply` makes it"
    elif found.rights is not None and right not in found.rights:
        yield f"topic {name}: {user} lacks the right {right} on it; grant it"
