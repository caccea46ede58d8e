"""How a job reports its progress to its caller."""

from __future__ import annotations

from typing import Protocol


class StageProgress(Protocol):
    """Called from the job's thread whenever an item of a stage is finished.

    A stage is told from others by its name up to ": "; what follows is news of it, such as "fit: error 0.0312".
    """

    def __call__(self, stage: str, done: int, total: int) -> None:
        """`done` of `total` items of `stage` are finished."""


def silent(stage: str, done: int, total: int) -> None:
    """Nobody watches."""
