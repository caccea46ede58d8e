"""A camera's verdicts go out as they come, not in the order of its frames."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from inspector.stages.sequence import Sequencer


def install() -> None:
    """Let every place release its outcome at once."""

    def complete(self: Sequencer[Any, Any], queue: Hashable, key: Any, outcome: Any) -> list[Any]:
        places = self._queues.get(queue)
        if places is None or places.pop(key, None) is None:
            return []
        if not places:
            del self._queues[queue]
        return [outcome]

    Sequencer.complete = complete  # type: ignore[method-assign]
