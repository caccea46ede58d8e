"""What the gate prints: a line, or a JSON object, for each decision and each change of state."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime

from rich.console import Console
from rich.text import Text

from inspector.gate.decide import Decision
from inspector.gate.process import Status
from inspector.loop.clock import Clock, SystemClock

_COLUMNS = (("time", 13), ("part", 24), ("action", 8), ("why", 16), ("camera", 18))


class GateDisplay:
    """Prints on standard output, each line at once."""

    def __init__(self, *, as_json: bool, clock: Clock | None = None) -> None:
        self._as_json = as_json
        self._clock = SystemClock() if clock is None else clock
        self._console = Console(soft_wrap=True, highlight=False)
        self._has_head = False

    def decided(self, decision: Decision) -> None:
        """Print the decision about a part."""
        action = "PASS" if decision.passes else "REJECT"
        if self._as_json:
            self._write(
                {
                    "event": "decision",
                    "decided_at": self._clock.wall_us(),
                    "part_id": decision.part_id,
                    "action": action,
                    "why": decision.why,
                    "camera_id": decision.camera_id,
                    "waited_s": round(decision.waited_s, 4),
                }
            )
            return
        if not self._has_head:
            self._has_head = True
            head = "".join(name.ljust(width) for name, width in _COLUMNS)
            self._console.print(Text(f"{head}ms waited", style="bold"))
        why = "" if decision.passes else decision.why
        cells = (self._time(), decision.part_id, action, why, decision.camera_id or "")
        line = Text()
        for cell, (name, width) in zip(cells, _COLUMNS, strict=True):
            colour = "" if name != "action" else "green" if decision.passes else "bold red"
            line.append(cell[: width - 1].ljust(width), style=colour)
        self._console.print(line.append(f"{decision.waited_s * 1000:.0f}"))

    def changed(self, status: Status) -> None:
        """Print another state."""
        if self._as_json:
            detail = {"fault": status.fault, "detail": status.detail} if status.fault != "none" else {}
            self._write({"event": "state", "at": self._clock.wall_us(), "state": status.state, **detail})
            return
        text = status.state if status.fault == "none" else f"{status.state} ({status.fault}): {status.detail}"
        self._console.print(Text(f"{self._time():13}{text}", style="bold red" if status.state == "fault" else "bold"))

    def _time(self) -> str:
        return f"{datetime.fromtimestamp(self._clock.wall_us() / 1e6, UTC).astimezone():%H:%M:%S.%f}"[:-3]

    @staticmethod
    def _write(content: dict[str, object]) -> None:
        sys.stdout.write(json.dumps(content) + "\n")
        sys.stdout.flush()
