"""Which picture a message is about, and the identifier that all results about it share."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Annotated, NamedTuple, Self

from pydantic import Field, model_validator

from schemas.base import (
    ID_PATTERN,
    MAX_CAPTURED_AT,
    MAX_INTEGER,
    CaptureTimeUs,
    Count,
    Id,
    Message,
    RecordSource,
    ResultId,
)

IDENTITY_FIELDS = ("line_id", "camera_id", "part_id", "seq", "captured_at")

_ID = re.compile(ID_PATTERN.removeprefix("^").removesuffix("$"))


class Identity(NamedTuple):
    """What is known of the frame that a message is about; None for each field that could not be read."""

    line_id: str | None = None
    camera_id: str | None = None
    part_id: str | None = None
    seq: int | None = None
    captured_at: int | None = None

    @property
    def is_complete(self) -> bool:
        """Whether nothing is missing."""
        return None not in self


def identity_of_fields(fields: Mapping[str, object]) -> Identity:
    """Return the identity as far as the fields of an otherwise invalid message tell it; never raises."""
    return Identity(
        line_id=_id(fields.get("line_id")),
        camera_id=_id(fields.get("camera_id")),
        part_id=_id(fields.get("part_id")),
        seq=_integer(fields.get("seq"), MAX_INTEGER),
        captured_at=_integer(fields.get("captured_at"), MAX_CAPTURED_AT),
    )


def _id(value: object) -> str | None:
    return value if isinstance(value, str) and _ID.fullmatch(value) else None


def _integer(value: object, largest: int) -> int | None:
    return value if type(value) is int and 0 <= value <= largest else None


def result_id_of_frame(line_id: str, camera_id: str, part_id: str, seq: int, captured_at: int) -> str:
    """Return the identifier of all results about one picture: 32 hexadecimal digits.

    BLAKE2b with a 16-byte digest (not a shortened longer one) over the fields `frame`, line_id, camera_id, part_id,
    seq, captured_at. Each field goes in as its length (4 bytes, big-endian) and its UTF-8 bytes, integers as decimal
    digits. The model takes no part in it: a frame delivered again across a change of model keeps its identifier.
    `vectors/result_ids.json` has examples.
    """
    return _digest_of_fields("frame", line_id, camera_id, part_id, str(seq), str(captured_at))


def result_id_of_record(topic: str, partition: int, offset: int) -> str:
    """Return the identifier of results about a record whose frame is unknown: 32 hexadecimal digits.

    Computed as `result_id_of_frame`, over the fields `record`, topic, partition, offset.
    """
    return _digest_of_fields("record", topic, str(partition), str(offset))


def result_id_of(identity: Identity, source: RecordSource) -> str:
    """Return the identifier by frame where the whole identity is known, else by record."""
    line_id, camera_id, part_id, seq, captured_at = identity
    if line_id is None or camera_id is None or part_id is None or seq is None or captured_at is None:
        return result_id_of_record(source.topic, source.partition, source.offset)
    return result_id_of_frame(line_id, camera_id, part_id, seq, captured_at)


def _digest_of_fields(*fields: str) -> str:
    encoded = [field.encode() for field in fields]
    framed = b"".join(len(field).to_bytes(4, "big") + field for field in encoded)
    return hashlib.blake2b(framed, digest_size=16).hexdigest()


class FrameAnswer(Message):
    """What results and dead letters share: the record they answer, and the frame where it could be read."""

    result_id: Annotated[ResultId, Field(description="By frame where the identity is complete, else by record")]
    source: RecordSource
    line_id: Id | None
    camera_id: Id | None
    part_id: Id | None
    seq: Count | None
    captured_at: CaptureTimeUs | None

    @property
    def identity(self) -> Identity:
        """The frame that this message is about."""
        return Identity(self.line_id, self.camera_id, self.part_id, self.seq, self.captured_at)

    @model_validator(mode="after")
    def _check_result_id(self) -> Self:
        expected = result_id_of(self.identity, self.source)
        if self.result_id != expected:
            raise ValueError(f"result_id is {self.result_id}, but it must be {expected} for this identity and source")
        return self
