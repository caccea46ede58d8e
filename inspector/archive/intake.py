"""Turns results into candidates: which are the first of their frame, which may be archived, and which frames nobody answered."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from inspector.archive.answers import Answers
from inspector.archive.candidate import Candidate, refusal_of, worth_of
from inspector.archive.metrics import OTHER_CAMERA, ArchiveMetrics
from inspector.bus.ports import ConsumedRecord, Partition
from inspector.bus.reading.result import result_of
from inspector.settings.places.archive import ArchiveSettings
from schemas import DLResultMessage

MOST_SEEN: Final = 20_000
"""Ids of each partition by which a repeated result is known; more than are read again at the start."""


class Intake:
    """What was read of the results, and is not yet dealt with. Event loop only."""

    def __init__(self, archive: ArchiveSettings, metrics: ArchiveMetrics) -> None:
        """Take in results as `archive` says."""
        self._archive = archive
        self._metrics = metrics
        self._begins: dict[Partition, int] = {}
        self._seen: dict[Partition, OrderedDict[str, None]] = {}
        self._answers: dict[Partition, Answers] = {}
        self.positions: dict[Partition, int] = {}
        """Behind the last result that was read, of each partition of results."""
        self.candidates: dict[Partition, list[Candidate]] = {}
        """By the partition of their results."""

    @property
    def partitions(self) -> list[Partition]:
        """Of results, that are this process's."""
        return sorted(self._begins)

    @property
    def size(self) -> int:
        """How many candidates wait."""
        return sum(map(len, self.candidates.values()))

    def begin(self, begins: Mapping[Partition, int]) -> None:
        """Start anew under another assignment: `begins` are its partitions, and the first offset of each that was not dealt with."""
        self._begins = dict(begins)
        self._seen = {partition: OrderedDict() for partition in begins}
        self._answers.clear()
        self.positions.clear()
        self.candidates.clear()

    def take(self, chunks: Mapping[Partition, Sequence[ConsumedRecord]], now_s: float) -> None:
        """Take in results as they were read. Never raises for what is wrong with one."""
        for place, records in chunks.items():
            partition = (place[0], place[1])
            if partition not in self._begins:
                continue
            for record in records:
                self._take(partition, record, now_s)
            if records and records[-1].offset >= self._begins[partition]:
                self.positions[partition] = records[-1].offset + 1

    def settle(self) -> None:
        """All that waits was dealt with."""
        self.candidates.clear()

    def overdue(self, now_s: float) -> Mapping[Partition, Sequence[int]]:
        """Return offsets of frames that had no result in time, by the partition of frames."""
        due = {partition: answers.overdue(now_s) for partition, answers in self._answers.items()}
        return {partition: offsets for partition, offsets in due.items() if offsets}

    def _take(self, partition: Partition, record: ConsumedRecord, now_s: float) -> None:
        is_fresh = record.offset >= self._begins[partition]
        message = result_of(record)
        if message is None:
            if is_fresh:
                self._metrics.result(OTHER_CAMERA, "unreadable")
            return
        source = message.source
        answers = self._answers.setdefault((source.topic, source.partition), Answers(self._archive.missing_after_s))
        if answers.answered(source.offset, now_s):
            self._metrics.late()
        seen = self._seen[partition]
        is_repeat = message.result_id in seen
        seen[message.result_id] = None
        if len(seen) > MOST_SEEN:
            seen.popitem(last=False)
        if not is_fresh:
            return
        camera = camera_of(message)
        if is_repeat:
            self._metrics.result(camera, "repeat")
            return
        refused = refusal_of(
            message, accept_simulated=self._archive.accept_simulated, max_age_days=self._archive.max_age_days
        )
        if refused is not None:
            self._metrics.result(camera, refused)
            return
        candidate = Candidate(message, worth_of(message, near=self._archive.near))
        self.candidates.setdefault(partition, []).append(candidate)

    def waiting(self) -> Iterator[Candidate]:
        """Yield every candidate."""
        for candidates in self.candidates.values():
            yield from candidates


def camera_of(message: DLResultMessage) -> str:
    """Return `line_id/camera_id`, the camera's name in metrics."""
    return f"{message.line_id}/{message.camera_id}"
