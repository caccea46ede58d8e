"""Which models judge a camera, and how: the value of a record of the compacted topic `inspection.models`."""

from __future__ import annotations

import hashlib
from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator

from schemas.base import MAX_BUDGET_US, Count, Digest, Id, Message, StrictModel, TimeUs
from schemas.result import ModelReference

MAX_URL_CHARACTERS: Final = 1024
MAX_BY_CHARACTERS: Final = 128

CandidateRole = Literal["shadow", "canary"]

By = Annotated[
    str,
    Field(
        min_length=1,
        max_length=MAX_BY_CHARACTERS,
        pattern=r"^[!-~]+( [!-~]+)*$",
        description="Who did it: printable ASCII",
    ),
]
BundleUrl = Annotated[
    str,
    Field(
        max_length=MAX_URL_CHARACTERS,
        pattern=r"^(s3|file)://[!-~]+/$",
        description="Folder of the bundle in the store, with / at its end",
    ),
]


class BundleReference(StrictModel):
    """A bundle in the store. `model.digest` decides: a bundle with another digest is not accepted."""

    model: ModelReference
    url: BundleUrl


class Candidate(StrictModel):
    """A model on trial, beside the active one.

    `shadow`: it scores the camera's frames as far as the device has time, and its verdicts go to a topic of their own.
    `canary`: it judges the parts whose share (`part_share`) lies below `percent` / 100, in place of the other.
    """

    bundle: BundleReference
    role: CandidateRole
    percent: (
        Annotated[float, Field(gt=0, lt=100, description="Of the parts; exactly where the role is canary")] | None
    ) = None

    @model_validator(mode="after")
    def _check_percent(self) -> Self:
        if (self.percent is not None) != (self.role == "canary"):
            raise ValueError("percent is given exactly where role is canary")
        return self


class LiveChanges(StrictModel):
    """Values that override the bundle and the inspector's settings; null: not overridden. A candidate keeps its own threshold."""

    classification_threshold: (
        Annotated[float, Field(gt=0, lt=1, description="Scores of the active model from here on are nok")] | None
    ) = None
    budget_us: Annotated[int, Field(ge=1, le=MAX_BUDGET_US, description="From capture to verdict, µs")] | None = None


class CameraModels(StrictModel):
    """Which models judge a camera's frames.

    If `active` is null, the model of the inspector's settings is used. `previous` is what a rollback goes back to.
    """

    active: BundleReference | None
    candidate: Candidate | None = None
    changes: LiveChanges = LiveChanges()
    previous: BundleReference | None = None


class ModelRelease(Message):
    """How a camera is judged from now on. It is complete, so only the last record of each key counts.

    The key of the record is `line_id/camera_id`. `number` grows by one with each release of a camera; a reader that has
    applied one ignores what has the same number or a lower one. `audit_hash` is the hash of the audit record that says what
    was changed (`schemas.releases.audit`), so the chain of these cannot be cut off at its end without being seen.
    """

    line_id: Id
    camera_id: Id
    number: Annotated[Count, Field(ge=1)]
    models: CameraModels
    released_by: By
    released_at: TimeUs
    audit_hash: Digest

    @property
    def camera(self) -> str:
        """`line_id/camera_id`: the key of its record."""
        return f"{self.line_id}/{self.camera_id}"


def part_share(part_id: str) -> float:
    """Return a number between 0 and 1 for a part, the same for each of its pictures, on every camera and in every process.

    BLAKE2b with an 8-byte digest over the UTF-8 bytes of `part_id`, as a big-endian integer, divided by 2^64. A canary of p
    percent judges the parts whose share is below p / 100; a larger p adds parts and removes none.
    """
    return int.from_bytes(hashlib.blake2b(part_id.encode(), digest_size=8).digest(), "big") / 2**64
