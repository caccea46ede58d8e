"""Archives for tests: candidates with their pictures, rows, and a storage that fails where it is told to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from inspector.archive.candidate import Candidate, row_of, worth_of
from inspector.archive.holdings.keeper import Arrival
from inspector.archive.picture import picture_file
from inspector.archive.storage.folder import FolderStorage
from inspector.archive.storage.port import StorageError
from schemas import CameraFrame, DLResultMessage, RecordSource
from schemas.archive.row import ArchiveRow
from tests.encoded import encoded
from tests.messages import MODEL, message

NOON_US = 1_772_366_400_000_000
"""2026-03-01 12:00 UTC."""
DAY_US = 24 * 3600 * 1_000_000
NEAR = 0.1


def result_of(seq: int, score: float | None = 0.2, *, at_us: int = NOON_US, **changes: Any) -> DLResultMessage:
    """The result of frame `seq`, against a threshold of 0.5; no score: not inspected."""
    captured_at = at_us + seq
    fields: dict[str, Any] = {
        "part_id": f"part-{seq}",
        "seq": seq,
        "captured_at": captured_at,
        "deadline_at": captured_at + 1_000_000,
        "produced_at": captured_at + 42_000,
        "source": RecordSource(topic="inspection.frames", partition=0, offset=seq),
        "anomaly_score": score,
        "model": MODEL,
    }
    if score is None:
        fields |= {"status": "expired", "reason": "late_before_decode"}
    if score is None or score >= 0.5:
        fields |= {"anomaly_class": "nok", "anomaly_class_id": 1}
    return message(**(fields | changes))


def frame_of(result: DLResultMessage, image: bytes | None = None) -> CameraFrame:
    """The frame that a result is about; its picture says which."""
    line_id, camera_id, part_id, seq, captured_at = result.identity
    assert line_id is not None
    assert camera_id is not None
    assert part_id is not None
    assert seq is not None
    assert captured_at is not None
    return CameraFrame(
        line_id=line_id, camera_id=camera_id, part_id=part_id, seq=seq, captured_at=captured_at, encoding="png",
        image=b"picture %d" % seq if image is None else image, is_simulated=result.is_simulated,
    )  # fmt: skip


def candidate_of(seq: int, score: float | None = 0.2, **changes: Any) -> Candidate:
    """What the intake makes of a result."""
    result = result_of(seq, score, **changes)
    return Candidate(result, worth_of(result, near=NEAR))


def arrival_of(seq: int, score: float | None = 0.2, **changes: Any) -> Arrival:
    """A picture with its row."""
    candidate = candidate_of(seq, score, **changes)
    frame = frame_of(candidate.message)
    picture = picture_file(frame, frame.image)
    return Arrival(row_of(candidate, frame, frame.image, picture), picture.content)


def shown_arrival(seq: int, score: float | None, pixels: NDArray[np.uint8]) -> Arrival:
    """A picture that shows these pixels, as PNG, with its row."""
    candidate = candidate_of(seq, score)
    image = encoded(pixels, ".png")
    frame = frame_of(candidate.message, image)
    return Arrival(row_of(candidate, frame, image, picture_file(frame, image)), image)


def rows_of(arrivals: Iterable[Arrival]) -> list[ArchiveRow]:
    """The rows alone."""
    return [arrival.row for arrival in arrivals]


class KilledError(Exception):
    """The process is killed here."""


class FaultyStorage(FolderStorage):
    """A folder that fails, or whose process is killed, before or in the middle of its nth step."""

    steps_left: int | None = None
    fault: type[Exception] = StorageError

    def _step(self) -> None:
        if self.steps_left is not None:
            if self.steps_left == 0:
                raise self.fault("no more")
            self.steps_left -= 1

    @override
    def write(self, files: Mapping[str, bytes]) -> None:
        for name, content in files.items():
            self._step()
            super().write({name: content})

    @override
    def remove(self, names: Iterable[str]) -> None:
        for name in names:
            self._step()
            super().remove([name])
