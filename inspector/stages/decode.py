"""Decodes pictures on worker threads: cameras take turns, within the byte budget, and not further ahead than is useful.

Heavy pictures (`Frame.is_heavy`) wait so that one worker and half of the budget always remain for the others.
A thread cannot be ended while it decodes. So what is admitted is limited (`ImageLimits`), and decodings that take long are reported.
"""

from __future__ import annotations

import functools
import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from inspector.anomaly.errors import GeometryError, ImageError
from inspector.anomaly.preprocess.image import ImageLimits, RawLayout, decode_image
from inspector.anomaly.types import DLSample
from inspector.inflight.budget import FRAME_OVERHEAD_BYTES
from inspector.inflight.frame import Frame, Refusal
from inspector.inflight.route import Model
from inspector.inflight.turns import TurnQueues
from inspector.loop.clock import Clock
from inspector.observe.fields import AboutFrame, about
from schemas import CameraFrame, Reason

log = logging.getLogger(__name__)

Decoded = DLSample | Refusal


class Submit(Protocol):
    """Runs a job on a worker thread and hands its outcome back to the event loop."""

    def __call__(self, job: Callable[[], Decoded], done: Callable[[Decoded], None]) -> None: ...  # noqa: D102


class Started(NamedTuple):
    """What one call of `DecodeStage.start` took from the queue."""

    frames: list[Frame]
    """They are being decoded."""
    late: list[Frame]
    """Their deadline has passed, or cannot be met."""
    superseded: list[Frame]
    """Older than one of their camera that is being decoded, where only the newest counts."""


@dataclass(slots=True, eq=False)
class _Decoding:
    """A frame that a worker has, or that lies in the workers' queue."""

    frame: Frame
    begun_s: float | None = None
    """When a worker began; the worker's only word in this."""
    is_named: bool = False


class DecodeStage:
    """Frames that wait for decoding, and those that are being decoded. Event loop only."""

    def __init__(  # noqa: PLR0913 - all named
        self,
        *,
        ahead: int,
        workers: int,
        heavy_bytes: int,
        limits: ImageLimits,
        submit: Submit,
        on_decoded: Callable[[Frame, Decoded], None],
        clock: Clock,
        cost: Callable[[Frame], float] = lambda _frame: 1.0,
        freshest: Callable[[Frame], bool] = lambda _frame: False,
    ) -> None:
        """Decode with `submit`.

        Args:
            ahead: frames that may be decoded and not yet scored; more would only grow old in memory.
            workers: threads that decode; heavy frames leave one of them to the others, where there are two.
            heavy_bytes: what all heavy frames that are being decoded may take together, unless it is one alone.
            limits: what is accepted.
            submit: the worker threads.
            on_decoded: gets each frame back, with its picture or the reason why it has none.
            clock: tells how long a decoding takes.
            cost: what a frame takes of its camera's share, see `TurnQueues`.
            freshest: whether only the newest frame of its camera counts.
        """
        self._ahead = ahead
        self._limits = limits
        self._submit = submit
        self._on_decoded = on_decoded
        self._clock = clock
        self._max_heavy = max(1, workers - 1)
        self._heavy_bytes = heavy_bytes
        self._waiting: TurnQueues[Frame] = TurnQueues(cost, freshest)
        self._running: set[_Decoding] = set()

    def __len__(self) -> int:
        """Return the number of frames that wait."""
        return len(self._waiting)

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits and nothing is decoded."""
        return not self._running and not len(self._waiting)

    def push(self, frame: Frame) -> None:
        """Add an admitted frame."""
        self._waiting.push(frame)

    def remove(self, unwanted: Callable[[Frame], bool]) -> list[Frame]:
        """Remove and return waiting frames."""
        return self._waiting.remove(unwanted)

    def start(
        self,
        *,
        decoded: int,
        scoring: int,
        now_s: float,
        needed_s: Callable[[Frame], float] = lambda _frame: 0.0,
        decoded_of: Callable[[str], int] | None = None,
    ) -> Started:
        """Start what may be started, and drop the frames that cannot be in time.

        Args:
            decoded: frames that are decoded and wait for the device.
            scoring: frames that the device has.
            now_s: the monotonic time.
            needed_s: the seconds until a frame's verdict is sent, if its decoding begins now.
            decoded_of: how many frames of a camera are decoded and wait; one that has less than its share of the places is decoded
                even if others have taken them all, or it would miss the next batch, and what comes with it the one after.
        """
        started = Started([], self._waiting.drop_expired(now_s, needed_s), [])
        decoding = Counter(running.frame.camera for running in self._running)
        share = max(1, self._ahead // max(1, self._waiting.cameras))

        def has_place(frame: Frame) -> bool:
            is_full = len(self._running) + decoded >= self._ahead
            is_served = is_full and (decoded_of is None or decoding[frame.camera] + decoded_of(frame.camera) >= share)
            return not is_served and self._may_begin(frame)

        while (frame := self._waiting.next(has_place)) is not None:
            if not self._reserve(frame, alone=len(self._running) + decoded + scoring == 0):
                break
            decoding[frame.camera] += 1
            taken = self._waiting.take_next(frame, now_s, needed_s)
            started.frames.extend(taken.frames)
            started.late.extend(taken.late)
            started.superseded.extend(taken.superseded)
            self._submit_decoding(frame)
        return started

    def slow(self, now_s: float, limit_s: float) -> list[tuple[Frame, float]]:
        """Return the frames that a worker has been decoding for longer than `limit_s`, and for how long; each once."""
        found = [
            (decoding, now_s - decoding.begun_s)
            for decoding in self._running
            if decoding.begun_s is not None and not decoding.is_named and now_s - decoding.begun_s > limit_s
        ]
        for decoding, _ in found:
            decoding.is_named = True
        return [(decoding.frame, seconds) for decoding, seconds in found]

    def _may_begin(self, frame: Frame) -> bool:
        if not frame.is_heavy:
            return True
        heavy = [decoding.frame.decoding_bytes for decoding in self._running if decoding.frame.is_heavy]
        fits = sum(heavy) + frame.decoding_bytes <= self._heavy_bytes
        return not heavy or (len(heavy) < self._max_heavy and fits)

    def _submit_decoding(self, frame: Frame) -> None:
        message, route = frame.message, frame.route
        if message is None or route is None:
            raise ValueError("a frame without message or route cannot be decoded")
        decoding = _Decoding(frame)
        self._running.add(decoding)

        def job() -> Decoded:
            decoding.begun_s = self._clock.monotonic_s()
            if frame.is_heartbeat:
                return decode_golden(message)
            return decode_frame(message, route.model, self._limits, frame)

        self._submit(job, functools.partial(self._done, decoding))

    def _reserve(self, frame: Frame, *, alone: bool) -> bool:
        """Reserve what decoding takes; beyond the limit where there is nothing else in flight that could make room."""
        if alone:
            frame.reservation.force(frame.decoding_bytes)
            return True
        return frame.reservation.grow(frame.decoding_bytes)

    def _done(self, decoding: _Decoding, outcome: Decoded) -> None:
        frame = decoding.frame
        self._running.discard(decoding)
        if frame.live and isinstance(outcome, DLSample):
            frame.sample = outcome
            frame.message = None  # the encoded image is of no more use
            kept = outcome.image.nbytes + frame.map_bytes
            frame.reservation.shrink_to(FRAME_OVERHEAD_BYTES + len(frame.value or b"") + kept)
        self._on_decoded(frame, outcome)


def tell_slow(frame: Frame, seconds: float) -> None:
    """Log that a frame is being decoded for so long."""
    about(log, frame).warning(
        "a frame of %s (%s) has been decoded for %.1f s: %d bytes that take %d to decode",
        frame.camera,
        f"{frame.source.topic}/{frame.source.partition}, offset {frame.source.offset}",
        seconds,
        len(frame.value or b""),
        frame.decoding_bytes,
    )


def decode_frame(message: CameraFrame, model: Model, limits: ImageLimits, frame: AboutFrame | None = None) -> Decoded:
    """Return the picture, reduced to the scale that `model` needs, or why there is none. Thread safe; never raises.

    `frame`: what it belongs to, for the log.
    """
    try:
        if not message.is_intact():
            reason: Reason = "digest_mismatch" if message.image_uri is None else "image_mismatch"
            return Refusal(
                "undecodable",
                reason,
                "the image does not match image_digest, so it is not the one that the camera sent",
            )
        raw = None if message.raw is None else RawLayout(**message.raw.model_dump())
        param = model.preprocess_param
        sample = decode_image(
            message.image,
            encoding=message.encoding,
            raw=raw,
            target=param.decode_target,
            margin=param.decode_margin,
            apply_exif=param.apply_exif,
            limits=limits,
        )
        model.check_geometry(sample)
    except GeometryError as exc:
        return Refusal("failed", "geometry", str(exc))
    except ImageError as exc:
        return Refusal("undecodable", exc.reason, str(exc))
    except MemoryError as exc:
        return Refusal("failed", "out_of_memory", str(exc))
    except Exception as exc:  # noqa: BLE001 told with its stack, by a logger that is bound to the frame
        (log if frame is None else about(log, frame)).exception("decoding a frame failed unexpectedly")
        return Refusal("failed", "internal", f"{type(exc).__name__}: {exc}")
    return sample


def decode_golden(message: CameraFrame) -> Decoded:
    """Return the picture of a heartbeat as its model was tested with it: whole, of whatever size. Thread safe; never raises."""
    try:
        if message.raw is None or not message.is_intact():
            return Refusal("failed", "internal", "a model's own picture has changed in memory")
        limits = ImageLimits(max_bytes=len(message.image), max_pixels=message.raw.width * message.raw.height)
        return decode_image(
            message.image, encoding="raw", raw=RawLayout(**message.raw.model_dump()), target=None, limits=limits
        )
    except Exception as exc:
        log.exception("decoding a heartbeat failed unexpectedly")
        return Refusal("failed", "internal", f"{type(exc).__name__}: {exc}")
