"""How the distances of an image become its score: the largest, the mean of the highest, or of those that stand out."""

from __future__ import annotations

from typing import Final

import torch
from pydantic import Field, model_validator
from torch import Tensor

from inspector.anomaly.choices import ScoreRuleKind
from inspector.anomaly.errors import ParameterError
from inspector.anomaly.parameters import Parameters

TOP_SHARE: Final = 0.01
"""Default of `ScoreRule.top_share`."""


class ScoreRule(Parameters):
    """How the score of an image is calculated from its distances; other images of the batch have no influence.

    A distance that is not finite gives a score that is not finite, so a broken map is never ok.

    The distances are those of the model's grid, before they become scores and pixels. HALCON's `standard_deviation_factor`
    speaks of pixels: ours deviates in that each position counts once, with its raw distance. Interpolated pixels would be
    the same values mixed, and a score scale that bends would move mean and deviation.

    Attributes:
        kind: `maximum`: the largest distance. `mean_of_top`: the mean of the largest, `top_share` of all positions (at
            least one). `standard_deviation`: the mean of the distances above mean + factor x standard deviation of
            their image; where none is above, the largest. The last is our definition: HALCON's chapter names the
            factor and leaves the rule open. A larger factor suits smaller defects.
        top_share: Of `mean_of_top` and of no other; 1 % unless given.
        standard_deviation_factor: Of `standard_deviation` and of no other.
    """

    kind: ScoreRuleKind = "mean_of_top"
    top_share: float | None = Field(default=None, gt=0.0, le=1.0)
    standard_deviation_factor: float | None = Field(default=None, ge=0.0)

    @model_validator(mode="before")
    @classmethod
    def _top_share_of_its_kind(cls, values: object) -> object:
        if (
            isinstance(values, dict)
            and "top_share" not in values
            and values.get("kind", "mean_of_top") == "mean_of_top"
        ):
            return {**values, "top_share": TOP_SHARE}
        return values

    @model_validator(mode="after")
    def _has_what_its_kind_needs(self) -> ScoreRule:
        for name, kind in (("top_share", "mean_of_top"), ("standard_deviation_factor", "standard_deviation")):
            if (getattr(self, name) is None) == (self.kind == kind):
                verb = "needs" if self.kind == kind else "has no"
                raise ValueError(f"score rule {self.kind} {verb} {name}")
        return self

    def apply(self, distances: Tensor) -> Tensor:
        """Return the raw score of each image.

        Args:
            distances: (B, ...) float32; the positions that count, at least one.

        Returns:
            (B,) float64, on the same device; nothing is waited for.

        Raises:
            ParameterError: There is no position.
        """
        flat = distances.flatten(1)
        if not flat.shape[1]:
            raise ParameterError("an image without positions has no score; make its domain larger")
        if self.top_share is not None:
            count = max(1, round(self.top_share * flat.shape[1]))
            return flat.topk(count, dim=1).values.double().mean(1)
        if self.standard_deviation_factor is None:
            return flat.amax(1).double()
        # Row by row: torch sums a row of a batch in another order than a row alone, and a distance that lies on the
        # limit must not change sides with the company it is in.
        scores = [_mean_of_outstanding(row.double(), self.standard_deviation_factor) for row in flat]
        return torch.stack(scores) if scores else flat.new_empty(0, dtype=torch.float64)


def _mean_of_outstanding(row: Tensor, factor: float) -> Tensor:
    """(n,) float64 -> () float64. Without a branch on values, so that a GPU need not be waited for."""
    limit = row.mean() + factor * row.std(correction=0)
    above = row > limit
    largest = row.amax()
    # Where the limit is not a number none is above it, and the largest is not finite either.
    mean = torch.where(above, row, 0.0).sum() / above.sum().clamp_min(1)
    return torch.where(above.any(), torch.minimum(mean, largest), largest)
