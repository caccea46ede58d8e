"""What a frame was is kept when its verdict has been delivered: a leak."""

from __future__ import annotations

from typing import Any

from inspector.pipeline import Pipeline

KEPT_BYTES = 32 * 1024
kept: list[bytearray] = []


def install() -> None:
    """Keep as much as a small picture for each delivered frame, and touch it."""
    owner: Any = Pipeline
    delivered = owner.delivered

    def keeping(self: Any, outgoing: Any) -> None:
        delivered(self, outgoing)
        kept.append(bytearray(b"x" * KEPT_BYTES))

    owner.delivered = keeping
