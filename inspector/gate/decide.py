"""The gate's decisions: a part passes only if every required camera says ok in time. Pure: times are arguments.

One `Gate` serves one line. Each announced part gets exactly one decision, at the latest when its window ends; anything that is
missing, late, contradictory or unknown by then rejects it. If for too many parts in a row not every camera answered ok or nok in
time, the gate enters the state fault: it rejects everything and says so, until somebody resets it.
"""

from __future__ import annotations

import heapq
import itertools
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Literal

from inspector.gate.evidence import Evidence, Finding, Seen, Why
from inspector.gate.pulse import Pulse

State = Literal["starting", "running", "fault"]
Fault = Literal["none", "silence", "heartbeat", "golden", "results", "overflow", "gate"]
"""Why the gate is at fault: parts without answers, no heartbeat, a wrong one, results cannot be read, too many parts, its own clock."""

Refused = Literal["announced_twice", "full", "window_too_short"]
"""Why an announcement is refused; then there is no decision, and the line rejects the part."""

MAX_EARLY_PARTS = 10_000


@dataclass(frozen=True, slots=True)
class Rules:
    """What one line asks of its gate.

    Attributes:
        cameras: ids of all cameras that must say ok.
        lead_s: a decision leaves so long before its part's window ends.
        fault_after: parts in a row, without an ok or nok of every camera in time, that are a fault.
        max_parts: parts that are known at once; beyond, announcements are refused.
        keep_s: how long a decided part, or a result of a part that was never announced, is remembered.
        max_age_s: a picture taken longer than this before its part's announcement is of an earlier part of the same id.
        skew_s: how far the gate's own clock may go back before that is a fault.
        heartbeat_s: seconds without a heartbeat of a camera that are a fault; None: heartbeats are not watched.
        window_s: from a part's first result to the end of its window, where parts are not announced; None: they are.
    """

    cameras: frozenset[str]
    lead_s: float = 0.05
    fault_after: int = 3
    max_parts: int = 10_000
    keep_s: float = 60.0
    max_age_s: float = 5.0
    skew_s: float = 0.05
    heartbeat_s: float | None = None
    window_s: float | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """The decision about one part."""

    part_id: str
    passes: bool
    why: Why
    camera_id: str | None
    source: Hashable
    """The connection that announced the part; None if it was not announced."""
    waited_s: float
    """From the announcement."""


@dataclass(slots=True, eq=False)
class _Part:
    part_id: str
    source: Hashable
    announced_s: float
    announced_us: int
    ends_s: float
    evidence: Evidence
    spoiled: Why | None = None


@dataclass(slots=True)
class _Memory:
    """Parts that are decided, oldest first."""

    decided: OrderedDict[str, float] = field(default_factory=OrderedDict)

    def forget(self, before_s: float) -> None:
        while self.decided and next(iter(self.decided.values())) < before_s:
            self.decided.popitem(last=False)


class Gate:
    """Event loop only; `now_s` is monotonic, `now_us` the wall clock in µs UTC. Call `decisions` when `due_s` has come."""

    def __init__(self, rules: Rules, *, now_us: int) -> None:
        """Start: everything is rejected until results are read; pictures that were taken before that pass nothing."""
        self._rules = rules
        self.state: State = "starting"
        self.fault: Fault = "none"
        self.fault_detail = ""
        self.trusted_from_us = now_us
        self.silent_parts = 0
        self._pulse = Pulse(rules.cameras, rules.heartbeat_s)
        self._open: dict[str, _Part] = {}
        self._queue: list[tuple[float, int, _Part]] = []
        self._numbers = itertools.count()
        self._early: OrderedDict[str, Evidence] = OrderedDict()
        self._memory = _Memory()
        self._can_read = False

    # what the line and the bus tell

    def announce(
        self, part_id: str, window_s: float, *, source: Hashable = None, now_s: float, now_us: int
    ) -> Refused | None:
        """Expect a part: its decision comes before `window_s` have passed. Returns why it is not taken; None: it is.

        A part that is announced twice within `keep_s` is not taken again; if it is not decided yet, it is rejected.
        """
        self._forget(now_s)
        known = self._open.get(part_id)
        if known is not None:
            known.spoiled = known.spoiled or "announced_twice"
        if known is not None or part_id in self._memory.decided:
            return "announced_twice"
        if len(self._open) + len(self._memory.decided) >= self._rules.max_parts:
            return "full"
        if window_s <= self._rules.lead_s:
            return "window_too_short"
        evidence = self._early.pop(part_id, None) or Evidence(now_s)
        part = _Part(part_id, source, now_s, now_us, now_s + window_s, evidence)
        if self.state != "running":
            part.spoiled = "starting" if self.state == "starting" else "fault"
        self._open[part_id] = part
        heapq.heappush(self._queue, (part.ends_s - self._rules.lead_s, next(self._numbers), part))
        return None

    def observe(self, seen: Seen, *, now_s: float, now_us: int) -> None:
        """Take note of a result of this line; those of cameras that are not required, and of decided parts, change nothing."""
        if seen.camera_id not in self._rules.cameras:
            return
        self._forget(now_s)
        part = self._open.get(seen.part_id)
        if part is not None:
            part.evidence.add(seen)
        elif seen.part_id in self._memory.decided:
            return
        elif self._rules.window_s is not None:
            refused = self.announce(seen.part_id, self._rules.window_s, now_s=now_s, now_us=now_us)
            if refused is None:
                self._open[seen.part_id].evidence.add(seen)
            else:
                self.fail("overflow", f"part {seen.part_id} is refused: {refused}")
        else:
            self._keep(seen, now_s)

    def _keep(self, seen: Seen, now_s: float) -> None:
        """Keep a result until its part is announced."""
        evidence = self._early.get(seen.part_id)
        if evidence is None:
            if len(self._early) >= MAX_EARLY_PARTS:
                # What is thrown away might be the one nok of a part to come.
                self._early.clear()
                self.fail("overflow", f"there are results of {MAX_EARLY_PARTS} parts that were never announced")
            evidence = self._early[seen.part_id] = Evidence(now_s)
        evidence.add(seen)

    def beat(self, camera_id: str, fault: str | None, *, now_s: float) -> None:
        """Take note of a heartbeat of a camera; `fault` tells what is wrong with it."""
        if not self._pulse.is_watched or camera_id not in self._rules.cameras:
            return
        self._pulse.beat(camera_id, now_s, is_good=fault is None)
        if fault is not None:
            self.fail("golden", fault)
        self._become_ready(now_s)

    def can_read(self, *, now_s: float, now_us: int) -> None:
        """Results are read from now on. What came before is not known: at the start no picture from before passes anything."""
        self._can_read = True
        if self.state == "starting":
            self._trust_from(now_us)
        self._become_ready(now_s)

    def cannot_read(self, why: str) -> None:
        """Results cannot be read; those that come meanwhile are lost. Before the first time it is no fault."""
        if self._can_read:
            self._can_read = False
            self.fail("results", why)

    def lost(self, source: Hashable) -> None:
        """The connection that announced the parts is closed, so nobody would get their decisions."""
        for part in self._open.values():
            if part.source == source:
                part.spoiled = part.spoiled or "line_lost"

    # states

    def _trust_from(self, now_us: int) -> None:
        self.trusted_from_us = now_us
        self._early.clear()

    def check_clock(self, *, now_us: int) -> None:
        """See that the clock has not gone back behind the time from which pictures count: all would be stale until it is there again.

        While the gate runs that is a fault; before, pictures count from now on.
        """
        behind_us = self.trusted_from_us - now_us
        if behind_us <= self._rules.skew_s * 1e6 or self.state == "fault":
            return
        if self.state == "starting":
            self._trust_from(now_us)
        else:
            self.fail(
                "gate", f"the gate's clock went back: it is {behind_us / 1e6:.1f} s before the start or the last reset"
            )

    def _become_ready(self, now_s: float) -> None:
        if self.state == "starting" and self._can_read and self._pulse.trouble(now_s) is None:
            self.state = "running"

    def fail(self, fault: Fault, detail: str) -> None:
        """Be at fault: reject all that is known and all that comes, until `reset`. The first fault is the one that is told."""
        if self.state == "fault":
            return
        self.state, self.fault, self.fault_detail = "fault", fault, detail
        for part in self._open.values():
            part.spoiled = part.spoiled or "fault"

    def reset(self, *, now_s: float, now_us: int) -> str | None:
        """Run again; return why not, as a sentence, where the cause is still there.

        Parts announced before, and pictures taken before, pass nothing.
        """
        if self.state != "fault":
            return None
        trouble = "results cannot be read" if not self._can_read else self._pulse.trouble(now_s)
        if trouble is not None:
            return trouble
        self.state, self.fault, self.fault_detail = "running", "none", ""
        self.silent_parts = 0
        self._trust_from(now_us)
        return None

    # decisions

    def due_s(self) -> float | None:
        """Return the monotonic time at which `decisions` should be called next; None: whenever something happens."""
        times = [self._queue[0][0]] if self._queue else []
        if self.state == "running" and (fails_s := self._pulse.fails_s()) is not None:
            times.append(fails_s)
        return min(times, default=None)

    def decisions(self, *, now_s: float) -> list[Decision]:
        """Return the decisions that are due, each part's once, in the order in which they were due."""
        if self.state == "running" and (trouble := self._pulse.trouble(now_s)) is not None:
            self.fail("heartbeat", trouble)
        made = []
        while self._queue and self._queue[0][0] <= now_s:
            _, _, part = heapq.heappop(self._queue)
            del self._open[part.part_id]
            self._memory.decided[part.part_id] = now_s
            made.append(self._decide(part, now_s))
        return made

    def _decide(self, part: _Part, now_s: float) -> Decision:
        if part.spoiled is not None:
            finding = Finding(part.spoiled)
        else:
            not_before_us = part.announced_us - round(self._rules.max_age_s * 1e6)
            finding = part.evidence.finding(self._rules.cameras, not_before_us=not_before_us)
            if now_s >= part.ends_s:
                # The part is at the rejector already.
                finding = Finding("gate_late", unanswered="the gate was too late")
            self._count(finding)
        return Decision(
            part_id=part.part_id,
            passes=finding.why == "ok",
            why=finding.why,
            camera_id=finding.camera_id,
            source=part.source,
            waited_s=now_s - part.announced_s,
        )

    def _count(self, finding: Finding) -> None:
        """Count parts in a row that not every camera answered by ok or nok in time, whatever else was found about them."""
        if not finding.unanswered:
            self.silent_parts = 0
            return
        self.silent_parts += 1
        if self.silent_parts >= self._rules.fault_after:
            self.fail(
                "silence",
                f"{self.silent_parts} parts in a row did not get an ok or nok in time from every camera; the last "
                f"one: {finding.unanswered}",
            )

    def _forget(self, now_s: float) -> None:
        before_s = now_s - self._rules.keep_s
        self._memory.forget(before_s)
        while self._early and next(iter(self._early.values())).first_s < before_s:
            self._early.popitem(last=False)
