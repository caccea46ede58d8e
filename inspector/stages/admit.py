"""From records to frames: parses and checks the message, reads the image's header, sets the deadline, finds the route."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from inspector.anomaly.errors import GeometryError, ImageError
from inspector.anomaly.preprocess.image import (
    ImageHeader,
    ImageLimits,
    RawLayout,
    decoded_bytes,
    decoding_passes,
    read_image_header,
)
from inspector.anomaly.preprocess.orientation import LYING, exif_orientation
from inspector.anomaly.types import DLSample
from inspector.bus.ports import ConsumedRecord
from inspector.inflight.budget import FRAME_OVERHEAD_BYTES, Budget
from inspector.inflight.frame import Frame, Refusal
from inspector.inflight.lease import Lease
from inspector.inflight.route import Route
from inspector.loop.clock import Clock, monotonic_deadline_s
from inspector.settings.settings import LimitSettings
from inspector.store.allowed import AllowedPlace
from inspector.store.errors import ClaimError
from schemas import CameraFrame, Identity, RecordSource, SchemaError, TraceContext, decode, identity_from_headers
from schemas.base import MAX_INTEGER

Headers = Sequence[tuple[str, bytes | None]]

FLOAT32_BYTES = 4
HEAVY_PIXELS = 16_000_000
"""From this many pixels on, times the passes over them, a picture is heavy: it takes a core a tenth to half of a second."""

_NO_PIXELS = np.empty((0, 0), np.uint8)


def image_limits(limits: LimitSettings) -> ImageLimits:
    """Return the decoder's limits."""
    return ImageLimits(max_bytes=limits.max_frame_bytes, max_pixels=limits.max_pixels, max_scans=limits.max_jpeg_scans)


class Admission:
    """Turns every record into a frame, also those that cannot be read: each is owed a verdict. Event loop only."""

    def __init__(  # noqa: PLR0913 - all named
        self,
        limits: LimitSettings,
        *,
        default_budget_us: int,
        largest_decoding_bytes: int,
        find_route: Callable[[str, str, str | None], Route | None],
        find_place: Callable[[str], AllowedPlace],
        budget: Budget,
        clock: Clock,
        join_trace: Callable[[Headers], tuple[TraceContext | None, str | None]],
        saw: Callable[[str, DLSample], object] = lambda _camera, _picture: None,
    ) -> None:
        """Check against `limits`.

        Args:
            limits: what is accepted.
            default_budget_us: for frames of unknown cameras.
            largest_decoding_bytes: a picture that takes more to decode is too large.
            find_route: by line, camera and part.
            find_place: by `image_uri`; raises `ClaimError` for one that is not allowed.
            budget: what is in flight.
            clock: the time.
            join_trace: by headers: the trace that the frame belongs to, and its sender's span; never raises.
            saw: told of size and channels of each picture that its camera's model takes.
        """
        self._saw = saw
        self._limits = limits
        self._image_limits = image_limits(limits)
        self._default_budget_us = default_budget_us
        self._largest_decoding_bytes = largest_decoding_bytes
        self._find_route = find_route
        self._find_place = find_place
        self._budget = budget
        self._clock = clock
        self._join_trace = join_trace

    def admit(self, record: ConsumedRecord, lease: Lease) -> Frame:
        """Return the frame of `record`, with a `refusal` if it cannot be inspected. Never raises."""
        now_s = self._clock.monotonic_s()
        value = record.value or b""
        message, refusal = self._parse(value)
        if record.fault is not None:
            refusal = Refusal("undecodable", record.fault.reason, record.fault.detail)
        identity = identity_from_headers(record.headers) if message is None else message.identity
        known = identity.line_id is not None and identity.camera_id is not None
        route = self._find_route(identity.line_id or "", identity.camera_id or "", identity.part_id) if known else None
        deadline_at = self._deadline_at(identity, message, route)
        trace, parent_span_id = self._join_trace(record.headers)
        frame = Frame(
            lease=lease,
            source=RecordSource(topic=record.topic, partition=record.partition, offset=record.offset),
            key=record.key,
            value=value,
            identity=identity,
            camera=f"{identity.line_id}/{identity.camera_id}" if known else f"{record.topic}/{record.partition}",
            deadline_at=deadline_at,
            deadline_s=self._deadline_s(identity.captured_at, deadline_at, now_s),
            # The record's value, and the image that the parser copied out of it.
            reservation=self._budget.hold(
                FRAME_OVERHEAD_BYTES + len(value) + (len(message.image) if message else 0), lease.partition
            ),
            entered_s=now_s,
            is_simulated=message is not None and message.is_simulated,
            message=message,
            route=route,
            refusal=refusal,
            trace=trace,
            parent_span_id=parent_span_id,
        )
        if message is not None and refusal is None:
            frame.refusal = self._check(frame, message, route)
        return frame

    def _parse(self, value: bytes) -> tuple[CameraFrame | None, Refusal | None]:
        if not value:
            return None, Refusal("undecodable", "empty", "the record has no value")
        try:
            return decode(CameraFrame, value, max_bytes=self._limits.max_message_bytes), None
        except SchemaError as exc:
            return None, Refusal("undecodable", exc.reason, str(exc))

    def _deadline_at(self, identity: Identity, message: CameraFrame | None, route: Route | None) -> int | None:
        if identity.captured_at is None:
            return None
        budget_us = self._default_budget_us if route is None else route.budget_us
        if message is not None and message.budget_us is not None:
            budget_us = message.budget_us
        return min(identity.captured_at + budget_us, MAX_INTEGER)

    def _deadline_s(self, captured_at: int | None, deadline_at: int | None, now_s: float) -> float:
        """Return when the verdict is due here: a picture whose stamp lies ahead was captured now at the latest, by whichever clock."""
        if captured_at is None or deadline_at is None:
            return now_s
        return min(monotonic_deadline_s(self._clock, deadline_at), now_s + (deadline_at - captured_at) / 1e6)

    def _check(self, frame: Frame, message: CameraFrame, route: Route | None) -> Refusal | None:
        if route is None:
            return Refusal("no_model", "unknown_camera", f"no model is configured for camera {frame.camera}")
        ahead_us = message.captured_at - self._clock.wall_us()
        if ahead_us > self._limits.max_clock_skew_ms * 1000:
            return Refusal("expired", "captured_in_future", f"captured {ahead_us / 1e6:.3f} s in the future")
        if message.image_uri is not None:
            return self._check_claim(frame, message, message.image_uri)
        return self.check_picture(frame)

    def _check_claim(self, frame: Frame, message: CameraFrame, uri: str) -> Refusal | None:
        size_bytes = message.image_bytes or 0
        if size_bytes > self._limits.max_frame_bytes:
            detail = f"image_bytes is {size_bytes}, more than limits.max_frame_bytes ({self._limits.max_frame_bytes})"
            return Refusal("undecodable", "too_large", detail)
        try:
            frame.claim = self._find_place(uri)
        except ClaimError as exc:
            return Refusal("undecodable", exc.reason, str(exc))
        return None

    def check_picture(self, frame: Frame) -> Refusal | None:
        """Look at the header of the picture that a frame has by now, and note what decoding it takes."""
        message, route = frame.message, frame.route
        if message is None or route is None:
            raise ValueError("a frame without message or route has no picture to look at")
        param = route.model.preprocess_param
        try:
            header = self._header(message)
            width, height = header.width, header.height
            if param.apply_exif and message.raw is None and exif_orientation(message.image) in LYING:
                width, height = height, width
            channels: Literal[1, 3] = 1 if header.channels == 1 else 3
            picture = DLSample(_NO_PIXELS, original_width=width, original_height=height, channels=channels)
            route.model.check_geometry(picture)
        except ImageError as exc:
            return Refusal("undecodable", exc.reason, str(exc))
        except GeometryError as exc:
            return Refusal("failed", "geometry", str(exc))
        self._saw(frame.camera, picture)
        frame.is_heavy = header.width * header.height * decoding_passes(header) >= HEAVY_PIXELS
        pixels = decoded_bytes(header, target=param.decode_target, margin=param.decode_margin)
        map_width, map_height = param.map_size(width, height)
        frame.map_bytes = map_width * map_height * FLOAT32_BYTES
        frame.decoding_bytes = pixels + frame.map_bytes
        if frame.decoding_bytes > self._largest_decoding_bytes:
            return Refusal(
                "undecodable",
                "too_large",
                f"decoding {header.width} x {header.height} pixels takes {frame.decoding_bytes} bytes, but "
                f"limits.max_bytes_in_flight leaves only {self._largest_decoding_bytes}",
            )
        return None

    def _header(self, message: CameraFrame) -> ImageHeader:
        if message.raw is None:
            header = read_image_header(message.image, limits=self._image_limits)
            if header.encoding != message.encoding:
                raise ImageError("corrupt", f"the message says {message.encoding}, but the bytes are {header.encoding}")
            return header
        raw = message.raw
        if len(message.image) > self._limits.max_frame_bytes or raw.width * raw.height > self._limits.max_pixels:
            raise ImageError("too_large", f"raw image of {raw.width} x {raw.height} pixels is larger than the limit")
        return RawLayout(**raw.model_dump()).header
