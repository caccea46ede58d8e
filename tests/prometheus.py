"""Programs of Prometheus that a test needs: skipped without, and a failure where CI says that they must be there."""

from __future__ import annotations

import os

import pytest

from deploy.local.prometheus import PrometheusMissingError, find_program


def required_program(name: str) -> str:
    """Return the path of a program; where it is missing the test is skipped, or fails under REQUIRE=prometheus."""
    try:
        return find_program(name)
    except PrometheusMissingError as exc:
        if "prometheus" in os.environ.get("REQUIRE", "").split(","):
            pytest.fail(f"REQUIRE=prometheus, but {exc}")
        pytest.skip(f"{exc}; REQUIRE=prometheus makes this a failure")
