from __future__ import annotations

from typing import Any

import pytest

from inspector.loop import threads
from inspector.settings.settings import Settings


@pytest.mark.parametrize(
    ("settings", "cores", "device", "decode"),
    [
        ({}, 8, 8, 8),
        ({"torch_threads": 4}, 8, 2, 8),
        ({"torch_threads": 3}, 8, 2, 8),
        ({"torch_threads": 4}, 2, 1, 2),
        ({"device_threads": 3, "decode_threads": 1}, 8, 3, 2),
        ({}, 1, 1, 2),
        ({"decode_threads": 5}, 8, 8, 5),
        ({"device": "cuda"}, 8, 1, 8),
        ({"device": "cuda:1", "device_threads": 4}, 8, 1, 8),
    ],
)
def test_what_is_not_set_follows_the_machine(
    settings: dict[str, Any], cores: int, device: int, decode: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threads, "usable_cores", lambda: cores)
    chosen = Settings.model_validate(settings)
    assert (threads.device_threads(chosen), threads.decode_threads(chosen)) == (device, decode)
