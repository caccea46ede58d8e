"""Records are read by aiokafka's own reader, which ends at the first that it cannot read."""

from __future__ import annotations

from inspector.bus import records


def install() -> None:
    """Leave its reader where it is."""
    records.install = lambda: None
