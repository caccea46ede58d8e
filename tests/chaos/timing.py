"""How long cameras were silent, from the broker's stamps on their results."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence

from tests.chaos.checker import Record, body_of

UNSORTED_MS = 5000
"""How far the records of two partitions may lie out of order in the list of a tail."""


def camera_of(record: Record) -> str:
    """Return `line/camera` of a result."""
    body = body_of(record) or {}
    return f"{body.get('line_id')}/{body.get('camera_id')}"


def longest_gaps_s(records: Sequence[Record], cameras: Iterable[str], since_ms: int) -> dict[str, float]:
    """Return the longest time between two results of each camera since a moment, that from the moment to the first included."""
    times: dict[str, list[int]] = {camera: [since_ms] for camera in cameras}
    for record in reversed(records):
        if record.timestamp_ms < since_ms - UNSORTED_MS:
            break
        if record.timestamp_ms >= since_ms and (camera := camera_of(record)) in times:
            times[camera].append(record.timestamp_ms)
    return {camera: longest(sorted(found)) / 1000 for camera, found in times.items()}


def longest(times: Sequence[int]) -> int:
    """Return the longest step of a rising sequence."""
    return max((after - before for before, after in itertools.pairwise(times)), default=0)


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that `share` (0 to 1) of the values do not exceed."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]
