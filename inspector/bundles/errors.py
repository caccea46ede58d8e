"""What keeps a bundle from being uploaded or fetched.

InspectorError
 +-- BundleStoreError
"""

from __future__ import annotations

from typing import Final, Literal

from inspector.errors import InspectorError

StoreReason = Literal[
    "not_allowed", "unreachable", "missing", "too_large", "digest", "signature", "manifest", "no_room"
]

_WORTH_ANOTHER_TRY: Final = frozenset({"unreachable", "no_room"})


class BundleStoreError(InspectorError):
    """A bundle that was not uploaded or fetched; the text is a sentence for the operator."""

    def __init__(self, reason: StoreReason, sentence: str) -> None:
        super().__init__(sentence)
        self.reason: StoreReason = reason

    @property
    def is_final(self) -> bool:
        """Whether another try gives the same answer: the bundle is to blame, not the store."""
        return self.reason not in _WORTH_ANOTHER_TRY
