"""Bytes to pixels on worker threads: cameras in turn, within the byte budget, not further ahead than is useful."""

from __future__ import annotations

import functools
import logging
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple, Protocol

from inspector.anomaly.errors import GeometryError, ImageError
from inspector.anomaly.preprocess.image import ImageLimits, RawLayout, decode_image
from inspector.anomaly.types import DLSample
from inspector.inflight.budget import FRAME_OVERHEAD_BYTES
from inspector.inflight.frame import Frame, Refusal
from inspector.inflight.route import Model
from inspector.inflight.turns import TurnQueues
from schemas import CameraFrame

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


class DecodeStage:
    """Frames that wait for decoding, and those that are being decoded. Event loop only."""

    def __init__(
        self,
        *,
        ahead: int,
        limits: ImageLimits,
        submit: Submit,
        on_decoded: Callable[[Frame, Decoded], None],
        cost: Callable[[Frame], float] = lambda _frame: 1.0,
        freshest: Callable[[Frame], bool] = lambda _frame: False,
    ) -> None:
        """Decode with `submit`.

        Args:
            ahead: frames that may be decoded and not yet scored; more would only grow old in memory.
            limits: what is accepted.
            submit: the worker threads.
            on_decoded: gets each frame back, with its picture or the reason why there is none.
            cost: what a frame takes of its camera's share, see `TurnQueues`.
            freshest: whether only the newest frame of its camera counts.
        """
        self._ahead = ahead
        self._limits = limits
        self._submit = submit
        self._on_decoded = on_decoded
        self._waiting: TurnQueues[Frame] = TurnQueues(cost, freshest)
        self._running: Counter[str] = Counter()  # by camera

    def __len__(self) -> int:
        """Return the number of frames that wait."""
        return len(self._waiting)

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
        has_decoded: Callable[[str], bool] = lambda _camera: True,
    ) -> Started:
        """Start what may be started, and drop the frames that cannot be in time.

        Args:
            decoded: frames that are decoded and wait for the device.
            scoring: frames that the device has.
            now_s: the monotonic time.
            needed_s: the seconds until a frame's verdict is sent, if its decoding begins now.
            has_decoded: whether a camera has frames among the decoded ones; one that has not gets one decoded even if others have
                taken all places, or it would miss the next batch.
        """
        started = Started([], self._waiting.drop_expired(now_s, needed_s), [])
        while (frame := self._waiting.next()) is not None:
            ahead = self._running.total() + decoded
            if ahead >= self._ahead and (self._running[frame.camera] or has_decoded(frame.camera)):
                break
            if not self._reserve(frame, alone=ahead + scoring == 0):
                break
            taken = self._waiting.take(
                1, now_s, needed_s
            )  # this frame, those that it supersedes, and late ones behind it
            started.frames.extend(taken.frames)
            started.late.extend(taken.late)
            started.superseded.extend(taken.superseded)
            self._submit_decoding(frame)
        return started

    def _submit_decoding(self, frame: Frame) -> None:
        message, route = frame.message, frame.route
        if message is None or route is None:
            raise ValueError("a frame without message or route cannot be decoded")
        self._running[frame.camera] += 1
        job = functools.partial(decode_frame, message, route.model, self._limits)
        self._submit(job, functools.partial(self._done, frame))

    def _reserve(self, frame: Frame, *, alone: bool) -> bool:
        """Reserve what decoding takes; beyond the limit where there is nothing else in flight that could make room."""
        if alone:
            frame.reservation.force(frame.decoding_bytes)
            return True
        return frame.reservation.grow(frame.decoding_bytes)

    def _done(self, frame: Frame, outcome: Decoded) -> None:
        self._running[frame.camera] -= 1
        if not self._running[frame.camera]:
            del self._running[frame.camera]
        if frame.live and isinstance(outcome, DLSample):
            frame.sample = outcome
            frame.message = None  # the encoded image is of no more use
            kept = outcome.image.nbytes + frame.map_bytes
            frame.reservation.shrink_to(FRAME_OVERHEAD_BYTES + len(frame.value or b"") + kept)
        self._on_decoded(frame, outcome)


def decode_frame(message: CameraFrame, model: Model, limits: ImageLimits) -> Decoded:
    """Return the picture, reduced to the scale that `model` needs, or why there is none. Thread safe; never raises."""
    try:
        if not message.is_intact():
            return Refusal("undecodable", "digest_mismatch", "the image is not the one that the camera hashed")
        raw = None if message.raw is None else RawLayout(**message.raw.model_dump())
        param = model.preprocess_param
        sample = decode_image(
            message.image,
            encoding=message.encoding,
            raw=raw,
            target=param.decode_target,
            margin=param.decode_margin,
            limits=limits,
        )
        model.check_geometry(sample)
    except GeometryError as exc:
        return Refusal("failed", "geometry", str(exc))
    except ImageError as exc:
        return Refusal("undecodable", exc.reason, str(exc))
    except MemoryError as exc:
        return Refusal("failed", "out_of_memory", str(exc))
    except Exception as exc:
        log.exception("decoding a frame failed unexpectedly")
        return Refusal("failed", "internal", f"{type(exc).__name__}: {exc}")
    return sample
