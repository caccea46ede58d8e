"""An error that sticks to the device is taken for one of a picture: frames are answered, none is scored any more."""

from __future__ import annotations

from typing import Any

from inspector.stages import score


def install() -> None:
    """Let no device ever be lost."""
    owner: Any = score
    found = owner.device_fault

    def overlooked(error: BaseException) -> str:
        fault: str = found(error)
        return "other" if fault == "lost" else fault

    owner.device_fault = overlooked
