"""Async tests of the stages run in made-up time: waiting costs nothing, and what nobody will ever end is noticed at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import pytest

from tests.virtual_time import VirtualLoop


def pytest_asyncio_loop_factories(
    config: pytest.Config,
    item: pytest.Item,
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Give each async test a loop that leaps to its next timer. A test in which a thread has a part calls `asyncio.run`."""
    return {"virtual": VirtualLoop}
