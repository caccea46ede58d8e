"""Chains of audit records: which records count, and what is wrong with a chain. Pure; reads the values as they are in the topic."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from inspector.bus.ports import ConsumedRecord
from schemas import AuditRecord, ModelRelease, SchemaError, audit_hash, camera_chain, decode


class Link(NamedTuple):
    """A record of a chain, where it lies, and the hash of its bytes."""

    offset: int
    record: AuditRecord
    hash: str


@dataclass
class Chain:
    """What the log holds of one chain, in its order.

    Attributes:
        links: that count, by position.
        lost: that came second at their position, or hold another hash than the one before has: they changed nothing.
        repeats: how often a record came again, byte for byte: a send whose answer was lost.
        gaps: positions that are missing before one that is there.
    """

    name: str
    links: dict[int, Link] = field(default_factory=dict)
    lost: list[Link] = field(default_factory=list)
    repeats: int = 0
    gaps: list[str] = field(default_factory=list)

    @property
    def head(self) -> Link | None:
        """The last link that counts."""
        return self.links[max(self.links)] if self.links else None

    def add(self, link: Link) -> None:
        """Take the next record of the log."""
        position = link.record.position
        there = self.links.get(position)
        if there is not None:
            if there.hash == link.hash:
                self.repeats += 1
            else:
                self.lost.append(link)
            return
        before = self.links.get(position - 1)
        if before is None and self.head is not None:
            if position < min(self.links):
                self.lost.append(link)
                return
            self.gaps.append(
                f"{self.name}: offset {link.offset} is at position {position}, but the record before it is at "
                f"{self.head.record.position}"
            )
        elif before is not None and link.record.previous_hash != before.hash:
            self.lost.append(link)
            return
        self.links[position] = link


class Audit(NamedTuple):
    """All chains, and what could not be read."""

    chains: dict[str, Chain]
    unreadable: list[str]

    def of_camera(self, line_id: str, camera_id: str) -> Chain:
        """Return a camera's chain, which may be empty."""
        name = camera_chain(line_id, camera_id)
        return self.chains.get(name) or Chain(name)


def read_audit(records: Iterable[ConsumedRecord]) -> Audit:
    """Sort the records of the audit topic, in the order of the log, into chains."""
    chains: dict[str, Chain] = {}
    unreadable = []
    for record in records:
        if record.fault is not None:
            unreadable.append(f"offset {record.offset}: {record.fault.detail}")
            continue
        try:
            read = decode(AuditRecord, record.value or b"")
        except SchemaError as exc:
            unreadable.append(f"offset {record.offset}: {exc}")
            continue
        link = Link(record.offset, read, audit_hash(record.value or b""))
        chains.setdefault(read.chain, Chain(read.chain)).add(link)
    return Audit(chains, unreadable)


def read_releases(records: Iterable[ConsumedRecord]) -> tuple[dict[str, ModelRelease], list[str]]:
    """Return the last release of each camera, and a sentence for each record that is not a valid release."""
    found: dict[str, ModelRelease] = {}
    unreadable = []
    for record in records:
        if record.value is None and record.fault is None:  # a tombstone: the camera is the settings' own again
            found.pop((record.key or b"").decode("utf-8", "replace"), None)
            continue
        if record.fault is not None:
            unreadable.append(f"offset {record.offset}: {record.fault.detail}")
            continue
        try:
            release = decode(ModelRelease, record.value or b"")
        except SchemaError as exc:
            unreadable.append(f"offset {record.offset}: {exc}")
            continue
        if record.key != release.camera.encode():
            unreadable.append(f"offset {record.offset}: its key is {record.key!r}, and it is about {release.camera}")
        else:
            found[release.camera] = release
    return found, unreadable


class Verdict(NamedTuple):
    """What `verify` found: faults, and remarks that are not faults."""

    faults: list[str]
    notes: list[str]
    links: int


def verify(audit: Audit, releases: Mapping[str, ModelRelease]) -> Verdict:
    """Hold chains against themselves and against the releases that serve."""
    faults = [f"{sentence}: no record that can be read" for sentence in audit.unreadable]
    notes: list[str] = []
    for chain in audit.chains.values():
        faults += _own_faults(chain)
        notes += _notes(chain)
    for camera, release in sorted(releases.items()):
        faults += _against_release(audit.of_camera(release.line_id, release.camera_id), camera, release)
    for name, chain in audit.chains.items():
        kind, _, camera = name.partition(":")
        if kind == "camera" and camera not in releases and chain.links:
            faults.append(
                f"{name}: there are records, but no release of {camera}: the last one was deleted, or never arrived"
            )
    return Verdict(faults, notes, sum(len(chain.links) for chain in audit.chains.values()))


def _own_faults(chain: Chain) -> Sequence[str]:
    found = [f"{gap}: records between them are missing" for gap in chain.gaps]
    positions = sorted(chain.links)
    if positions and positions[0] != 0:
        found.append(f"{chain.name}: begins at position {positions[0]}: the records before it were deleted")
    kind = chain.name.partition(":")[0]
    for link in chain.lost:
        counts = chain.links.get(link.record.position)
        # Whoever lost a race named the same record before it; anything else was put there by somebody who cannot make hashes fit.
        if kind == "camera" and counts is not None and counts.record.previous_hash == link.record.previous_hash:
            continue
        found.append(
            f"{chain.name}: offset {link.offset} (by {link.record.by}) does not follow from the record before it"
        )
    return found


def _notes(chain: Chain) -> Sequence[str]:
    found = []
    for link in chain.lost:
        counts = chain.links.get(link.record.position)
        if counts is not None and counts.record.previous_hash == link.record.previous_hash:
            found.append(
                f"{chain.name}: {link.record.action} by {link.record.by} came after the one by {counts.record.by}, "
                "and had no effect"
            )
    if chain.repeats:
        found.append(f"{chain.name}: {chain.repeats} records are duplicates")
    return found


def _against_release(chain: Chain, camera: str, release: ModelRelease) -> Sequence[str]:
    link = chain.links.get(release.number - 1)
    if link is None:
        return [
            (
                f"{camera}: release {release.number} by {release.released_by} has no record, so it is unknown what it "
                "changed"
            )
        ]
    found = []
    if link.hash != release.audit_hash:
        found.append(
            f"{camera}: release {release.number} names a record other than the one with that number (offset "
            f"{link.offset})"
        )
    if link.record.new != release.models:
        found.append(f"{camera}: release {release.number} contradicts its record (offset {link.offset})")
    if chain.head is not None and chain.head.record.number > release.number:
        found.append(
            f"{camera}: record {chain.head.record.number} has no release: the last one that inspectors see is "
            f"{release.number}"
        )
    return found
