"""A frame that could not be inspected, kept for people: the value of a record of the dead letters topic."""

from __future__ import annotations

import hashlib
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from schemas.base import Count, Digest, RecordSource, TimeUs
from schemas.identity import FrameAnswer, Identity, result_id_of
from schemas.result import REASONS, Reason

DeadLetterStatus = Literal["undecodable", "no_model", "failed"]

MAX_KEY_BYTES = 1024
MAX_DETAIL_CHARACTERS = 500
MAX_VALUE_BYTES = 64 * 1024 * 1024


def _clip(detail: object) -> object:
    """Shorten and clean a text: an error's message must never be the reason why its dead letter fails."""
    if not isinstance(detail, str):
        return detail
    return detail[:MAX_DETAIL_CHARACTERS].encode("utf-8", "replace").decode()


class DeadLetter(FrameAnswer):
    """Why a record got the verdict `nok` unseen, and how to find the record again.

    There is no dead letter for `expired` or inspected frames. `value` is present only if the deployment
    keeps the bytes; otherwise `value_digest` identifies the record in an archive.
    """

    status: DeadLetterStatus
    reason: Reason
    detail: Annotated[
        str,
        BeforeValidator(_clip),
        Field(max_length=MAX_DETAIL_CHARACTERS, description="For people to read; cut off at 500 characters"),
    ] = ""
    key: Annotated[bytes, Field(max_length=MAX_KEY_BYTES)] | None = Field(
        description="Key of the record; null if it had none, or one longer than 1024 bytes"
    )
    value_digest: Annotated[Digest, Field(description="SHA-256 of the whole value of the record")]
    value_bytes: Annotated[Count, Field(description="Length of the whole value of the record")]
    value: Annotated[bytes, Field(max_length=MAX_VALUE_BYTES)] | None = None
    produced_at: TimeUs

    @classmethod
    def of_record(  # noqa: PLR0913 - one keyword for each fact about the record
        cls,
        *,
        source: RecordSource,
        key: bytes | None,
        value: bytes | None,
        identity: Identity,
        status: DeadLetterStatus,
        reason: Reason,
        detail: str,
        produced_at: int,
        keep_value: bool,
    ) -> Self:
        """Build the dead letter of a record as it came from Kafka, whatever its key and value are.

        Hashes the whole value: about 0.5 ms for a megabyte.
        """
        body = b"" if value is None else value
        return cls(
            result_id=result_id_of(identity, source),
            source=source,
            line_id=identity.line_id,
            camera_id=identity.camera_id,
            part_id=identity.part_id,
            seq=identity.seq,
            captured_at=identity.captured_at,
            status=status,
            reason=reason,
            detail=detail,
            key=key if key is not None and len(key) <= MAX_KEY_BYTES else None,
            value_digest=hashlib.sha256(body).hexdigest(),
            value_bytes=len(body),
            value=body if keep_value and len(body) <= MAX_VALUE_BYTES else None,
            produced_at=produced_at,
        )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.reason not in REASONS[self.status]:
            raise ValueError(f"reason {self.reason} does not belong to status {self.status}")
        if self.status != "undecodable" and not self.identity.is_complete:
            raise ValueError(
                f"a dead letter with status {self.status} identifies the frame, so no identity field may be null"
            )
        if self.value is not None and len(self.value) != self.value_bytes:
            raise ValueError(f"value has {len(self.value)} bytes, but value_bytes is {self.value_bytes}")
        return self
