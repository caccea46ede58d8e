"""What verdicts say about one part: which of them count, and why a part does not pass. Pure: the time is an argument."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Literal, NamedTuple

from schemas import DLResultMessage

Verdict = Literal["ok", "nok", "error", "late", "expired", "future", "stale", "simulated", "unreadable"]
"""What one result comes to; only `ok` speaks for a part."""

Why = Literal[
    "ok",
    "nok",
    "error",
    "late",
    "expired",
    "future",
    "stale",
    "simulated",
    "unreadable",
    "conflict",
    "missing",
    "announced_twice",
    "line_lost",
    "gate_late",
    "starting",
    "fault",
]
"""Why a part passes (`ok`) or is rejected."""

MAX_RESULTS = 16
"""Maximum number of different results of one camera about one part; more of them are a conflict."""

_GRAVEST_FIRST: tuple[Why, ...] = (
    "conflict",
    "nok",
    "error",
    "unreadable",
    "simulated",
    "future",
    "stale",
    "expired",
    "late",
    "missing",
)


_UNLIKE_OK: Final[Mapping[str, Verdict]] = MappingProxyType({"inspected": "nok", "expired": "expired"})


class Seen(NamedTuple):
    """A result about a part of the line, as the gate judges it in the moment in which it reads it."""

    camera_id: str
    part_id: str
    result_id: str
    verdict: Verdict
    captured_at: int
    """µs UTC; 0 where it could not be read."""
    writer: str | None = None
    """The deployment that wrote it, empty for one without a name; None where it could not be read."""


class Finding(NamedTuple):
    """What the evidence about a part comes to."""

    why: Why
    camera_id: str | None = None
    """The camera that it hangs on; None for `ok`."""
    unanswered: str = ""
    """What was not answered by ok or nok in time, in words: the first such camera, whatever else was found."""


def judge(
    message: DLResultMessage, now_us: int, *, skew_us: int, trusted_from_us: int, takes_simulated: bool
) -> Verdict:
    """Return what a result is worth in the moment in which it is read.

    Args:
        message: a valid result.
        now_us: the gate's own wall clock, µs UTC.
        skew_us: how far a capture may seem to lie in the future, since no two clocks agree.
        trusted_from_us: pictures taken before do not count: the gate was not there, or stood at fault.
        takes_simulated: whether results about simulated pictures count.
    """
    if message.is_simulated and not takes_simulated:
        return "simulated"
    if message.anomaly_class_id != 0:
        return _UNLIKE_OK.get(message.status, "error")
    captured_at, deadline_at = message.captured_at, message.deadline_at
    if captured_at is None or deadline_at is None:
        return "unreadable"
    if captured_at > now_us + skew_us:
        return "future"
    if now_us > deadline_at:
        return "late"
    return "stale" if captured_at < trusted_from_us else "ok"


@dataclass(slots=True)
class Evidence:
    """All that was seen of one part. Repeats change nothing: the first result of each id counts."""

    first_s: float
    """Monotonic time of the first of it."""
    _results: dict[str, dict[str, Seen]] = field(default_factory=dict)
    _conflicts: set[str] = field(default_factory=set)
    _writers: dict[str, str] = field(default_factory=dict)

    def add(self, seen: Seen) -> None:
        """Take note of a result; one that contradicts the first of its id, or that another deployment wrote, is a conflict."""
        if seen.writer is not None and self._writers.setdefault(seen.camera_id, seen.writer) != seen.writer:
            self._conflicts.add(seen.camera_id)
        results = self._results.setdefault(seen.camera_id, {})
        first = results.get(seen.result_id)
        if first is not None:
            if _class_of(first) != _class_of(seen):
                self._conflicts.add(seen.camera_id)
        elif len(results) >= MAX_RESULTS:
            self._conflicts.add(seen.camera_id)
        else:
            results[seen.result_id] = seen

    def finding(self, cameras: Iterable[str], *, not_before_us: int) -> Finding:
        """Return whether each of the cameras says ok, and nothing else, about pictures taken since `not_before_us`."""
        worst, unanswered = Finding("ok"), ""
        for camera in sorted(cameras):
            why = self._of(camera, not_before_us)
            if why != "ok" and (worst.why == "ok" or _gravity(why) < _gravity(worst.why)):
                worst = Finding(why, camera)
            if why not in {"ok", "nok"} and not unanswered:
                unanswered = f"camera {camera}: {why}"
        return worst._replace(unanswered=unanswered)

    def _of(self, camera: str, not_before_us: int) -> Why:
        results = self._results.get(camera, {})
        verdicts: set[Why] = {
            "stale" if seen.verdict == "ok" and seen.captured_at < not_before_us else seen.verdict
            for seen in results.values()
        }
        if camera in self._conflicts or {"ok", "nok"} <= verdicts:
            return "conflict"
        return min(verdicts, key=_gravity) if verdicts - {"ok"} else "ok" if verdicts else "missing"


def _gravity(why: Why) -> int:
    return _GRAVEST_FIRST.index(why) if why in _GRAVEST_FIRST else len(_GRAVEST_FIRST)


def _class_of(seen: Seen) -> bool:
    """Whether the result as such says ok: a repeat of it that comes after its deadline contradicts nothing."""
    return seen.verdict in {"ok", "late", "stale", "future"}
