"""What the topics say of the day: every verdict beside what was known of its part, gaps around exchanges, who judged the canary's parts."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgpack

from deploy.demo.account import percentile
from schemas import part_share
from tests.chaos.campaigns.swaps import gaps_of
from tests.chaos.checker import Evidence, Findings, Record, body_of, judge
from tests.chaos.reading import read_commits, read_topics
from tests.e2e.factory.book import Period
from tests.e2e.factory.line import BUDGET_MS
from tests.e2e.factory.parts import Kind, kind_of
from tests.e2e.factory.plant import Plant

SETTLED_S = 1.0
"""Around an exchange: a frame is judged by the model that its camera had when it was admitted, a little before its verdict."""


class Verdict(NamedTuple):
    """The first result about a frame; times are s since 1970.

    Attributes:
        camera: `line_id/camera_id`.
        kind: what the part is; None for garbage.
        arrived_s: when the broker had the verdict, by its clock.
        digest: of the model.
    """

    camera: str
    part_id: str
    kind: Kind | None
    status: str
    anomaly_class: str
    captured_s: float
    deadline_s: float
    arrived_s: float
    digest: str

    @property
    def latency_ms(self) -> float:
        """From capture to the broker's having the verdict."""
        return 1000 * (self.arrived_s - self.captured_s)

    @property
    def is_in_time(self) -> bool:
        """Whether the part was inspected and the broker had the verdict before the deadline."""
        return self.status == "inspected" and self.arrived_s <= self.deadline_s


@dataclass(frozen=True)
class Evening:
    """All that the topics held.

    Attributes:
        findings: of the independent checker.
        verdicts: in the order of arrival.
        results: all, repeats included.
        told: the audit topic's records.
    """

    findings: Findings
    verdicts: Sequence[Verdict]
    results: Sequence[Record]
    told: Sequence[Mapping[str, Any]]

    def within(self, period: Period) -> list[Verdict]:
        """Verdicts on frames that were captured in a period."""
        return [one for one in self.verdicts if period.begin_s <= one.captured_s < period.end_s]

    def gaps_ms(self, period: Period) -> tuple[list[float], list[float]]:
        """Times between two results of a camera in a period: those in which a release was applied to it, and all others."""
        begin, end = 1000 * period.begin_s, 1000 * period.end_s
        results = [record for record in self.results if begin <= record.timestamp_ms < end]
        return gaps_of(results, [one for one in self.told if begin <= one["at"] / 1000 < end])


class CameraFigures(NamedTuple):
    """One camera's day, in the calm parts of it where times are meant."""

    frames: int
    ok: int
    nok: int
    not_inspected: int
    good: int
    good_rejected: int
    bad: int
    bad_passed: int
    p50_ms: float | None
    p99_ms: float | None


class CanaryFigures(NamedTuple):
    """Who judged which parts while the canary was tried: `strayed` were judged by the model that was not theirs."""

    parts: int
    tried: int
    strayed: int


def read_evening(plant: Plant) -> Evening:
    """Read all topics and commits, and judge."""
    return asyncio.run(_read(plant))


async def _read(plant: Plant) -> Evening:
    servers = plant.node.bootstrap_servers
    read = {
        name: await read_topics(servers, plant.topic(name)) for name in ("frames", "results", "deadletters", "audit")
    }
    evidence = Evidence(
        frames=read["frames"],
        results=read["results"],
        deadletters=read["deadletters"],
        commits=await read_commits(servers, plant.prefix, plant.topic("frames")),
        default_budget_us=BUDGET_MS * 1000,
    )
    return Evening(
        findings=judge(evidence),
        verdicts=verdicts_of(read["results"]),
        results=read["results"],
        told=[msgpack.unpackb(record.value) for record in read["audit"]],
    )


def verdicts_of(records: Iterable[Record]) -> list[Verdict]:
    """Return the first result of each id, in the order of arrival."""
    first: dict[str, Verdict] = {}
    for record in sorted(records, key=lambda one: (one.timestamp_ms, one.partition, one.offset)):
        body = body_of(record)
        if body is None or body.get("captured_at") is None:
            continue
        verdict = Verdict(
            camera=f"{body['line_id']}/{body['camera_id']}",
            part_id=str(body["part_id"]),
            kind=kind_of(str(body["part_id"])),
            status=str(body["status"]),
            anomaly_class=str(body["anomaly_class"]),
            captured_s=body["captured_at"] / 1e6,
            deadline_s=body["deadline_at"] / 1e6,
            arrived_s=record.timestamp_ms / 1000,
            digest=str((body.get("model") or {}).get("digest")),
        )
        first.setdefault(str(body["result_id"]), verdict)
    return list(first.values())


def camera_figures(verdicts: Iterable[Verdict]) -> CameraFigures:
    """Count one camera's verdicts."""
    every = list(verdicts)
    judged = [one for one in every if one.status == "inspected"]
    good = [one for one in judged if one.kind == "ok"]
    bad = [one for one in judged if one.kind == "nok"]
    latencies = [one.latency_ms for one in judged]
    return CameraFigures(
        frames=len(every),
        ok=sum(one.anomaly_class == "ok" for one in judged),
        nok=sum(one.anomaly_class == "nok" for one in judged),
        not_inspected=len(every) - len(judged),
        good=len(good),
        good_rejected=sum(one.anomaly_class == "nok" for one in good),
        bad=len(bad),
        bad_passed=sum(one.anomaly_class == "ok" for one in bad),
        p50_ms=percentile(latencies, 50),
        p99_ms=percentile(latencies, 99),
    )


def canary_figures(
    verdicts: Iterable[Verdict], camera: str, period: Period, *, percent: float, candidate: str
) -> CanaryFigures:
    """Count who judged a camera's parts in a period in which a canary was tried.

    Args:
        verdicts: of the day.
        camera: `line_id/camera_id`.
        period: in which all inspectors knew of the canary.
        percent: of the parts.
        candidate: digest of the model that was tried.
    """
    begin_s, end_s = period.begin_s + SETTLED_S, period.end_s - SETTLED_S
    judged = [
        one
        for one in verdicts
        if one.camera == camera and one.status == "inspected" and begin_s <= one.captured_s < end_s
    ]
    return CanaryFigures(
        parts=len(judged),
        tried=sum(one.digest == candidate for one in judged),
        strayed=sum((part_share(one.part_id) < percent / 100) != (one.digest == candidate) for one in judged),
    )


def spans_of(times_s: Sequence[float], *, apart_s: float) -> list[tuple[float, float]]:
    """Return from when to when something was, which was seen at these times; a longer pause than `apart_s` parts two spans."""
    spans: list[tuple[float, float]] = []
    for at in sorted(times_s):
        if spans and at - spans[-1][1] <= apart_s:
            spans[-1] = (spans[-1][0], at)
        else:
            spans.append((at, at))
    return spans
