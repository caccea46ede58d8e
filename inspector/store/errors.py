"""The reasons why a picture cannot be fetched.

ClaimError
"""

from __future__ import annotations

from typing import Literal

ClaimReason = Literal["image_refused", "image_missing", "image_mismatch", "image_unreachable"]


class ClaimError(Exception):
    """A picture that is not fetched; `reason` is the verdict's, the text a sentence for its dead letter."""

    def __init__(self, reason: ClaimReason, text: str) -> None:
        super().__init__(text)
        self.reason = reason


def shown(uri: str) -> str:
    """Return a URI as a sentence may quote it: ASCII, and not endless."""
    return ascii(uri)[:300]
