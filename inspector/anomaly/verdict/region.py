"""From the model's map to the defective pixels of the picture: upsample, threshold, connect, leave out halos, code.

The region is defined by the full computation: enlarge the whole map to the picture's size and compare every pixel. Only the box
that can contain such pixels is really computed, with the same result to the bit.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from inspector.anomaly.domain.domain import DomainView, PixelBox
from inspector.anomaly.domain.mask import pixels_inside
from inspector.anomaly.errors import ParameterError
from inspector.anomaly.types import AnomalyRegion, RegionComponent
from inspector.anomaly.verdict.halo import halo_limits
from inspector.anomaly.verdict.runs import Runs, find_runs, run_length_code
from inspector.anomaly.verdict.upsample import axis_of, interpolate

MAX_COMPONENTS: Final = 256
"""Components listed in a region: the largest ones."""


def find_anomaly_region(
    anomaly_image: NDArray[np.float32],
    *,
    width: int,
    height: int,
    threshold: float,
    min_area: int = 1,
    view: DomainView | None = None,
) -> AnomalyRegion | None:
    """Return the pixels of the picture at or above `threshold`, or None where there are none. Thread safe.

    The halo of what is stronger is left out (`halo_limits`). That never leaves nothing: there is a region exactly where a component of
    the least area reaches the threshold.

    Values that are not finite count as 1, so a broken map cannot hide a defect.

    Args:
        anomaly_image: (h, w) float32 map in the model's size.
        width: Of the picture as taken, pixels.
        height: Of the picture as taken, pixels.
        threshold: Segmentation threshold; compared as float64.
        min_area: 8-connected components of fewer pixels at or above the threshold, halos included, are left out, in pixels of the
            picture.
        view: `DLResult.view`: where the map lies in the picture, and which pixels count.

    Raises:
        ParameterError: The map is not a float32 matrix, or the size is not positive.
    """
    if anomaly_image.ndim != 2 or anomaly_image.size == 0 or anomaly_image.dtype != np.float32:  # noqa: PLR2004
        raise ParameterError(
            f"anomaly_image must be a float32 matrix, got {anomaly_image.dtype} of shape {anomaly_image.shape}"
        )
    if width < 1 or height < 1:
        raise ParameterError(f"a picture must have at least one pixel, got {width} x {height}")
    limit = _smallest_float32(threshold)
    # Most pictures are ok, and done with here. NaN is not less.
    if anomaly_image.max() < limit and anomaly_image.min() > -np.inf:
        return None
    # Transposed throughout: the code runs down the columns, which so lie in memory one after the other.
    scores = np.ascontiguousarray(anomaly_image.T)
    if not np.isfinite(scores).all():
        scores = np.where(np.isfinite(scores), scores, np.float32(1.0))
    candidates = scores >= limit
    if not candidates.any():
        return None  # a broken map counts as 1, which a threshold may be above
    # `interpolate` never exceeds the largest of the values it is between, so all pixels of the region are in this box.
    box = PixelBox(0, 0, width, height) if view is None else view.box(width, height)
    columns, rows = axis_of(box.width, scores.shape[0]), axis_of(box.height, scores.shape[1])
    across, down = columns.reach(candidates.max(axis=1)), rows.reach(candidates.max(axis=0))
    if across.start == across.stop or down.start == down.stop:
        return None  # the picture is smaller than the map, and no pixel of it is near
    values = interpolate(scores, columns.part(across), rows.part(down))
    origin = (box.x + across.start, box.y + down.start)
    if view is not None and not view.is_all:
        inside = pixels_inside(view.domain, width, height).T
        part = slice(origin[0], origin[0] + values.shape[0]), slice(origin[1], origin[1] + values.shape[1])
        np.copyto(values, np.float32(-np.inf), where=~inside[part])
    runs = find_runs(values, limit, origin)
    runs = None if runs is None else _large_enough(runs, min_area)
    if runs is None:
        return None
    limits = halo_limits(scores)
    if limits.max() > limit:
        # Those of the picture lie between those of the map, as its values do.
        is_halo = values < interpolate(limits, columns.part(across), rows.part(down))
        np.copyto(values, np.float32(-np.inf), where=is_halo | ~_inside(runs, values.shape, origin))
        # A peak between the pixels of a small picture may leave none of them.
        runs = find_runs(values, limit, origin) or runs
    return _region(runs, (width, height))


def _smallest_float32(threshold: float) -> np.float32:
    """Return the smallest float32 that is not below `threshold`: comparing with it is comparing as float64.

    numpy would round the threshold to the nearest float32, which may lie on the other side of a map's value.
    """
    nearest = np.float32(threshold)
    return nearest if float(nearest) >= threshold else np.nextafter(nearest, np.float32(np.inf))


def _large_enough(runs: Runs, min_area: int) -> Runs | None:
    """Return the runs of components with this many pixels; None if there are none."""
    kept = _areas(runs) >= max(min_area, 1)  # label 0 is the background, which no run has
    return runs.only(kept[runs.label]) if kept.any() else None


def _areas(runs: Runs) -> NDArray[np.int64]:
    """The pixels of each label."""
    area = np.zeros(int(runs.label.max()) + 1, np.int64)
    np.add.at(area, runs.label, runs.stop - runs.start)
    return area


def _inside(runs: Runs, shape: tuple[int, int], origin: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the pixels of the runs in the transposed part of the picture that starts at `origin` (x, y)."""
    steps = np.zeros((shape[0], shape[1] + 1), np.int8)
    steps[runs.column - origin[0], runs.start - origin[1]] = 1
    steps[runs.column - origin[0], runs.stop - origin[1]] = -1
    inside: NDArray[np.bool_] = np.cumsum(steps[:, :-1], axis=1, dtype=np.int8) > 0
    return inside


def _region(runs: Runs, size: tuple[int, int]) -> AnomalyRegion:
    """List the largest components, code all."""
    area = _areas(runs)
    count = len(area)
    left, top = np.full(count, size[0]), np.full(count, size[1])
    right, bottom = np.zeros(count, np.int64), np.zeros(count, np.int64)
    max_score = np.zeros(count, np.float32)
    np.minimum.at(left, runs.label, runs.column)
    np.maximum.at(right, runs.label, runs.column + 1)
    np.minimum.at(top, runs.label, runs.start)
    np.maximum.at(bottom, runs.label, runs.stop)
    np.maximum.at(max_score, runs.label, runs.max_score)
    found = np.flatnonzero(area)
    largest_first = found[np.lexsort((left[found], top[found], -area[found]))]
    components = tuple(
        RegionComponent(
            x=int(left[i]),
            y=int(top[i]),
            width=int(right[i] - left[i]),
            height=int(bottom[i] - top[i]),
            area=int(area[i]),
            max_score=min(float(max_score[i]), 1.0),
        )
        for i in largest_first[:MAX_COMPONENTS]
    )
    return AnomalyRegion(
        width=size[0],
        height=size[1],
        area=int(area.sum()),
        counts=run_length_code(runs, size),
        components=components,
        num_components=len(found),
    )
