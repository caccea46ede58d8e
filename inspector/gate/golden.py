"""Whether a heartbeat counts: it must be a verdict in time, on the picture of the model, with the expected score. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from schemas import DLResultMessage, expected_score_from_headers

TOLERANCE = 1e-3
"""Of raw distances, as a bundle's golden samples have when they are loaded: a score of x / (x + s) gives back x / s."""


class Beat(NamedTuple):
    """A heartbeat that came in time."""

    fault: str | None
    """What is wrong with its verdict, as a sentence."""


def beat_of(
    message: DLResultMessage, headers: Sequence[tuple[str, bytes | None]], now_us: int, *, skew_us: int
) -> Beat | None:
    """Return what a heartbeat says; None where it says nothing: it is late, from the future, or no picture was scored."""
    expected = expected_score_from_headers(headers)
    score, captured_at, deadline_at = message.anomaly_score, message.captured_at, message.deadline_at
    if expected is None or score is None or captured_at is None or deadline_at is None:
        return None
    if captured_at > now_us + skew_us or now_us > deadline_at:
        return None
    if math.isclose(_distance(score), _distance(expected), rel_tol=TOLERANCE, abs_tol=TOLERANCE):
        return Beat(None)
    return Beat(
        f"the picture stored with the model of camera {message.camera_id} scores {score:.6g}, not {expected:.6g}"
    )


def _distance(score: float) -> float:
    return score / (1 - score) if score < 1 else math.inf
