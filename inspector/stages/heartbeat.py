"""Sends the pictures that are stored with the models the same way as every frame, so that a gate sees that the inspector works.

A heartbeat exists only if the device really scored the picture. Heartbeats have queues, order and a lease of their own, so no camera's
frame waits for one or is superseded by one. Their verdicts go to a topic of their own and are not about a part. If their topic is gone and
the verdict of a heartbeat is not accepted, it holds memory that keeps no frame from being read, and no second one is sent.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from inspector.bus.ports import Partition
from inspector.errors import BusError
from inspector.inflight.budget import FRAME_OVERHEAD_BYTES, HEARTBEATS, Budget
from inspector.inflight.frame import Frame
from inspector.inflight.lease import Lease
from inspector.inflight.route import Model, Route
from inspector.loop.clock import Clock, monotonic_deadline_s
from inspector.observe.fields import camera_fields
from inspector.settings.settings import Settings
from schemas import CameraFrame, Identity, RawFormat, RecordSource, image_digest

log = logging.getLogger(__name__)

FLOAT32_BYTES = 4
_NO_CAP = 1 << 30


class Heartbeats:
    """Makes one frame after the other for each camera whose partition this process has. Event loop only."""

    def __init__(
        self,
        settings: Settings,
        routes: Callable[[], Sequence[Route]],
        take: Callable[[Frame], None],
        budget: Budget,
        held: Callable[[], Collection[Partition]],
        partition_for: Callable[[str, bytes], Awaitable[int]],
        clock: Clock,
    ) -> None:
        """Prepare the beats of these routes.

        Args:
            settings: topics, and each camera's partition where it has one of its own.
            routes: how cameras are judged now; one whose model keeps no picture has no heartbeat.
            take: takes a frame in.
            budget: accounts for its bytes.
            held: the partitions of frames that this process has.
            partition_for: Kafka's own choice of a partition, for cameras that have none of their own.
            clock: tells when a beat was begun, and when it is late.
        """
        self._settings = settings
        self._all_routes = routes
        self._take = take
        self._budget = budget
        self._held = held
        self._partition_for = partition_for
        self._clock = clock
        self._lease = Lease((settings.topics.heartbeats_topic, 0), 0, cap=_NO_CAP)
        self._under_way: dict[str, Frame] = {}
        self._messages: dict[Model, Sequence[CameraFrame]] = {}
        self._number = 0

    async def run(self, interval_s: float) -> None:
        """Beat until cancelled; the cameras one after the other, so that neither the loop nor the device has all of them at once."""
        for route in self._all_routes():
            if not route.model.golden_images:
                extra = camera_fields(route.camera)
                log.warning(
                    "%s has no heartbeat: model %s contains no picture", route.camera, route.model.name, extra=extra
                )
        while True:
            routes = self._routes
            if {route.model for route in routes} != self._messages.keys():  # a release has changed one
                await asyncio.to_thread(self.prepare)
            if not routes:
                await asyncio.sleep(interval_s)
            for route in routes:
                await asyncio.sleep(interval_s / len(routes))
                try:
                    await self.beat(route)
                except BusError as exc:
                    log.warning("no heartbeat: %s", exc)

    @property
    def _routes(self) -> list[Route]:
        return [route for route in self._all_routes() if route.model.golden_images]

    def prepare(self) -> None:
        """Make the messages: once for each model, for copying and hashing its pictures takes milliseconds. Any thread, before `beat`."""
        before = self._messages
        self._messages = {
            model: before.get(model) or [_message(image, index) for index, image in enumerate(model.golden_images)]
            for model in {route.model for route in self._routes}
        }

    async def beat(self, route: Route) -> None:
        """Begin one for a camera, if it is of this process's partitions, has none under way, and there is room for it.

        Raises:
            BusError: The brokers do not tell a camera's partition.
        """
        topic = self._settings.topics.frames_topic
        if route.model not in self._messages:
            return  # a release has just changed it: the next round has its messages
        before = self._under_way.get(route.camera)
        if before is not None and before.stage is not None:
            return
        line_id, camera_id = route.camera.split("/")
        camera = self._settings.camera(line_id, camera_id)
        number = None if camera is None else camera.partition
        if number is None:
            number = await self._partition_for(topic, route.camera.encode())
        if (topic, number) in self._held() and self._budget.free_bytes >= FRAME_OVERHEAD_BYTES:
            self._under_way[route.camera] = frame = self._frame(route, line_id, camera_id)
            self._take(frame)

    def _frame(self, route: Route, line_id: str, camera_id: str) -> Frame:
        number, self._number = self._number, self._number + 1
        index = number % len(route.model.golden_images)
        image = route.model.golden_images[index]
        now_us = self._clock.wall_us()
        identity = Identity(line_id, camera_id, f"golden-{index}", number, now_us)
        message = self._messages[route.model][index].model_copy(update=identity._asdict())
        width, height = route.model.preprocess_param.map_size(image.shape[1], image.shape[0])
        deadline_at = now_us + route.budget_us
        self._lease.take(number)
        return Frame(
            lease=self._lease,
            source=RecordSource(topic=self._settings.topics.heartbeats_topic, partition=0, offset=number),
            key=None,
            value=None,
            identity=message.identity,
            camera=f"heartbeat/{route.camera}",
            deadline_at=deadline_at,
            deadline_s=monotonic_deadline_s(self._clock, deadline_at),
            reservation=self._budget.hold(FRAME_OVERHEAD_BYTES, HEARTBEATS),  # the message's picture is the model's
            entered_s=self._clock.monotonic_s(),
            is_simulated=True,
            message=message,
            route=route,
            decoding_bytes=image.nbytes + width * height * FLOAT32_BYTES,
            map_bytes=width * height * FLOAT32_BYTES,
            expected_score=route.model.golden_scores[index],
        )


def _message(image: NDArray[np.uint8], index: int) -> CameraFrame:
    """Return a message about nobody with a picture of a model; each beat puts its own identity into a copy."""
    pixels = np.ascontiguousarray(image).tobytes()
    is_gray = image.ndim == 2  # noqa: PLR2004 (H, W)
    raw = RawFormat(width=image.shape[1], height=image.shape[0], pixel_format="mono8" if is_gray else "rgb8")
    nobody = Identity("heartbeat", "heartbeat", f"golden-{index}", 0, 0)
    return CameraFrame(
        **nobody._asdict(), encoding="raw", raw=raw, image=pixels, image_digest=image_digest(pixels), is_simulated=True
    )
