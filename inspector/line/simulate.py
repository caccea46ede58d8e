"""`inspector line-simulator`: announces parts to a gate as a PLC does, and counts the decisions. Event loop only."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from inspector.errors import BusError
from inspector.line.cameras import Cameras
from inspector.line.conveyor import Conveyor, Tally
from inspector.line.plc import Heard, Link, LinkError
from inspector.loop.clock import Clock, SystemClock
from inspector.settings.gate import PART_NUMBER

log = logging.getLogger(__name__)

RECONNECT_S = 0.5
ALIVE_TIMEOUT_S = 1.5
"""A gate that has not counted up for so long is taken for dead: the line stops."""
MOVE_S = 0.01


@dataclass(frozen=True, slots=True)
class LinePlan:
    """What to simulate.

    Attributes:
        parts: how many.
        interval_s: from one part at the photo eye to the next.
        window_ms: from the photo eye to the rejector.
        first_number: of the parts; they are counted up from it.
        part_id: how a number is written as a part id.
        reset_after_s: a gate at fault is reset after so long, again and again; None: somebody else does that.
        files: pictures that the line's cameras show; empty: other cameras see the parts.
    """

    parts: int
    interval_s: float
    window_ms: int
    first_number: int
    part_id: str
    reset_after_s: float | None = None
    files: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class Happened:
    """Something that the line saw: a part `passed` or `rejected`, or that the line `runs`, is `stopped`, or `waits` for the gate."""

    what: str
    part_id: str = ""
    text: str = ""


class Line:
    """One simulated line. Stops at once when the gate is gone, at fault or stands still."""

    def __init__(
        self,
        plan: LinePlan,
        link: Link,
        cameras: Cameras,
        *,
        clock: Clock | None = None,
        show: Callable[[Happened], None] = lambda _happened: None,
    ) -> None:
        """Prepare; nothing connects before `run`."""
        self._plan = plan
        self._link = link
        self._cameras = cameras
        self._clock = SystemClock() if clock is None else clock
        self._show = show
        self.belt = Conveyor()
        self._gate_runs = False
        self._connected = False
        self._why = ""
        """Why the line does not run."""
        self._alive_s = self._now_s
        self.failed_pictures = 0
        self.has_run = False
        """Whether the gate has ever let the line run."""

    @property
    def tally(self) -> Tally:
        """What has been counted so far."""
        return self.belt.tally

    @property
    def _now_s(self) -> float:
        return self._clock.monotonic_s()

    async def run(self, stop: asyncio.Event) -> None:
        """Announce all parts and see them arrive, or end when `stop` is set."""
        await self._cameras.start()
        tasks = [asyncio.ensure_future(work) for work in (self._talk(), self._move_forever(), self._reset_forever())]
        announcing = asyncio.ensure_future(self._announce(stop))
        try:
            await asyncio.wait({*tasks, announcing}, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task.done():
                    task.result()
            await announcing
            while len(self.belt):  # noqa: ASYNC110 it empties by time alone
                await asyncio.sleep(MOVE_S)
        finally:
            for task in (*tasks, announcing):
                task.cancel()
            await asyncio.gather(*tasks, announcing, return_exceptions=True)
            await self._link.close()
            await self._cameras.stop()

    async def _announce(self, stop: asyncio.Event) -> None:
        number, behind = self._plan.first_number, self._plan.first_number + self._plan.parts
        async with asyncio.TaskGroup() as shots:
            while not stop.is_set() and number < behind:
                if self.belt.runs:
                    await self._part(number, shots)
                    number += 1
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._plan.interval_s if self.belt.runs else MOVE_S):
                        await stop.wait()

    async def _part(self, number: int, shots: asyncio.TaskGroup) -> None:
        part_id = self._plan.part_id.replace(PART_NUMBER, str(number))
        window_s = self._plan.window_ms / 1000
        self.belt.announce(part_id, window_s, now_s=self._now_s, now_us=self._clock.wall_us())
        try:
            await self._link.announce(number, self._plan.window_ms)
        except LinkError as exc:
            self._disconnected(exc)
        shots.create_task(self._shoot(part_id, number))

    async def _shoot(self, part_id: str, number: int) -> None:
        try:
            await self._cameras.shoot(part_id, number)
        except BusError as exc:
            self.failed_pictures += 1
            log.warning("%s", exc)

    async def _talk(self) -> None:
        while True:
            try:
                await self._link.open()
                self._connected, self._alive_s = True, self._now_s
                await self._link.listen(self._hear)
            except LinkError as exc:
                self._disconnected(exc)
            await self._link.close()
            await asyncio.sleep(RECONNECT_S)

    def _disconnected(self, exc: LinkError) -> None:
        self._connected = self._gate_runs = False
        self._halt(str(exc))

    def _hear(self, heard: Heard) -> None:
        if heard.kind in {"PASS", "REJECT"}:
            self.belt.hear(heard.kind, heard.part_id, heard.text.partition(" ")[0], now_us=self._clock.wall_us())
        elif heard.kind == "REFUSED":
            self.belt.refused(heard.part_id)
            log.warning("the gate refuses %s: %s", heard.part_id, heard.text)
        elif heard.kind == "ALIVE":
            self._alive_s = self._now_s
        else:
            self._gate_runs = heard.text.startswith("running")
            self._alive_s = self._now_s
            if not self._gate_runs:
                self._halt(f"the gate says {heard.text}")

    def _halt(self, why: str) -> None:
        if self.belt.runs:
            self._show(Happened("stopped", text=f"{why}; the line waits until the gate runs again"))
        elif why != self._why:
            self._show(Happened("waits", text=why))
        self._why = why
        for part in self.belt.stop():
            self._show(Happened("rejected", part.part_id, "the line stopped"))

    async def _move_forever(self) -> None:
        while True:
            await asyncio.sleep(MOVE_S)
            now_s = self._now_s
            if self.belt.runs and now_s - self._alive_s > ALIVE_TIMEOUT_S:
                self._halt(f"the gate has not counted up for {now_s - self._alive_s:.1f} s")
            for part, outcome in self.belt.move(now_s=now_s):
                self._show(Happened(outcome, part.part_id, "" if outcome == "passed" else part.why or "no answer"))
            fresh = now_s - self._alive_s <= ALIVE_TIMEOUT_S
            if self._connected and self._gate_runs and fresh and not self.belt.runs:
                self._show(Happened("runs"))
                self._why = ""
                self.has_run = True
                self.belt.start()

    async def _reset_forever(self) -> None:
        while True:
            await asyncio.sleep(self._plan.reset_after_s or RECONNECT_S)
            if self._plan.reset_after_s is not None and self._connected and not self._gate_runs:
                with contextlib.suppress(LinkError):
                    await self._link.reset()
