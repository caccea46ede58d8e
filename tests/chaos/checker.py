"""The judge: what became of every frame, from the records of the topics alone.

It imports nothing of the service, of its wire types or of its clients (a test sees to it): msgpack and the documented rules
are all that it knows. `reading` brings it the records.
"""

from __future__ import annotations

import collections
import hashlib
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import msgpack

Kind = Literal["ok", "nok", "hostile"]
Place = tuple[str, int, int]
"""Topic, partition, offset."""

IDENTITY = ("line_id", "camera_id", "part_id", "seq", "captured_at")
LETTERED = frozenset({"undecodable", "no_model", "failed"})
MAX_CAPTURED_AT = 10**16
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_INTEGER = re.compile(rb"0|[1-9][0-9]{0,15}")


class Record(NamedTuple):
    """A record as it lies in a topic; `timestamp_ms` is the broker's where the topic says so."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    value: bytes
    headers: tuple[tuple[str, bytes | None], ...] = ()
    key: bytes = b""

    @property
    def place(self) -> Place:
        """Where it lies."""
        return self.topic, self.partition, self.offset


class FrameName(NamedTuple):
    """By what a frame goes in the answer key."""

    line_id: str
    camera_id: str
    seq: int


class Commit(NamedTuple):
    """A group's commit of a partition, in the order in which the coordinator took them; -1: forgotten with its topic."""

    at_ms: int
    partition: int
    offset: int


class Act(NamedTuple):
    """What the reference actuator did to a part of a camera, and when (ms)."""

    camera: str
    part_id: str
    passed: bool
    at_ms: int


@dataclass(frozen=True)
class Evidence:
    """Everything that is known from outside; records of each partition in their order.

    Attributes:
        frames: all that was to be answered, also of a topic that is gone.
        results: the results topics.
        deadletters: the dead letters topic.
        commits: all of the group's commits.
        key: what each frame shows; a frame that it does not name may be called anything.
        passing: kinds that may pass.
        default_budget_us: of frames that bring none of their own; None: not looked at.
    """

    frames: Sequence[Record]
    results: Sequence[Record]
    deadletters: Sequence[Record] = ()
    commits: Sequence[Commit] = ()
    key: Mapping[FrameName, Kind] = field(default_factory=dict)
    passing: frozenset[Kind] = frozenset({"ok"})
    default_budget_us: int | None = None


@dataclass
class Findings:
    """What the checker found; each list names what broke a rule, in words."""

    frames: int = 0
    verdicts: int = 0
    results: int = 0
    duplicates: int = 0
    missing: list[str] = field(default_factory=list)
    unrecognised: list[str] = field(default_factory=list)
    strangers: list[str] = field(default_factory=list)
    reordered: list[str] = field(default_factory=list)
    conflicting: list[str] = field(default_factory=list)
    rewound: list[str] = field(default_factory=list)
    false_pass: list[str] = field(default_factory=list)
    actuated_twice: list[str] = field(default_factory=list)
    unlettered: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    statuses: collections.Counter[str] = field(default_factory=collections.Counter)
    acts: list[Act] = field(default_factory=list)

    def broken(self) -> dict[str, list[str]]:
        """Return the rules that were broken; `wrong` is none of them, since a model may err to the safe side."""
        rules = (
            "missing", "unrecognised", "strangers", "reordered", "conflicting", "rewound", "false_pass",
            "actuated_twice", "unlettered",
        )  # fmt: skip
        return {rule: found for rule in rules if (found := getattr(self, rule))}


# ---------------------------------------------------------------------------------------------- identity, by the rule


def digest_of_fields(*fields: str) -> str:
    """Return the documented identifier: BLAKE2b, 16 bytes, over each field's length (4 bytes, big-endian) and bytes."""
    framed = b"".join(len(text := part.encode()).to_bytes(4, "big") + text for part in fields)
    return hashlib.blake2b(framed, digest_size=16).hexdigest()


def frame_result_id(identity: Sequence[object]) -> str:
    """Return the id of results about a frame whose identity is known."""
    return digest_of_fields("frame", *map(str, identity))


def record_result_id(place: Place) -> str:
    """Return the id of results about a record that names no frame."""
    return digest_of_fields("record", *map(str, place))


def body_of(record: Record) -> dict[str, Any] | None:
    """Return the msgpack map in a record, or None where there is none."""
    try:
        body = msgpack.unpackb(record.value, raw=False, strict_map_key=False)
    except (ValueError, TypeError, msgpack.UnpackException):
        return None
    return body if isinstance(body, dict) else None


def _identity(fields: Mapping[str, object]) -> tuple[object, ...] | None:
    values = tuple(fields.get(name) for name in IDENTITY)
    names, (seq, captured_at) = values[:3], values[3:]
    if not all(isinstance(name, str) and _ID.fullmatch(name) for name in names):
        return None
    if type(seq) is not int or type(captured_at) is not int or seq < 0 or not 0 <= captured_at <= MAX_CAPTURED_AT:
        return None
    return values


def _header_fields(record: Record) -> dict[str, object]:
    found: dict[str, bytes | None] = {}
    for name, value in record.headers:
        if name in IDENTITY:
            found[name] = value if found.get(name, value) == value else None
    fields: dict[str, object] = {}
    for name, text in found.items():
        if text is not None and name in {"seq", "captured_at"}:
            fields[name] = int(text) if _INTEGER.fullmatch(text) else None
        elif text is not None:
            fields[name] = text.decode("ascii", "replace")
    return fields


def frame_identities(record: Record) -> list[tuple[object, ...]]:
    """Return the identities that a frame may go by: its message's, its headers'."""
    body = body_of(record)
    both = (None if body is None or body.get("v") != 1 else _identity(body), _identity(_header_fields(record)))
    return list(dict.fromkeys(identity for identity in both if identity is not None))


def acceptable_ids(record: Record) -> list[str]:
    """Return the result ids that answer a frame's record; the record's own only where nothing names the frame."""
    return [frame_result_id(identity) for identity in frame_identities(record)] or [record_result_id(record.place)]


# ------------------------------------------------------------------------------------------------------------ judging


@dataclass(slots=True)
class _Result:
    record: Record
    body: dict[str, Any]

    @property
    def result_id(self) -> str:
        return str(self.body.get("result_id"))

    @property
    def is_ok(self) -> bool:
        return self.body.get("anomaly_class_id") == 0

    def words(self) -> str:
        body = self.body
        name = f"{body.get('line_id')}/{body.get('camera_id')} part {body.get('part_id')}"
        return f"{name} {self.result_id[:8]} ({body.get('status')}, {body.get('anomaly_class')}) at {self.record.place}"


def judge(evidence: Evidence) -> Findings:
    """Hold the records against the rules."""
    findings = Findings(frames=len(evidence.frames), results=len(evidence.results))
    results = _results(evidence.results, findings)
    first: dict[str, _Result] = {}
    for result in results:
        first.setdefault(result.result_id, result)
    findings.verdicts = len(first)
    findings.duplicates = len(results) - len(first)
    _answers(evidence, first, results, findings)
    _verdicts(evidence, first, results, findings)
    _letters(evidence, first, findings)
    _order(evidence, first, findings)
    findings.rewound = rewound(evidence.commits)
    findings.acts = actuate(results)
    counted = collections.Counter((act.camera, act.part_id) for act in findings.acts)
    wanted = collections.Counter(part for part in map(_part, evidence.frames) if part is not None)
    # A part that several frames of a camera show is judged by each of them; a repeated frame is the same one.
    for part, times in counted.items():
        if times > max(1, wanted[part]):
            findings.actuated_twice.append(f"{part} {times} times")
    return findings


def _part(record: Record) -> tuple[str, str] | None:
    identities = frame_identities(record)
    if not identities:
        return None
    line, camera, part = identities[0][:3]
    return f"{line}/{camera}", str(part)


def _results(records: Iterable[Record], findings: Findings) -> list[_Result]:
    found = []
    for record in records:
        body = body_of(record)
        if body is None or not isinstance(body.get("result_id"), str):
            findings.strangers.append(f"no result at {record.place}")
            continue
        found.append(_Result(record, body))
        findings.statuses[str(body.get("status"))] += 1
    # In the order of arrival; within a partition that of the offsets.
    return sorted(found, key=lambda result: (result.record.timestamp_ms, result.record.partition, result.record.offset))


def _answers(evidence: Evidence, first: Mapping[str, _Result], results: Sequence[_Result], findings: Findings) -> None:
    expected: set[str] = set()
    for record in evidence.frames:
        ids = acceptable_ids(record)
        expected.update(ids)
        if not any(identifier in first for identifier in ids):
            findings.missing.append(f"{record.place} {frame_identities(record)[:1] or 'unnamed'}")
    findings.strangers += [result.words() for identifier, result in first.items() if identifier not in expected]
    by_place: dict[Place, str] = {}
    for result in results:
        own = _identity(result.body)
        source = result.body.get("source") or {}
        place: Place = (str(source.get("topic")), int(source.get("partition", -1)), int(source.get("offset", -1)))
        if result.result_id != (record_result_id(place) if own is None else frame_result_id(own)):
            findings.unrecognised.append(f"{result.words()}: its id is not by the rule")
        elif own is None and by_place.setdefault(place, result.result_id) != result.result_id:
            findings.unrecognised.append(f"{result.words()}: another id for {place}")


def _verdicts(evidence: Evidence, first: Mapping[str, _Result], results: Sequence[_Result], findings: Findings) -> None:
    judged: dict[str, object] = {}
    budgets = _budgets_us(evidence)
    for result in results:
        body, identifier = result.body, result.result_id
        name = FrameName(str(body.get("line_id")), str(body.get("camera_id")), body.get("seq") or 0)
        # Whoever is in no key was made to be refused.
        kind = evidence.key.get(name, "hostile") if evidence.key else None
        if result.is_ok:
            why = not_to_be_passed(body) or _stretched(body, budgets)
            if why is None and kind is not None and kind not in evidence.passing:
                why = f"the frame is {kind}"
            if why is not None:
                findings.false_pass.append(f"{result.words()}: {why}")
        elif kind == "ok" and body.get("status") == "inspected" and first[identifier] is result:
            findings.wrong.append(result.words())
        if body.get("status") == "inspected":
            earlier = judged.setdefault(identifier, body.get("anomaly_class_id"))
            if earlier != body.get("anomaly_class_id"):
                findings.conflicting.append(f"{result.words()}: it was {earlier} before")


def _budgets_us(evidence: Evidence) -> dict[tuple[object, ...], int]:
    """Return how long each frame's verdict may take, as its message and the settings say."""
    if evidence.default_budget_us is None:
        return {}
    found: dict[tuple[object, ...], int] = {}
    for record in evidence.frames:
        own = (body_of(record) or {}).get("budget_us")
        budget = own if type(own) is int else evidence.default_budget_us
        for identity in frame_identities(record):
            found[identity] = max(budget, found.get(identity, 0))
    return found


def _stretched(body: Mapping[str, Any], budgets_us: Mapping[tuple[object, ...], int]) -> str | None:
    """Return whether an ok gave itself more time than its frame had."""
    identity = _identity(body)
    budget = None if identity is None else budgets_us.get(identity)
    if budget is None:
        return None
    given = body["deadline_at"] - body["captured_at"]
    return None if given <= budget else f"it gave itself {given / 1e6:.3f} s of {budget / 1e6:.3f} s"


def not_to_be_passed(body: Mapping[str, Any]) -> str | None:
    """Return why an `ok` is none that may pass a part, or None where it is positive, fresh and in time."""
    score, threshold = body.get("anomaly_score"), body.get("classification_threshold")
    if body.get("status") != "inspected" or body.get("anomaly_class") != "ok" or body.get("model") is None:
        return "it was not inspected"
    if not isinstance(score, float) or not isinstance(threshold, float) or not math.isfinite(score):
        return "it has no finite score"
    if score >= threshold:
        return f"its score {score} is not below {threshold}"
    captured, produced, deadline = (body.get(name) for name in ("captured_at", "produced_at", "deadline_at"))
    if not isinstance(captured, int) or not isinstance(produced, int) or not isinstance(deadline, int):
        return "it tells no time"
    if produced < captured:
        return "it is older than its picture"
    return None if produced <= deadline else f"it is {(produced - deadline) / 1e6:.3f} s late"


def _letters(evidence: Evidence, first: Mapping[str, _Result], findings: Findings) -> None:
    lettered = {str(body.get("result_id")) for record in evidence.deadletters if (body := body_of(record)) is not None}
    for identifier, result in first.items():
        if result.body.get("status") in LETTERED and identifier not in lettered:
            findings.unlettered.append(result.words())


def _order(evidence: Evidence, first: Mapping[str, _Result], findings: Findings) -> None:
    """First results of a camera come in the order of its frames: by place in the results' partition, not by time."""
    turn: dict[str, tuple[str, int]] = {}
    for number, record in enumerate(evidence.frames):
        for identity in frame_identities(record):
            turn.setdefault(frame_result_id(identity), (f"{identity[0]}/{identity[1]}", number))
    last: dict[tuple[str, str, int], int] = {}
    for identifier, result in sorted(first.items(), key=lambda item: item[1].record.place):
        if identifier not in turn:
            continue
        camera, number = turn[identifier]
        lane = (camera, result.record.topic, result.record.partition)
        if number < last.get(lane, -1):
            findings.reordered.append(result.words())
        last[lane] = max(number, last.get(lane, -1))


def rewound(commits: Iterable[Commit]) -> list[str]:
    """Return where the group's offsets went backwards."""
    last: dict[int, int] = {}
    found = []
    for commit in commits:
        before = last.get(commit.partition, -1)
        if 0 <= commit.offset < before:
            found.append(f"partition {commit.partition}: {before} to {commit.offset} at {commit.at_ms}")
        last[commit.partition] = commit.offset
    return found


def actuate(results: Iterable[_Result]) -> list[Act]:
    """Return what an actuator does that knows a repeat by its `result_id` alone, in the order of arrival.

    It passes a part only on an ok that arrives before its deadline, by the broker's clock.
    """
    seen: set[str] = set()
    acts = []
    for result in results:
        if result.result_id in seen:
            continue
        seen.add(result.result_id)
        body, at_ms = result.body, result.record.timestamp_ms
        deadline = body.get("deadline_at")
        in_time = isinstance(deadline, int) and at_ms * 1000 <= deadline
        passed = result.is_ok and in_time and not_to_be_passed(body) is None
        if _identity(body) is not None:
            acts.append(Act(f"{body['line_id']}/{body['camera_id']}", str(body["part_id"]), passed, at_ms))
    return acts
