"""A frame inside the service, for tests of what looks at no picture."""

from __future__ import annotations

from inspector.inflight.budget import Reservation
from inspector.inflight.frame import Frame
from inspector.inflight.lease import Lease
from schemas import Identity, RecordSource


def inflight_frame(reservation: Reservation, *, expected_score: float | None = None) -> Frame:
    """Return a frame of `line/a` that nobody has begun; with `expected_score` it is a heartbeat."""
    return Frame(
        lease=Lease(("frames", 0), 1, cap=10),
        source=RecordSource(topic="frames", partition=0, offset=0),
        key=None,
        value=None,
        identity=Identity(),
        camera="line/a",
        deadline_at=None,
        deadline_s=100.0,
        reservation=reservation,
        expected_score=expected_score,
    )
