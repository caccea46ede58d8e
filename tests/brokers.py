"""Brokers that a test needs: skipped without, and a failure where CI says that they must be there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TypeVar

import pytest

from deploy.local.base import BrokerStartError

T = TypeVar("T")


@contextmanager
def required(running: AbstractContextManager[T]) -> Iterator[T]:
    """What `running` starts, for the duration of a block; where it does not start the test is skipped, or fails under REQUIRE=kafka."""
    try:
        broker = running.__enter__()
    except BrokerStartError as exc:
        if "kafka" in os.environ.get("REQUIRE", "").split(","):
            pytest.fail(f"REQUIRE=kafka, but {exc}")
        pytest.skip(str(exc))
    try:
        yield broker
    finally:
        running.__exit__(None, None, None)
