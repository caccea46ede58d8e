"""A topic that was deleted and made again is taken for the one before."""

from __future__ import annotations

from typing import Any

from inspector.bus.consumer import KafkaConsumer


def install() -> None:
    """Let every topic of the name be the same."""

    def is_another(self: KafkaConsumer, now: Any) -> bool:
        return False

    KafkaConsumer._is_another = is_another  # type: ignore[method-assign]
