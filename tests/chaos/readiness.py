"""Whether /readyz says the truth: it is asked every second, and the campaign says what is true."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

from tests.chaos.campaign import Context
from tests.chaos.worker import Worker

EVERY_S = 1.0


class Span(NamedTuple):
    """Something that was so for a time (monotonic seconds); who may take `notice_s` to notice lies only after that."""

    what: str
    begin_s: float
    end_s: float
    ready: bool
    notice_s: float


class Sample(NamedTuple):
    """What a worker said."""

    at_s: float
    worker: str
    ready: bool


class Readiness:
    """Asks all workers that run every second; a process that has ended says nothing, which is the truth."""

    def __init__(self, workers: Sequence[Worker]) -> None:
        """Ask `workers`, also those that are added later."""
        self._workers = workers
        self.samples: list[Sample] = []
        self.spans: list[Span] = []

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Ask as long as the block lasts."""
        task = asyncio.create_task(self._ask())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _ask(self) -> None:
        while True:
            begun = time.monotonic()
            running = [worker for worker in self._workers if worker.is_running]
            answers = await asyncio.gather(*(asyncio.to_thread(worker.is_ready) for worker in running))
            self.samples += [Sample(begun, w.name, answer) for w, answer in zip(running, answers, strict=True)]
            await asyncio.sleep(max(0.0, EVERY_S - (time.monotonic() - begun)))

    def so(self, what: str, begin_s: float, *, ready: bool, notice_s: float = 0.0) -> None:
        """Tell what was so from a moment until now."""
        self.spans.append(Span(what, begin_s, time.monotonic(), ready, notice_s))

    def add_row(self, context: Context) -> None:
        """Add the row: seconds in which an answer was no longer excused."""
        judged = 0
        lies: list[str] = []
        noticed: dict[str, float] = {}
        for span in self.spans:
            inside = [s for s in self.samples if span.begin_s <= s.at_s <= span.end_s - EVERY_S / 2]
            judged += len(inside)
            wrong = [sample for sample in inside if sample.ready != span.ready]
            if not span.ready and inside:
                last = max((sample.at_s for sample in wrong), default=span.begin_s)
                noticed[span.what] = max(noticed.get(span.what, 0.0), round(last - span.begin_s + EVERY_S, 1))
            lies += [
                f"{s.worker} said {'ready' if s.ready else 'not ready'} {s.at_s - span.begin_s:.1f} s into: {span.what}"
                for s in wrong
                if s.at_s - span.begin_s > span.notice_s
            ]
        shown = ", ".join(f"{what} after at most {seconds:.0f} s" for what, seconds in noticed.items())
        context.row(
            "/readyz says the truth in every second, but for the time that it may take to notice",
            trials=judged,
            figure=f"{len(lies)} of {judged} answers untrue; noticed: {shown}",
            held=not lies,
            lies=lies[:10],
            allowed_s={span.what: span.notice_s for span in self.spans if not span.ready},
        )
