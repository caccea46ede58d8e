"""Who changed what, when, from what to what: the value of a record of the topic `inspection.audit`, in a chain of hashes.

A camera's chain is written by everybody who changes its model; a process's chain, which tells what it did with releases, by that process alone.
Each record contains the hash of the previous record of its chain, so none can be changed, left out or inserted without notice. If two
records have the same position in a camera's chain, the first in the topic counts; the other came too late and changed nothing.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, Final, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from schemas.base import Count, Digest, Id, Message, TimeUs
from schemas.releases.release import By, CameraModels

MAX_DETAIL_CHARACTERS: Final = 500

ChangeAction = Literal["release", "shadow", "canary", "rollback", "settings"]
"""A camera's chain: what an operator did."""
OutcomeAction = Literal["applied", "refused"]
"""A process's chain: what became of it there."""
TrialOutcome = Literal["begun", "refused", "ended"]
"""What became of a model on trial in the shadow: it scores; it did not begin; it was given up."""
AuditAction = Literal["release", "shadow", "canary", "rollback", "settings", "applied", "refused"]


def _clip(detail: object) -> object:
    """Shorten a text: an error's message must never be the reason why its record fails."""
    if not isinstance(detail, str):
        return detail
    return detail[:MAX_DETAIL_CHARACTERS].encode("utf-8", "replace").decode()


class AuditRecord(Message):
    """One link of a chain.

    `chain` is `camera:LINE/CAMERA` for changes, in the order of their release numbers, and `process:DEPLOYMENT/INSTANCE` for
    what one inspector did with them. `previous_hash` is null exactly at position 0.
    """

    chain: Annotated[str, Field(pattern=r"^(camera|process):[A-Za-z0-9_-]{1,64}/[A-Za-z0-9_-]{1,64}$")]
    position: Count
    previous_hash: Digest | None
    action: AuditAction
    line_id: Id
    camera_id: Id
    number: Annotated[Count, Field(ge=1, description="Of the release that this is about")]
    by: By
    at: TimeUs
    old: CameraModels | None = Field(description="What was before; null for what became of a release")
    new: CameraModels | None = Field(description="What is from now on; null where a process refused it")
    detail: Annotated[
        str,
        BeforeValidator(_clip),
        Field(max_length=MAX_DETAIL_CHARACTERS, description="For people to read; cut off at 500 characters"),
    ] = ""
    trial: Annotated[
        TrialOutcome | None,
        Field(
            exclude_if=lambda value: value is None,
            description="Where this is about the model on trial in the shadow alone, what became of it: begun (action applied), refused or "
            "ended (action refused). What judges is not concerned. Absent for all else",
        ),
    ] = None

    @model_validator(mode="after")
    def _check_link(self) -> Self:
        if (self.previous_hash is None) != (self.position == 0):
            raise ValueError("previous_hash is null exactly at position 0")
        is_outcome = self.action in {"applied", "refused"}
        if is_outcome != self.chain.startswith("process:"):
            raise ValueError(f"action {self.action} does not belong to the chain {self.chain}")
        if self.trial is not None and self.action != ("applied" if self.trial == "begun" else "refused"):
            raise ValueError(f"a trial that is {self.trial} does not belong to the action {self.action}")
        if not is_outcome and (self.old is None or self.new is None):
            raise ValueError("a change must say what was before and what is from now on")
        if not is_outcome and self.chain != camera_chain(self.line_id, self.camera_id):
            raise ValueError(f"a change of {self.line_id}/{self.camera_id} does not belong to the chain {self.chain}")
        if not is_outcome and self.position != self.number - 1:
            raise ValueError(
                f"release {self.number} of a camera must be at position {self.number - 1}, not {self.position}"
            )
        return self


def camera_chain(line_id: str, camera_id: str) -> str:
    """Return the name of a camera's chain."""
    return f"camera:{line_id}/{camera_id}"


def audit_hash(value: bytes) -> str:
    """Return the hash of a record of the audit topic: SHA-256 of its value, as it was written, in lower-case hexadecimal."""
    return hashlib.sha256(value).hexdigest()
