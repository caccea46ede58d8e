"""The table of rights lets gates write results."""

from __future__ import annotations

from typing import Any

from inspector.clients import acls


def install() -> None:
    """Grant a gate one right too many."""
    owner: Any = acls
    owner.ROLES = {**acls.ROLES, "gate": (*acls.ROLES["gate"], acls.Right("results", ("Write",), "a flaw"))}
