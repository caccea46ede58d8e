"""`inspector replay`: acts as a camera; it sends the image files of a folder as frames, at a steady rate."""

from __future__ import annotations

import asyncio
import itertools
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from inspector.bus.connect import Lacks, bus_errors, lacks, producer_client, start_client
from inspector.errors import BusError, ConfigError
from inspector.settings.settings import Settings
from schemas import CameraFrame, ImageEncoding, encode, frame_headers, image_digest, result_id_of_frame

MAGIC: dict[ImageEncoding, bytes] = {"jpeg": b"\xff\xd8\xff", "png": b"\x89PNG\r\n\x1a\n"}
SUFFIXES = frozenset({".jpg", ".jpeg", ".png"})
MAX_PART_ID = 64
# Sent and not acknowledged; a broker that falls behind holds the camera up instead of filling its memory.
MAX_UNACKNOWLEDGED = 64
MAX_ERRORS = 10


@dataclass(frozen=True)
class ReplayPlan:
    """What to send.

    Attributes:
        files: image files, in the order of sending.
        rate: frames a second; 0: as fast as the broker takes them.
        count: frames to send in all; None: without end.
        budget_us: microseconds from capture to verdict, written into each frame; None: the inspector decides.
        first_seq: `seq` of the first frame.
    """

    files: Sequence[Path]
    folder: Path
    line_id: str
    camera_id: str
    rate: float
    count: int | None
    budget_us: int | None = None
    first_seq: int = 0


@dataclass(frozen=True)
class SentFrame:
    """A frame that the broker acknowledged, and the file that it came from."""

    file: Path
    part_id: str
    seq: int
    captured_at: int
    result_id: str
    partition: int
    offset: int


@dataclass
class ReplaySummary:
    """The outcome of a replay; `behind_s` is how far it was behind schedule at worst."""

    camera: str
    topic: str
    frames: int = 0
    failed: int = 0
    num_bytes: int = 0
    seconds: float = 0.0
    behind_s: float = 0.0
    errors: list[str] = field(default_factory=list)

    @property
    def fps(self) -> float:
        """Acknowledged frames a second."""
        return self.frames / self.seconds if self.seconds else 0.0


def find_images(folder: Path, *, max_bytes: int) -> list[Path]:
    """Return the JPEG and PNG files of a folder and those below it, in order of their names.

    Raises:
        ConfigError: The folder does not exist or contains no image, or a file is not an image or too large; names the
            file.
    """
    if not folder.is_dir():
        raise ConfigError(f"{folder} is not a folder; give a folder of images to send")
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    if not files:
        raise ConfigError(f"{folder} contains no image ({', '.join(sorted(SUFFIXES))})")
    for path in files:
        if path.stat().st_size > max_bytes:
            raise ConfigError(f"{path} has {path.stat().st_size} bytes, more than limits.max_frame_bytes ({max_bytes})")
        with path.open("rb") as file:
            if encoding_of(file.read(8)) is None:
                raise ConfigError(f"{path} is neither JPEG nor PNG, in spite of its name")
    return files


def encoding_of(data: bytes) -> ImageEncoding | None:
    """Return what an image's first bytes say that it is."""
    return next((encoding for encoding, magic in MAGIC.items() if data.startswith(magic)), None)


def part_id_of(file: Path, folder: Path, seq: int) -> str:
    """Return an id that tells the file, as far as an id can, and differs for each frame."""
    name = re.sub(r"[^A-Za-z0-9_-]+", "_", str(file.relative_to(folder).with_suffix("")))
    suffix = f"-{seq}"
    return name[-(MAX_PART_ID - len(suffix)) :] + suffix


async def replay(
    settings: Settings, plan: ReplayPlan, *, on_sent: Callable[[SentFrame], None], stop: asyncio.Event
) -> ReplaySummary:
    """Send the plan's frames and wait until each is acknowledged or given up.

    Frames leave at fixed times from the start, also after a hold-up: an offered rate is not lowered by what it meets. A frame's
    capture stamp is the moment at which it is handed to the producer.

    Args:
        settings: broker, topic, and the camera's partition where they name one.
        plan: what to send.
        on_sent: called on the event loop for each acknowledged frame.
        stop: once set, no further frame is sent.

    Raises:
        BusError: The broker cannot be reached at all; single frames that it does not take are counted in the summary.
    """
    camera = settings.camera(plan.line_id, plan.camera_id)
    summary = ReplaySummary(f"{plan.line_id}/{plan.camera_id}", settings.topics.frames_topic)
    producer = producer_client(settings.kafka, max_request_size=settings.limits.max_message_bytes)
    try:
        async with bus_errors(f"connect to {settings.kafka.bootstrap_servers}", lacks(settings.kafka, writes=True)):
            await start_client(producer)
        begun = time.monotonic()
        async with asyncio.TaskGroup() as group:
            partition = None if camera is None else camera.partition
            sender = _Sender(producer, partition, summary, on_sent, group)
            sender.lacking = lacks(settings.kafka, "Write", summary.topic)
            async for seq, file in _paced(plan, summary, stop):
                await sender.send(*_frame(plan, file, seq), file)
        summary.seconds = time.monotonic() - begun
    finally:
        await producer.stop()
    return summary


async def _paced(plan: ReplayPlan, summary: ReplaySummary, stop: asyncio.Event) -> AsyncIterator[tuple[int, Path]]:
    begun = time.monotonic()
    for number, file in zip(_numbers(plan.count), itertools.cycle(plan.files), strict=False):
        if plan.rate:
            ahead_s = begun + number / plan.rate - time.monotonic()
            summary.behind_s = max(summary.behind_s, -ahead_s)
            if ahead_s > 0:
                await _wait(stop, ahead_s)
        else:
            await asyncio.sleep(0)
        if stop.is_set():
            return
        yield plan.first_seq + number, file


def _numbers(count: int | None) -> Iterator[int]:
    return itertools.count() if count is None else iter(range(count))


async def _wait(stop: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return


def _frame(plan: ReplayPlan, file: Path, seq: int) -> tuple[CameraFrame, bytes]:
    image = file.read_bytes()
    encoding = encoding_of(image)
    if encoding is None:
        raise ConfigError(f"{file} changed during the replay: it is no longer JPEG or PNG")
    frame = CameraFrame(
        line_id=plan.line_id,
        camera_id=plan.camera_id,
        part_id=part_id_of(file, plan.folder, seq),
        seq=seq,
        captured_at=time.time_ns() // 1000,
        budget_us=plan.budget_us,
        encoding=encoding,
        image=image,
        image_digest=image_digest(image),
        is_simulated=True,
    )
    return frame, encode(frame)


class _Sender:
    """Hands frames to the producer, one after the other so that they keep their order, and keeps the account."""

    def __init__(
        self,
        producer: Any,  # noqa: ANN401 aiokafka ships no types
        partition: int | None,
        summary: ReplaySummary,
        on_sent: Callable[[SentFrame], None],
        group: asyncio.TaskGroup,
    ) -> None:
        self._producer = producer
        self._partition = partition
        self._summary = summary
        self._on_sent = on_sent
        self._group = group
        self._free = asyncio.Semaphore(MAX_UNACKNOWLEDGED)
        self.lacking: Lacks = {}

    async def send(self, frame: CameraFrame, value: bytes, file: Path) -> None:
        """Return when the producer has the frame; its acknowledgement is awaited by a task of its own."""
        key = f"{frame.line_id}/{frame.camera_id}".encode()
        await self._free.acquire()
        try:
            async with bus_errors(f"send {file}", self.lacking):
                acknowledged = await self._producer.send(
                    self._summary.topic, value, key, partition=self._partition, headers=frame_headers(frame)
                )
        except BusError as exc:
            self._failed(exc)
        else:
            self._group.create_task(self._account(acknowledged, frame, len(value), file))

    async def _account(self, acknowledged: Awaitable[Any], frame: CameraFrame, num_bytes: int, file: Path) -> None:
        try:
            async with bus_errors(f"send {file}", self.lacking):
                record = await acknowledged
        except BusError as exc:
            self._failed(exc)
            return
        self._free.release()
        self._summary.frames += 1
        self._summary.num_bytes += num_bytes
        place = (record.partition, record.offset)
        result_id = result_id_of_frame(frame.line_id, frame.camera_id, frame.part_id, frame.seq, frame.captured_at)
        self._on_sent(SentFrame(file, frame.part_id, frame.seq, frame.captured_at, result_id, *place))

    def _failed(self, exc: BusError) -> None:
        self._free.release()
        self._summary.failed += 1
        if len(self._summary.errors) < MAX_ERRORS and str(exc) not in self._summary.errors:
            self._summary.errors.append(str(exc))
