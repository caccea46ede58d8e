"""A batch on its way through the device: what was launched, and what comes of it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from inspector.anomaly.domain.domain import DomainView
from inspector.anomaly.domain.score import domain_score
from inspector.anomaly.types import DLResult, ScoreScale
from inspector.anomaly.verdict.score import ScoreRule

_BELOW_1 = 1.0 - 2.0**-24  # the largest float32 below 1


class PendingScores:
    """A batch that was launched; on a GPU it may still be running."""

    def __init__(
        self,
        distances: Tensor,
        scale: ScoreScale,
        rule: ScoreRule,
        input_size: tuple[int, int],
        view: DomainView | None = None,
    ) -> None:
        self._scale = scale
        self._view = view
        size = (input_size[1], input_size[0])
        grid = (distances.shape[1], distances.shape[2])
        domain = None if view is None else domain_score(view, grid, size, distances.device)
        if domain is None:
            counted = distances
            maps = functional.interpolate(distances[:, None], size=size, mode="bilinear", align_corners=False)[:, 0]
        else:
            counted, maps = domain.positions(distances), domain.map(distances)
        # A quotient that rounds to 1 stays below it, as scores do; NaN stays NaN.
        maps = maps.div_(maps + scale.s).clamp_max_(_BELOW_1)
        self._maps = maps.to("cpu", non_blocking=True)
        self._raw_scores = rule.apply(counted).to("cpu", non_blocking=True)
        self._done = torch.cuda.Event() if distances.is_cuda else None  # type: ignore[no-untyped-call]
        if self._done is not None:
            self._done.record()

    def finish(self) -> list[DLResult]:
        """Wait for the batch; one result a picture, in their order. On the thread that launched it."""
        if self._done is not None:
            self._done.synchronize()
        maps = self._maps.numpy()
        return [
            DLResult(anomaly_score=self._scale.to_score(raw), anomaly_image=anomaly_image, view=self._view)
            for raw, anomaly_image in zip(self._raw_scores.tolist(), maps, strict=True)
        ]
