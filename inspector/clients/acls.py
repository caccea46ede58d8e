"""`inspector topics acls`: who needs which rights on Kafka. Commands, grants and docs/access.md are made from one table.

Kafka's Read and Write imply Describe. Who has none of these rights is refused, where the brokers have an authorizer and no
`allow.everyone.if.no.acl.found`.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final, Literal, NamedTuple

from inspector.bus.admin import connect_admin
from inspector.bus.rights import CLUSTER, Acl, Operation, ResourceType
from inspector.clients.topics import wanted_topics
from inspector.settings.commands import Role
from inspector.settings.settings import Settings

Resource = Literal[
    "frames", "results", "deadletters", "heartbeats", "models", "audit", "shadow", "group", "archive_group", "cluster"
]


class Right(NamedTuple):
    """What a role does with one kind of resource, and why."""

    resource: Resource
    operations: tuple[Operation, ...]
    why: str


_SEES: Final[tuple[Operation, ...]] = ("Create", "Describe", "DescribeConfigs")

ROLES: Final[Mapping[Role, tuple[Right, ...]]] = MappingProxyType(
    {
        "camera": (Right("frames", ("Write",), "sends its frames"),),
        "inspector": (
            Right("frames", ("Read",), "reads frames and commits"),
            Right("group", ("Read",), "shares the partitions, and commits"),
            Right("results", ("Write", "Read"), "writes verdicts; reads them to notice a second writer"),
            Right("deadletters", ("Write",), "writes dead letters"),
            Right("heartbeats", ("Write",), "shows that it works, even without parts"),
            Right("models", ("Read",), "reads which model judges which camera"),
            Right("audit", ("Write",), "reports whether a release was applied"),
            Right("shadow", ("Write",), "writes what a model on trial says"),
        ),
        "gate": (
            Right("results", ("Read",), "reads verdicts and acts on them"),
            Right("heartbeats", ("Read",), "sees that the inspector works"),
        ),
        "archive": (
            Right("frames", ("Read",), "fetches the frames that it keeps"),
            Right("results", ("Read",), "reads verdicts and commits"),
            Right("archive_group", ("Read",), "shares the partitions, and commits"),
        ),
        "dashboard": (
            Right("results", ("Read",), "shows verdicts"),
            Right("deadletters", ("Read",), "shows what could not be inspected"),
            Right("models", ("Read",), "shows which model judges which camera"),
            Right("audit", ("Read",), "shows who changed it; `inspector audit verify`"),
            Right("shadow", ("Read",), "shows what a model on trial says"),
        ),
        "trainer": (
            Right("models", ("Write", "Read"), "releases models; reads the releases before"),
            Right("audit", ("Write", "Read"), "records who released what; checks that no other record came first"),
            Right("shadow", ("Read",), "`trainer compare`: what a model on trial said"),
            Right("results", ("Read",), "the same: the verdicts that counted"),
            Right("frames", ("Read",), "the same: pictures, where no archive is given"),
        ),
        "admin": (
            Right("cluster", ("Alter",), "grants these rights"),
            Right("frames", _SEES, "`inspector topics apply`"),
            Right("results", _SEES, "the same"),
            Right("deadletters", _SEES, "the same"),
            Right("heartbeats", _SEES, "the same"),
            Right("models", _SEES, "the same"),
            Right("audit", _SEES, "the same"),
            Right("shadow", _SEES, "the same"),
        ),
    }
)
"""What each role needs, and nothing besides. The trainer's are for releases and their comparison: no other of its commands speaks to a broker."""


def principals(named: Mapping[Role, str]) -> dict[Role, str]:
    """Return the principal of each role that was named; where none was, of all, by their own names."""
    found = dict(named) or {role: role for role in ROLES}
    return {role: name if name.startswith("User:") else f"User:{name}" for role, name in found.items()}


def acls_of(settings: Settings, roles: Mapping[Role, str]) -> list[Acl]:
    """Return the rights of these roles, on what the settings name.

    Args:
        settings: tell the topics and the group.
        roles: principal of each.
    """
    return [
        Acl(principal, operation, kind, name)
        for role, principal in roles.items()
        for right in ROLES[role]
        for kind, name in _resources(settings, right.resource)
        for operation in right.operations
    ]


def _resources(settings: Settings, resource: Resource) -> Iterator[tuple[ResourceType, str]]:
    topics = settings.topics
    if resource == "cluster":
        yield "cluster", CLUSTER
    elif resource == "group":
        yield "group", settings.kafka.group_id
    elif resource == "archive_group":
        yield "group", settings.archive.group_id
    else:
        ours = {
            "frames": topics.frames_topic,
            "deadletters": topics.deadletters_topic,
            "heartbeats": topics.heartbeats_topic,
            "models": topics.models_topic,
            "audit": topics.audit_topic,
            "shadow": topics.shadow_topic,
        }
        for spec in wanted_topics(settings):
            if spec.name == ours.get(resource) or (resource == "results" and spec.name not in topics.own_topics):
                yield "topic", spec.name


async def apply_acls(settings: Settings, acls: Sequence[Acl]) -> None:
    """Grant rights; takes none away.

    Raises:
        BusError: No broker answers, or one refuses.
    """
    async with connect_admin(settings.kafka) as admin:
        await admin.grant(acls)


def commands(settings: Settings, acls: Sequence[Acl]) -> Iterator[str]:
    """Yield the commands of Kafka's own tool that grant these rights, one for each principal and resource."""
    together: dict[tuple[str, ResourceType, str], list[Operation]] = {}
    for acl in acls:
        together.setdefault((acl.principal, acl.resource_type, acl.name), []).append(acl.operation)
    for (principal, kind, name), operations in together.items():
        resource = ["--cluster"] if kind == "cluster" else [f"--{kind}", name]
        words = ["kafka-acls.sh", "--bootstrap-server", settings.kafka.bootstrap_servers]
        words += ["--command-config", "admin.properties", "--add", "--allow-principal", principal]
        words += [word for operation in operations for word in ("--operation", operation)]
        yield shlex.join([*words, *resource])


def table() -> str:
    """Return the roles and their rights as a table in Markdown."""
    names = {
        "frames": "topic `PREFIX.frames`",
        "results": "topic `PREFIX.results` (each of them)",
        "deadletters": "topic `PREFIX.deadletters`",
        "heartbeats": "topic `PREFIX.heartbeats`, where there is one",
        "models": "topic `PREFIX.models`, where there are releases",
        "audit": "topic `PREFIX.audit`, where there are releases",
        "shadow": "topic `PREFIX.shadow`, where there are releases",
        "group": "group `kafka.group_id`",
        "archive_group": "group `archive.group_id`",
        "cluster": "the cluster",
    }
    rows = [
        f"| {role} | {names[right.resource]} | {', '.join(right.operations)} | {right.why} |"
        for role, rights in ROLES.items()
        for right in rights
    ]
    return "\n".join(["| role | on | rights | why |", "|---|---|---|---|", *rows]) + "\n"
