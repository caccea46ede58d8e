"""How a job tells its caller how far it is."""

from __future__ import annotations

from typing import Protocol


class StageProgress(Protocol):
    """Called from the job's thread whenever an item of a stage is finished."""

    def __call__(self, stage: str, done: int, total: int) -> None:
        """`done` of `total` items of `stage` are finished."""
