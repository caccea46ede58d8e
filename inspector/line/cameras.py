"""The cameras of a simulated line: each one takes a picture of each part from a folder. Event loop only."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from inspector.bus.connect import bus_errors, producer_client, start_client
from inspector.clients.replay import encoding_of
from inspector.errors import BusError, ConfigError
from inspector.settings.settings import Settings
from schemas import CameraFrame, encode, frame_headers, image_digest


class Cameras(Protocol):
    """Takes pictures of a part."""

    async def start(self) -> None:
        """Get ready."""
        ...

    async def shoot(self, part_id: str, number: int) -> None:
        """Take one picture of the part with each camera; returns when the broker has them.

        Raises:
            BusError: It has not taken one.
        """
        ...

    async def stop(self) -> None:
        """Put the cameras away."""
        ...


class RealCameras:
    """Others take the pictures."""

    async def start(self) -> None:
        """Do nothing."""

    async def shoot(self, part_id: str, number: int) -> None:
        """Do nothing."""

    async def stop(self) -> None:
        """Do nothing."""


class FolderCameras:
    """`Cameras` that show the pictures of a folder one after the other, on Kafka, as simulated ones."""

    def __init__(self, settings: Settings, line_id: str, camera_ids: Sequence[str], files: Sequence[Path]) -> None:
        """Be these cameras of the line."""
        self._settings = settings
        self._line_id = line_id
        self._camera_ids = camera_ids
        self._files = files
        self._producer: Any = producer_client(settings.kafka, max_request_size=settings.limits.max_message_bytes)

    async def start(self) -> None:
        """Connect to the broker."""
        async with bus_errors(f"connect to {self._settings.kafka.bootstrap_servers}"):
            await start_client(self._producer)

    async def shoot(self, part_id: str, number: int) -> None:
        """Take one picture of the part with each camera."""
        image = self._files[number % len(self._files)].read_bytes()
        captured_at = time.time_ns() // 1000
        frames = [self._frame(camera_id, part_id, number, captured_at, image) for camera_id in self._camera_ids]
        done = await asyncio.gather(*map(self._send, frames), return_exceptions=True)
        for failure in done:
            if isinstance(failure, BaseException):
                raise failure

    def _frame(self, camera_id: str, part_id: str, number: int, captured_at: int, image: bytes) -> CameraFrame:
        encoding = encoding_of(image)
        if encoding is None:
            raise ConfigError(f"picture {number} of the folder is no longer JPEG or PNG")
        return CameraFrame(
            line_id=self._line_id,
            camera_id=camera_id,
            part_id=part_id,
            seq=number,
            captured_at=captured_at,
            encoding=encoding,
            image=image,
            image_digest=image_digest(image),
            is_simulated=True,
        )

    async def _send(self, frame: CameraFrame) -> None:
        camera = self._settings.camera(frame.line_id, frame.camera_id)
        async with bus_errors(f"send a picture of part {frame.part_id}"):
            await self._producer.send_and_wait(
                self._settings.topics.frames_topic,
                encode(frame),
                f"{frame.line_id}/{frame.camera_id}".encode(),
                None if camera is None else camera.partition,
                headers=frame_headers(frame),
            )

    async def stop(self) -> None:
        """Disconnect; what was not acknowledged is lost."""
        try:
            async with bus_errors("disconnect"):
                await self._producer.stop()
        except BusError:
            return
