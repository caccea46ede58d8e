"""The reasons why a release is not applied; the present model then goes on judging.

InspectorError
 +-- ReleaseRefusedError
"""

from __future__ import annotations

from typing import Literal, get_args

from inspector.bundles.errors import BundleStoreError, StoreReason
from inspector.errors import InspectorError

ModelReason = Literal["bundle", "golden", "thresholds", "geometry", "memory", "shadow"]
RefusalReason = StoreReason | ModelReason

REASONS: tuple[str, ...] = (*get_args(StoreReason), *get_args(ModelReason))
"""All of them, for labels of metrics."""


class ReleaseRefusedError(InspectorError):
    """A bundle that was fetched and is not to judge this camera; the text is a sentence for the operator."""

    def __init__(self, reason: ModelReason, sentence: str) -> None:
        super().__init__(sentence)
        self.reason: RefusalReason = reason
        self.is_final = reason != "memory"
        """Whether another try gives the same answer."""


Refused = ReleaseRefusedError | BundleStoreError
"""All that keeps the model before in its place."""
