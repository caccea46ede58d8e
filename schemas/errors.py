"""What can be wrong with the bytes of a message.

SchemaError
 +-- MalformedMessageError  not msgpack, or content that breaks a rule of the contract
 +-- WrongVersionError      a version of the contract that this reader does not know
 +-- LimitExceededError     larger, longer or with more parts than the contract allows
"""

from __future__ import annotations

from typing import ClassVar, Literal

from schemas.identity import Identity

SchemaReason = Literal["malformed", "wrong_version", "too_large"]

MAX_ERROR_TEXT = 500


class SchemaError(Exception):
    """Root of all errors of this package.

    Reading the same bytes again fails in the same way. `reason` fits the `reason` of an
    `undecodable` result and of a dead letter. `identity` is what could be read of the frame's identity in a body that is a
    map of this version but breaks another rule, else all None. The text never quotes image bytes and is at most 500 characters long.
    """

    reason: ClassVar[SchemaReason] = "malformed"

    def __init__(self, text: str, *, identity: Identity = Identity()) -> None:  # noqa: B008 - immutable
        self.identity = identity
        super().__init__(text if len(text) <= MAX_ERROR_TEXT else text[: MAX_ERROR_TEXT - 1] + "…")


class MalformedMessageError(SchemaError):
    """The bytes are not msgpack, or the content breaks a rule of the contract."""


class WrongVersionError(SchemaError):
    """The message has another version; update the older side."""

    reason: ClassVar[SchemaReason] = "wrong_version"


class LimitExceededError(SchemaError):
    """The message is larger, longer or has more parts than the contract allows."""

    reason: ClassVar[SchemaReason] = "too_large"
