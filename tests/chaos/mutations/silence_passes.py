"""A gate that takes silence for consent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from inspector.gate.evidence import Evidence, Finding


def install() -> None:
    """Let a camera that says nothing say ok."""
    owner: Any = Evidence
    finding = owner.finding

    def lenient(self: Any, cameras: Iterable[str], *, not_before_us: int) -> Finding:
        found: Finding = finding(self, cameras, not_before_us=not_before_us)
        return Finding("ok") if found.why == "missing" else found

    owner.finding = lenient
