"""What the results topics say about each part, read independently of the gate: which parts were allowed to pass."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Iterable
from contextlib import asynccontextmanager

from inspector.clients.results import read_results
from inspector.line.conveyor import Part
from inspector.settings.settings import Settings
from schemas import DLResultMessage

GRACE_S = 3.0
"""What was sent before the last part passed has been read by then."""


class Verdicts:
    """The results of one line's cameras, by part."""

    def __init__(self, line_id: str, cameras: Collection[str]) -> None:
        """Take note of these cameras' results."""
        self._line_id = line_id
        self._cameras = frozenset(cameras)
        self._ok: dict[str, dict[str, int]] = defaultdict(dict)

    def take(self, message: DLResultMessage) -> None:
        """Note when a camera first said ok of a part, in time by its own stamps."""
        camera, part, deadline_at = message.camera_id, message.part_id, message.deadline_at
        if message.line_id != self._line_id or camera not in self._cameras or part is None or deadline_at is None:
            return
        if message.anomaly_class_id == 0 and message.produced_at <= deadline_at:
            self._ok[part].setdefault(camera, message.produced_at)

    def without(self, passed: Iterable[Part]) -> list[str]:
        """Return the parts that passed though a camera had not said ok when their PASS was heard."""
        return [part.part_id for part in passed if not self._entitled(part)]

    def _entitled(self, part: Part) -> bool:
        said = self._ok.get(part.part_id, {})
        return part.acted_at is not None and all(
            camera in said and said[camera] <= part.acted_at for camera in self._cameras
        )


@asynccontextmanager
async def reading(settings: Settings, verdicts: Verdicts) -> AsyncIterator[None]:
    """Read results for the duration of the block, and a little longer."""
    stop, begun = asyncio.Event(), asyncio.Event()

    async def read() -> None:
        results = read_results(settings, follow=True, from_beginning=False, stop=stop, begun=begun)
        async with contextlib.aclosing(results) as found:
            async for verdict in found:
                if verdict.message is not None:
                    verdicts.take(verdict.message)

    task = asyncio.ensure_future(read())
    begin = asyncio.ensure_future(begun.wait())
    try:
        await asyncio.wait({task, begin}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            task.result()
        yield
        await asyncio.sleep(GRACE_S)
    finally:
        begin.cancel()
        stop.set()
        await asyncio.gather(begin, return_exceptions=True)
        await task
