"""A batch that was given to the device, and its results."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from inspector.anomaly.domain.domain import DomainView
from inspector.anomaly.domain.score import domain_score
from inspector.anomaly.model.stitch import TiledDistances, highest_score, joined, mapped
from inspector.anomaly.types import DLResult, ScoreScale
from inspector.anomaly.verdict.score import ScoreRule

_BELOW_1 = 1.0 - 2.0**-24  # the largest float32 below 1


class PendingScores:
    """A batch that was launched; on a GPU it may still be running.

    Args:
        maps: Distances, each (B, H, W) of some of the pictures; they are used up.
        raw_scores: (N,) float64, one a picture.
        scale: Brings both to [0, 1).
        view: How the model looks at its domain; None where everything counts.
    """

    def __init__(
        self, maps: Sequence[Tensor], raw_scores: Tensor, scale: ScoreScale, view: DomainView | None = None
    ) -> None:
        self._scale = scale
        self._view = view
        # A quotient that rounds to 1 stays below it, as scores do; NaN stays NaN.
        scored = [distances.div_(distances + scale.s).clamp_max_(_BELOW_1) for distances in maps]
        self._maps = [some.to("cpu", non_blocking=True) for some in scored]
        self._raw_scores = raw_scores.to("cpu", non_blocking=True)
        self._done = torch.cuda.Event() if raw_scores.is_cuda else None  # type: ignore[no-untyped-call]
        if self._done is not None:
            self._done.record()

    def finish(self) -> list[DLResult]:
        """Wait for the batch; one result a picture, in their order. On the thread that launched it."""
        if self._done is not None:
            self._done.synchronize()
        maps = [anomaly_image for some in self._maps for anomaly_image in some.numpy()]
        return [
            DLResult(anomaly_score=self._scale.to_score(raw), anomaly_image=anomaly_image, view=self._view)
            for raw, anomaly_image in zip(self._raw_scores.tolist(), maps, strict=True)
        ]


def scores_of_pictures(
    distances: Tensor, scale: ScoreScale, rule: ScoreRule, input_size: tuple[int, int], view: DomainView | None = None
) -> PendingScores:
    """What becomes of (B, h, w) distances of whole pictures, whose maps are of the input's size (width, height)."""
    size = (input_size[1], input_size[0])
    grid = (distances.shape[1], distances.shape[2])
    domain = None if view is None else domain_score(view, grid, size, distances.device)
    if domain is None:
        counted = distances
        maps = functional.interpolate(distances[:, None], size=size, mode="bilinear", align_corners=False)[:, 0]
    else:
        counted, maps = domain.positions(distances), domain.map(distances)
    return PendingScores([maps], rule.apply(counted), scale, view)


def scores_of_tiles(
    pictures: Sequence[TiledDistances], scale: ScoreScale, rule: ScoreRule, view: DomainView | None = None
) -> PendingScores:
    """What becomes of the distances of pictures that were cut into tiles; each map is of its picture's own `map_size`."""
    fields = [joined(picture) for picture in pictures]
    scores = [highest_score(picture, rule) for picture in pictures]
    maps = [mapped(field, picture)[None] for field, picture in zip(fields, pictures, strict=True)]
    return PendingScores(maps, torch.stack(scores) if scores else torch.empty(0), scale, view)
