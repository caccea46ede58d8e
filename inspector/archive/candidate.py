"""Decides from a result whether its picture is worth keeping, and makes the row of the index from both. Pure."""

from __future__ import annotations

import hashlib
from typing import Literal, NamedTuple

from inspector.archive.picture import PictureFile
from schemas import CameraFrame, DLResultMessage, image_digest
from schemas.archive.layout import ArchivedImage, archive_name, day_folder, day_of
from schemas.archive.row import ArchiveRow

Worth = Literal["nok", "near", "ok", "uninspected"]
"""`nok` and `near` are kept, of `ok` and `uninspected` a sample."""

Refused = Literal["nameless", "simulated", "odd_time"]
"""Why a picture is not kept, whatever its verdict."""

_DAY_US = 24 * 3600 * 1_000_000


class Candidate(NamedTuple):
    """The first result about a picture that has a place in the archive."""

    message: DLResultMessage
    """Its identity is complete."""
    worth: Worth

    @property
    def day(self) -> str:
        """Folder of the picture's day, relative to the archive's root."""
        message = self.message
        return str(day_folder(message.line_id or "", message.camera_id or "", day_of(message.captured_at or 0)))


def worth_of(message: DLResultMessage, *, near: float) -> Worth:
    """Return what kind of picture this is.

    Args:
        message: the first result about it.
        near: an ok picture is near the threshold from a score of (1 - near) x classification_threshold on.
    """
    if message.status != "inspected":
        return "uninspected"
    if message.anomaly_class == "nok":
        return "nok"
    score, threshold = message.anomaly_score, message.classification_threshold
    is_near = score is not None and threshold is not None and score >= (1 - near) * threshold
    return "near" if is_near else "ok"


def refusal_of(message: DLResultMessage, *, accept_simulated: bool, max_age_days: int) -> Refused | None:
    """Return why a picture has no place in the archive; None: it has one.

    A capture time that lies far from its verdict's would open a folder for a day on which the camera took no picture.
    """
    if not message.identity.is_complete or message.captured_at is None:
        return "nameless"
    if message.is_simulated and not accept_simulated:
        return "simulated"
    age_us = message.produced_at - message.captured_at
    return None if -_DAY_US <= age_us <= max_age_days * _DAY_US else "odd_time"


def row_of(candidate: Candidate, frame: CameraFrame, image: bytes, picture: PictureFile) -> ArchiveRow:
    """Return the row of a picture.

    Args:
        candidate: its result, and what it is kept for.
        frame: the frame itself.
        image: the bytes that the camera sent.
        picture: what is written.
    """
    message, worth = candidate
    archived = ArchivedImage(
        frame.line_id,
        frame.camera_id,
        frame.part_id,
        frame.seq,
        frame.captured_at,
        message.anomaly_class,
        picture.suffix,
    )
    sent_digest = image_digest(image)
    model = message.model
    return ArchiveRow(
        result_id=message.result_id,
        line_id=frame.line_id,
        camera_id=frame.camera_id,
        part_id=frame.part_id,
        seq=frame.seq,
        captured_at=frame.captured_at,
        file=str(archive_name(archived, is_inspected=worth != "uninspected")),
        file_digest=sent_digest if frame.raw is None else hashlib.sha256(picture.content).hexdigest(),
        file_bytes=len(picture.content),
        image_digest=sent_digest,
        encoding=frame.encoding,
        pixel_format=None if frame.raw is None else frame.raw.pixel_format,
        is_sample=worth != "nok",
        is_near=worth == "near",
        status=message.status,
        reason=message.reason,
        anomaly_class=message.anomaly_class,
        anomaly_score=message.anomaly_score,
        classification_threshold=message.classification_threshold,
        segmentation_threshold=message.segmentation_threshold,
        model_name=None if model is None else model.name,
        model_version=None if model is None else model.version,
        model_digest=None if model is None else model.digest,
        deadline_at=message.deadline_at,
        produced_at=message.produced_at,
        deployment=message.deployment,
        is_simulated=message.is_simulated,
        source_topic=message.source.topic,
        source_partition=message.source.partition,
        source_offset=message.source.offset,
    )
