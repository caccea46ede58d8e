"""Settings of `trainer fit` about thresholds. Loads no torch."""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import Field, model_validator

from trainer.choices import ThresholdMethod, ThresholdRuleChoice
from trainer.settings.rates import Share
from trainer.settings.source import Group, option

_OK_ONLY = ("false_rejects", "max_false_rejects", "confidence", "threshold_rule")


class ThresholdSettings(Group):
    """Where the thresholds lie."""

    title: ClassVar[str] = "thresholds"

    false_rejects: Share = Field(
        0.05,
        gt=0,
        lt=1,
        description="share of ok parts to reject on average, such as 0.05 or 5%; the upper bound that holds with "
        "--confidence is printed beside it",
    )
    max_false_rejects: Share | None = Field(
        None,
        gt=0,
        lt=1,
        description="instead of --false-rejects: the share of ok parts that may be rejected at most, with "
        "--confidence; this finds fewer defects. The bound is proven by held-out images if there are 300 "
        "ok images or more, otherwise it is estimated",
    )
    confidence: Share = Field(
        0.95, gt=0, lt=1, description="confidence of --max-false-rejects, or of the bound that is printed"
    )
    threshold_method: ThresholdMethod = Field(
        "ok_only",
        description="ok_only: from ok images, with a bound; halcon: as HALCON does, from ok and nok test images",
    )
    threshold_rule: ThresholdRuleChoice = Field(
        "auto",
        description="with --max-false-rejects: order_statistic assumes nothing about the distribution of the scores, "
        "tail_model assumes a tail that can be extrapolated",
    )

    @model_validator(mode="after")
    def _has_rule(self) -> Self:
        given = [option(name) for name in _OK_ONLY if name in self.model_fields_set]
        if given and self.threshold_method != "ok_only":
            verb = "is a setting" if len(given) == 1 else "are settings"
            raise ValueError(
                f"{' and '.join(given)} {verb} of --threshold-method ok_only, not of {self.threshold_method}; leave out one"
            )
        if {"false_rejects", "max_false_rejects"} <= self.model_fields_set:
            raise ValueError(
                "--false-rejects sets the average share, --max-false-rejects the maximum; give only one of the two"
            )
        if "threshold_rule" in self.model_fields_set and self.max_false_rejects is None:
            raise ValueError("--threshold-rule needs --max-false-rejects; give both, or leave it out")
        return self
