"""A look at the ends of partitions: what fails is tried again, and what is held of it is bounded."""

from __future__ import annotations

from typing import Any

import pytest

from inspector.bus import tail as tail_module
from inspector.bus.tail import KafkaTail
from inspector.errors import ConfigError
from inspector.settings.kafka import KafkaSettings


async def test_a_secret_that_is_being_replaced_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = 0

    def read_in_vain(*_arguments: Any, **_options: Any) -> Any:
        nonlocal asked
        asked += 1
        raise ConfigError("kafka.sasl_password_file: it is empty")

    monkeypatch.setattr(tail_module, "consumer_client", read_in_vain)
    tail = KafkaTail(KafkaSettings())
    for _ in range(2):
        with pytest.raises(ConfigError, match="it is empty"):
            await tail.look([("results", 0)], most=1)
    assert asked == 2
    await tail.stop()
