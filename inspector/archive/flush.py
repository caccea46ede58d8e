"""One flush: fetches the wanted pictures by their places in Kafka, stores them, and counts the outcomes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, Protocol, TypeVar

from inspector.archive.candidate import Candidate, row_of
from inspector.archive.holdings.keeper import Arrival, Fate, Keeper, Kept
from inspector.archive.intake import camera_of
from inspector.archive.metrics import ArchiveMetrics, Outcome
from inspector.archive.picture import picture_file
from inspector.bus.ports import ConsumedRecord, Partition
from inspector.bus.reading.places import PlaceReader
from inspector.store.errors import ClaimError
from schemas import CameraFrame, SchemaError, decode, image_digest

T = TypeVar("T")

LARGE_BYTES: Final = 1024 * 1024
"""From here on a frame is parsed beside the event loop: a megabyte takes about 0.1 ms."""


class Claims(Protocol):
    """Fetches pictures that frames only name."""

    async def fetch(self, uri: str, size_bytes: int) -> bytes:
        """Return a picture.

        Raises:
            ClaimError: It is not to be had.
        """
        ...


class Flush:
    """Deals with the candidates of one partition of results after the other. Event loop only; one at a time."""

    def __init__(
        self,
        keeper: Keeper,
        places: PlaceReader,
        claims: Claims,
        metrics: ArchiveMetrics,
        *,
        run: Callable[[Callable[[], object]], Awaitable[object]],
        flush_bytes: int,
    ) -> None:
        """Store with `keeper` what `places` and `claims` bring.

        Args:
            keeper: is called on the archive's thread alone.
            places: reads frames.
            claims: reads pictures that frames only name.
            metrics: told what happened to each result.
            run: runs a call on the archive's thread.
            flush_bytes: of pictures held at once, unless one is larger.
        """
        self._keeper = keeper
        self._places = places
        self._claims = claims
        self._metrics = metrics
        self._run = run
        self._flush_bytes = flush_bytes
        self._told: set[str] = set()

    async def store(self, owner: str, candidates: Sequence[Candidate]) -> None:
        """Store what is wanted of these; may be called again with the same after an error, and counts each once.

        Raises:
            StorageError: Not all are stored; `Keeper.recover` comes before the next try.
            BusError: Frames cannot be read now.
        """
        fates = await self._fates(candidates)
        wanted: dict[tuple[Partition, int], Candidate] = {}
        for candidate, fate in zip(candidates, fates, strict=True):
            if fate == "wanted":
                source = candidate.message.source
                wanted[(source.topic, source.partition), source.offset] = candidate
            else:
                self._tell(candidate, "repeat" if fate == "held" else "unsampled")
        batch: list[tuple[Candidate, Arrival]] = []
        size_bytes = 0
        async with contextlib.aclosing(self._places.take(_by_partition(wanted))) as found:
            async for partition, offset, record in found:
                candidate = wanted[partition, offset]
                arrival = await self._arrival(candidate, record)
                if not isinstance(arrival, Arrival):
                    self._tell(candidate, arrival)
                    continue
                batch.append((candidate, arrival))
                size_bytes += len(arrival.content)
                if size_bytes >= self._flush_bytes:
                    await self._keep(owner, batch)
                    batch, size_bytes = [], 0
        await self._keep(owner, batch)

    def settle(self) -> None:
        """All candidates so far were dealt with and will not come again."""
        self._told.clear()

    def drop(self, candidates: Sequence[Candidate]) -> None:
        """Give up candidates, as the storage has been away for too long. Which of them the sample would have taken nobody knows."""
        for candidate in candidates:
            self._tell(candidate, "dropped")

    async def _fates(self, candidates: Sequence[Candidate]) -> Sequence[Fate]:
        def fates() -> list[Fate]:
            return [self._keeper.fate(candidate) for candidate in candidates]

        return await self._on_thread(fates)

    async def _keep(self, owner: str, batch: Sequence[tuple[Candidate, Arrival]]) -> None:
        if not batch:
            return

        def keep() -> Kept:
            return self._keeper.keep(owner, [arrival for _, arrival in batch])

        kept = await self._on_thread(keep)
        self._metrics.removed("sample", kept.removed)
        held = {row.result_id for row in kept.added}
        for candidate, arrival in batch:
            if arrival.row.result_id not in held:
                self._tell(candidate, "unsampled")
            elif arrival.row.result_id not in self._told:
                self._told.add(arrival.row.result_id)
                self._metrics.stored(camera_of(candidate.message), arrival.row.file_bytes)

    async def _on_thread(self, call: Callable[[], T]) -> T:
        answer: list[T] = []
        await self._run(lambda: answer.append(call()))
        return answer[0]

    def _tell(self, candidate: Candidate, outcome: Outcome) -> None:
        if candidate.message.result_id not in self._told:
            self._told.add(candidate.message.result_id)
            self._metrics.result(camera_of(candidate.message), outcome)

    async def _arrival(self, candidate: Candidate, record: ConsumedRecord | None) -> Arrival | Outcome:
        """Return the picture with its row, or why there is none."""
        if record is None:
            return "gone"
        frame = await _frame(record)
        if frame is None:
            return "unreadable"
        # Where the topic was made again another frame lies at this place.
        image = None if frame.identity != candidate.message.identity else await self._image(frame)
        if image is None:
            return "gone"
        picture = picture_file(frame, image)
        return Arrival(row_of(candidate, frame, image, picture), picture.content)

    async def _image(self, frame: CameraFrame) -> bytes | None:
        """Return the bytes that the camera sent; None where its store has them no more."""
        if frame.image_uri is None:
            return frame.image
        try:
            image = await self._claims.fetch(frame.image_uri, frame.image_bytes or 0)
        except ClaimError:
            return None
        return image if image_digest(image) == frame.image_digest else None


async def _frame(record: ConsumedRecord) -> CameraFrame | None:
    """Return the frame that a record holds; None where it cannot be read."""
    if record.fault is not None or record.value is None:
        return None
    try:
        if len(record.value) < LARGE_BYTES:
            return decode(CameraFrame, record.value)
        return await asyncio.to_thread(decode, CameraFrame, record.value)
    except SchemaError:
        return None


def _by_partition(wanted: Mapping[tuple[Partition, int], Candidate]) -> dict[Partition, list[int]]:
    places: dict[Partition, list[int]] = {}
    for partition, offset in wanted:
        places.setdefault(partition, []).append(offset)
    return places
