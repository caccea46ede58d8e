"""Fetches pictures that frames only name, before they are decoded: cameras take turns, within the byte budget and each frame's time.

Fetching never blocks a decoding thread, and frames that carry their pictures do not pass this stage. So a slow store delays
only the frames whose pictures it holds, and later frames of the same camera, because they leave in order.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Protocol

from inspector.inflight.budget import FRAME_OVERHEAD_BYTES, Budget, room_bytes
from inspector.inflight.frame import Frame, Refusal
from inspector.inflight.turns import TurnQueues
from inspector.loop.clock import Clock
from inspector.loop.pump import Pump
from inspector.observe.fields import about
from inspector.settings.settings import Settings
from inspector.store.allowed import AllowedPlace
from inspector.store.errors import ClaimError
from schemas import CameraFrame

log = logging.getLogger(__name__)

COPIES = 2
"""How often a picture is in memory while it is fetched: as it comes in, and whole."""


class Store(Protocol):
    """Where pictures lie."""

    def read(self, allowed: AllowedPlace, size_bytes: int) -> Awaitable[bytes]: ...  # noqa: D102


class FetchStage:
    """Frames whose pictures are still to be fetched, and those whose pictures are on their way. Event loop only."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        *,
        budget: Budget,
        is_idle: Callable[[], bool],
        on_fetched: Callable[[Frame, Refusal | None], None],
        on_crash: Callable[[BaseException], None],
        clock: Clock,
    ) -> None:
        """Fetch from `store`.

        Args:
            settings: how many at once, for how long, and how many bytes.
            store: may be slow, and cancelled.
            budget: what is in flight; pictures never fill what decoding needs to go on.
            is_idle: whether nothing else in flight could make room; then one picture is fetched beyond the limit.
            on_fetched: gets each frame back: with the picture in its message, or the reason why there is none.
            on_crash: told of an error that asyncio would only log.
            clock: tells what time a frame has left.
        """
        self._store = store
        self._timeout_s = settings.store.fetch_timeout_ms / 1000
        self._places = settings.store.concurrency
        self._budget = budget
        self._readable_bytes = room_bytes(settings)
        self._is_idle = is_idle
        self._on_fetched = on_fetched
        self._on_crash = on_crash
        self._later = Pump(self.start, on_crash)
        self._clock = clock
        self._waiting: TurnQueues[Frame] = TurnQueues(freshest=lambda frame: frame.freshest_first)
        self._running: dict[Frame, asyncio.Task[None]] = {}

    def __len__(self) -> int:
        """Return the number of frames that wait."""
        return len(self._waiting)

    def push(self, frame: Frame) -> None:
        """Add an admitted frame that has a `claim`."""
        self._waiting.push(frame)

    def remove(self, unwanted: Callable[[Frame], bool]) -> list[Frame]:
        """Remove and return waiting frames."""
        return self._waiting.remove(unwanted)

    def forget(self, gone: Callable[[Frame], bool]) -> None:
        """Drop frames that nobody wants any more, also those whose pictures are on their way; they do not come back."""
        self._waiting.remove(gone)
        for frame in [frame for frame in self._running if gone(frame)]:
            self._running.pop(frame).cancel()

    def start(self) -> None:
        """Begin what may be begun, and hand back the frames whose deadline has passed; again when the next one's has."""
        now_s = self._clock.monotonic_s()
        late, superseded = self._waiting.drop_expired(now_s), list[Frame]()
        while (frame := self._waiting.next(self._has_place)) is not None and self._reserve(frame):
            taken = self._waiting.take_next(frame, now_s)
            late += taken.late
            superseded += taken.superseded
            self._running[frame] = asyncio.get_running_loop().create_task(self._fetch(frame))
        head = self._waiting.most_urgent()
        self._later.after(None if head is None else head.deadline_s - now_s)
        for frame in late:
            self._on_fetched(frame, Refusal("expired", "late_before_decode"))
        for frame in superseded:
            self._on_fetched(frame, Refusal("expired", "superseded"))

    def _has_place(self, frame: Frame) -> bool:
        mine = sum(running.camera == frame.camera for running in self._running)
        return len(self._running) < self._places and mine < max(1, self._places - 1)

    def _reserve(self, frame: Frame) -> bool:
        size_bytes = COPIES * _size_bytes(frame)
        if not self._running and self._is_idle():
            frame.reservation.force(size_bytes)
            return True
        fits = self._budget.used_bytes + size_bytes <= self._readable_bytes
        return fits and frame.reservation.grow(size_bytes)

    async def _fetch(self, frame: Frame) -> None:
        outcome = await self._outcome(frame)
        self._running.pop(frame, None)
        try:
            self._take(frame, outcome)
        except Exception as exc:  # noqa: BLE001 whatever it is, the process must not go on half dead
            self._on_crash(exc)

    def _take(self, frame: Frame, outcome: bytes | Refusal) -> None:
        size_bytes = FRAME_OVERHEAD_BYTES + len(frame.value or b"")
        if isinstance(outcome, Refusal):
            frame.reservation.shrink_to(size_bytes)
            self._on_fetched(frame, outcome)
            return
        frame.reservation.shrink_to(size_bytes + len(outcome))
        # As if it had carried its picture; `image_uri` stays, to tell where it came from.
        frame.message = _message(frame).model_copy(update={"image": outcome})
        self._on_fetched(frame, None)

    async def _outcome(self, frame: Frame) -> bytes | Refusal:
        """Return the picture or why there is none, within the frame's time; never raises."""
        left_s = frame.deadline_s - self._clock.monotonic_s()
        try:
            async with asyncio.timeout(min(left_s, self._timeout_s)):
                if frame.claim is None:
                    raise ValueError("a frame without a claim has nothing to fetch")  # noqa: TRY301
                return await self._store.read(frame.claim, _size_bytes(frame))
        except ClaimError as exc:
            is_fault = exc.reason == "image_unreachable"
            return Refusal("failed" if is_fault else "undecodable", exc.reason, str(exc))
        except TimeoutError:
            if left_s <= self._timeout_s:
                return Refusal("expired", "late_before_decode", "its picture was not fetched in time")
            return Refusal("failed", "image_unreachable", f"the store did not give it within {self._timeout_s:g} s")
        except Exception as exc:  # noqa: BLE001 told with its stack, by a logger that is bound to the frame
            about(log, frame).exception("fetching a picture failed unexpectedly")
            return Refusal("failed", "internal", f"{type(exc).__name__}: {exc}")


def _message(frame: Frame) -> CameraFrame:
    if frame.message is None:
        raise ValueError("a frame without a message names no picture")
    return frame.message


def _size_bytes(frame: Frame) -> int:
    return _message(frame).image_bytes or 0
