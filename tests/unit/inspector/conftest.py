"""What the unit tests of the inspector share."""

from __future__ import annotations

import os

import pytest


@pytest.fixture
def no_settings_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings come from what the test gives, not from the shell that runs it."""
    for name in [name for name in os.environ if name.upper().startswith("INSPECTOR_")]:
        monkeypatch.delenv(name)
