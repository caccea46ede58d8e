"""What can be said about a threshold from ok scores: where it lies, how many ok images it rejects, and how certain that is."""

from __future__ import annotations

from dataclasses import dataclass

from trainer.choices import ThresholdRule
from trainer.wording import as_percent

_PARTS = {2: "half", 3: "two thirds", 4: "three quarters", 5: "four fifths"}
"""Share of the images that the model of each fold has seen, in words."""
FEW_GROUPS = 20
"""With fewer groups the bound is above 14 %, whatever the scores: a warning says so."""
_ANOTHER = "The bound is an estimate, because the final model is a different one, trained on all images."


@dataclass(frozen=True, slots=True)
class ThresholdEstimate:
    """Where the threshold lies, and what can be said of it.

    Attributes:
        distance: The threshold in raw distances; at or above it an image is nok.
        rule: How it was found.
        false_rejects: Share of ok images that is rejected on average; None where a bound was asked for instead.
        max_false_rejects: Bound that was asked for; None where it was the share on average.
        asked: The one of the two, as it was asked for.
        false_reject_bound: Upper bound of the share of ok images rejected, at `confidence`, without an assumption about the
            distribution; of images of other groups where images come in groups.
        exceeding: How many of the `n` scores lie at or above the threshold.
        n_needed: Scores (or groups) that what was asked for takes, so that no tail has to be assumed.
        is_extrapolated: Whether the threshold rests on an assumed tail.
        n_groups: Groups that the images are of; None where each image counts by itself.
        folds: Number of folds that the scores are from; 0 where they are of held-out images by the model that ships.
    """

    distance: float
    rule: ThresholdRule
    asked: float
    false_rejects: float | None
    max_false_rejects: float | None
    false_reject_bound: float
    confidence: float
    n: int
    exceeding: int
    n_needed: int
    is_extrapolated: bool
    n_groups: int | None = None
    folds: int = 0

    @property
    def is_proven(self) -> bool:
        """Whether the bound is proven, rather than estimated from models of folds."""
        return not self.folds

    @property
    def units(self) -> str:
        """What the bound counts."""
        return "images" if self.n_groups is None else "groups"

    @property
    def explanation(self) -> str:
        """A few sentences for people: how the threshold was found, and what the bound rests on."""
        found = self._expected_rule() if self.false_rejects is not None else self._guaranteed_rule()
        if self.n_groups is not None:
            bound = (
                f"The images are of {self.n_groups} groups, so the bound counts groups and holds for images of "
                "other groups."
            )
        else:
            bound = "The bound makes no assumption about the distribution of the scores."
        return " ".join([found, bound] if self.is_proven else [found, bound, _ANOTHER])

    def _expected_rule(self) -> str:
        laid = (
            f"The threshold is set so that {as_percent(self.false_rejects)} of ok parts are rejected on average, "
            f"based on {self._scores}"
        )
        if self.rule == "tail":
            return (
                f"{laid}. These are too few to observe such a small share, so the tail of their distribution is "
                "extrapolated."
            )
        return f"{laid}."

    def _guaranteed_rule(self) -> str:
        asked = as_percent(self.max_false_rejects)
        if self.rule == "order_statistic":
            return f"The threshold is just above all but {self.exceeding} of {self._scores}."
        if self._count < self.n_needed:
            reason = f"are too few for a bound of {asked} (that takes {self.n_needed} {self.units}), so"
        else:
            reason = "would be enough without it, but a tail model was requested:"
        return f"The {self._scores} {reason} the threshold extrapolates their logarithms as normally distributed; the bound does not."

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the user should know or do."""
        found = [self._too_few(), self._unreached()]
        if self._is_of_few_groups:
            found.append(
                f"the {self.n} ok images used to set the thresholds come from only {self.n_groups} groups: of images "
                f"from other groups, up to {as_percent(self.false_reject_bound)} may be rejected "
                f"({as_percent(self.confidence)} confidence); add images of more groups"
            )
        return tuple(sentence for sentence in found if sentence)

    def _too_few(self) -> str | None:
        if not self.is_extrapolated or self.false_rejects is None:
            return None
        # What few groups are warned of anyway says what to do.
        if self._is_of_few_groups and self.false_rejects == self.asked:
            return None
        said = f"{self._counted} are too few to observe a false-reject rate of {as_percent(self.asked)}"
        if self.false_rejects > self.asked:
            return (
                f"{said}: the threshold is set for {as_percent(self.false_rejects)}, the smallest share that can be "
                f"extrapolated from them; collect {self.n_needed} or more"
            )
        return f"{said}, so the threshold is extrapolated; collect {self.n_needed} or more"

    def _unreached(self) -> str | None:
        if self.max_false_rejects is None or self.false_reject_bound <= self.max_false_rejects:
            return None
        bound, asked = as_percent(self.false_reject_bound), f"the requested {as_percent(self.max_false_rejects)}"
        if self.is_proven:
            said = f"{self._counted} prove a false-reject rate of at most {bound}, not {asked}"
        else:
            said = f"{self._counted} give an estimated false-reject rate of at most {bound}, not {asked}"
        if self._count < self.n_needed:
            return f"{said}: collect {self.n_needed} or more"
        return f"{said}: the tail model gave up {self.exceeding} of them; use the rule order_statistic"

    @property
    def _is_of_few_groups(self) -> bool:
        return self.n_groups is not None and self.n_groups < FEW_GROUPS

    @property
    def _count(self) -> int:
        return self.n if self.n_groups is None else self.n_groups

    @property
    def _counted(self) -> str:
        return f"{self.n} ok images" if self.n_groups is None else f"{self.n_groups} groups of ok images"

    @property
    def _scores(self) -> str:
        if self.is_proven:
            return f"{self.n} scores of unseen ok images"
        part = _PARTS.get(self.folds, f"{self.folds - 1}/{self.folds}")
        return f"{self.n} scores of models fitted on {part} of the images"
