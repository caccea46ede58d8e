"""Reads back from the bus what the judging model and a model on trial said about a camera's frames, and the frames themselves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Final, TypeVar

from inspector.bus.ports import ConsumedRecord
from inspector.bus.reading.places import KafkaPlaces
from inspector.bus.reading.result import message_of
from inspector.bus.reading.window import read_window
from inspector.settings.settings import Settings
from schemas import CameraFrame, DLResultMessage, RecordSource, ShadowResultMessage

M = TypeVar("M", DLResultMessage, ShadowResultMessage)

SKEW_MS: Final = 60_000
"""What was written so long before a window is read as well: clocks disagree."""


class TrialReader:
    """The topics of one deployment, about one camera and the frames that it captured in a window."""

    def __init__(self, settings: Settings, camera: tuple[str, str], window_us: tuple[int | None, int | None]) -> None:
        """Read nothing yet.

        Args:
            settings: brokers and topics.
            camera: line and camera.
            window_us: first captures, included, and the first not any more, in µs since 1970; None: no bound.
        """
        self._settings = settings
        self._line_id, self._camera_id = camera
        self._key = "/".join(camera).encode()
        self._first_us, self._last_us = window_us
        self._inflated_bytes = max(settings.partition_fetch_bytes, settings.limits.max_message_bytes)

    def read_shadow(self, take: Callable[[ShadowResultMessage], None]) -> None:
        """Hand what models on trial said to `take`, in the order of the topic.

        Raises:
            BusError: The topic cannot be read.
            TopicError: There is none.
        """
        self._read(self._settings.topics.shadow_topic, ShadowResultMessage, take, self._first_us)

    def read_verdicts(self, take: Callable[[DLResultMessage], None], *, first_us: int) -> None:
        """Hand the results of the camera to `take`, each partition in its order.

        Args:
            take: is told.
            first_us: no earlier captures are asked for.

        Raises:
            BusError: The topic cannot be read.
            TopicError: There is none.
        """
        topic = self._settings.topics.results_topic(self._line_id, self._camera_id)
        self._read(topic, DLResultMessage, take, max(first_us, self._first_us or 0))

    def read_frames(self, sources: Iterable[RecordSource]) -> dict[RecordSource, CameraFrame]:
        """Return the frames at these places, as far as the frames topic still holds them.

        Raises:
            BusError: The topic cannot be read.
        """
        return asyncio.run(self._frames(list(sources)))

    async def _frames(self, sources: list[RecordSource]) -> dict[RecordSource, CameraFrame]:
        topic = self._settings.topics.frames_topic
        wanted: dict[tuple[str, int], list[int]] = {}
        for source in sources:
            wanted.setdefault((source.topic, source.partition), []).append(source.offset)
        places = KafkaPlaces(self._settings.kafka, topic, max_inflated_bytes=self._inflated_bytes)
        found: dict[RecordSource, CameraFrame] = {}
        try:
            async for partition, offset, record in places.take(wanted):
                if record is None:
                    continue
                frame = message_of(record, CameraFrame, max_bytes=self._settings.limits.max_message_bytes)
                if frame is not None:
                    found[RecordSource(topic=partition[0], partition=partition[1], offset=offset)] = frame
        finally:
            await places.stop()
        return found

    def _read(self, topic: str, kind: type[M], take: Callable[[M], None], first_us: int | None) -> None:
        def take_record(record: ConsumedRecord) -> None:
            message = message_of(record, kind)
            if message is not None and self._is_mine(record, message):
                take(message)

        since_ms = None if first_us is None else first_us // 1000 - SKEW_MS
        asyncio.run(read_window(self._settings.kafka, topic, take_record, since_ms=since_ms))

    def _is_mine(self, record: ConsumedRecord, message: DLResultMessage | ShadowResultMessage) -> bool:
        captured_at = message.captured_at
        if (message.line_id, message.camera_id) != (self._line_id, self._camera_id) or captured_at is None:
            return False
        is_early = self._first_us is not None and captured_at < self._first_us
        return record.key == self._key and not is_early and (self._last_us is None or captured_at < self._last_us)
