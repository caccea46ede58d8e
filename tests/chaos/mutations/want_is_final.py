"""A batch that does not fit is refused as a whole, not halved."""

from __future__ import annotations

from typing import Any

from inspector.stages import score


def install() -> None:
    """Let the first attempt be the last."""
    owner: Any = score

    def refuse_all(self: Any, model: Any, images: Any, trouble: Any) -> list[Any]:
        self._exceeded(model, len(images))
        return [owner._refusal(trouble) for _ in images]

    owner.Engine._in_parts = refuse_all
