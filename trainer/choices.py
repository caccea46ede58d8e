"""The words that a training's parameters may be set to, each defined once. Imports nothing, so that settings can use them too."""

from __future__ import annotations

from typing import Literal

GroupBy = Literal["none", "group", "time_window"]
"""What stays on one side of a split: the images' groups, time windows, or nothing."""

ThresholdMethod = Literal["ok_only", "halcon", "halcon_corrected"]
"""From ok images alone with a stated bound, or HALCON's values, as they are or counted as verdicts are given."""

ThresholdRule = Literal["quantile", "tail", "order_statistic", "tail_model"]
"""What an estimated threshold rests on: a place among the scores, or beyond them, for a share on average; for a guaranteed bound,
the order of the scores alone or a model of their tail."""

ThresholdRuleChoice = Literal["auto", "order_statistic", "tail_model"]
"""What may be asked for: a rule, or the one that the number of scores allows."""

VerdictChange = Literal["same", "rejects", "passes"]
"""How another model's verdict differs from the one that counted: `rejects`, that was ok and the other says nok; `passes`, the other way round."""
