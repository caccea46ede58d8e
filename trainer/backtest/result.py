"""The result of a backtest: each recorded verdict beside that of the other model, and what follows."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from inspector.anomaly.choices import AnomalyClass
from trainer.choices import VerdictChange
from trainer.rates import Rate, binomial_rate


@dataclass(frozen=True, slots=True)
class Judged:
    """One image of the window.

    Attributes:
        name: Relative to the archive's root.
        label: Of the folder that it lies in now.
        recorded: The recorded verdict.
        recorded_ratio: Its score over the threshold of that time; from 1 on nok.
        model: Name and version of the model that gave it.
        is_sample: Whether it belongs to the uniform sample of the ok images of its day.
        verdict: Of the model that is tried; None where it cannot judge the image.
        ratio: Its score over its threshold.
        error: Why it cannot.
    """

    name: str
    label: AnomalyClass
    recorded: AnomalyClass
    recorded_ratio: float
    model: str
    is_sample: bool
    verdict: AnomalyClass | None = None
    ratio: float | None = None
    error: str | None = None

    @property
    def change(self) -> VerdictChange:
        """How the verdicts differ; an image that cannot be judged is rejected, as the service does."""
        verdict = self.verdict or "nok"
        if verdict == self.recorded:
            return "same"
        return "rejects" if verdict == "nok" else "passes"

    @property
    def distance(self) -> float:
        """How far the two are apart, as ratios of score to threshold."""
        return abs((float("inf") if self.ratio is None else self.ratio) - self.recorded_ratio)

    def as_json(self) -> dict[str, Any]:
        """The object of this image."""
        return {name: getattr(self, name) for name in (*self.__slots__, "change")}


@dataclass(frozen=True, slots=True)
class BacktestResult:
    """A window of one camera's archive, judged again.

    Attributes:
        tried: Name and version of the model that is tried.
        images: In the order of their capture.
        gone: Images of the index whose files are not there any more.
    """

    tried: str
    images: tuple[Judged, ...]
    gone: int = 0

    @property
    def counts(self) -> Counter[tuple[AnomalyClass, AnomalyClass]]:
        """How many images have which recorded and which new verdict; what cannot be judged counts as nok."""
        return Counter((one.recorded, one.verdict or "nok") for one in self.images)

    @property
    def new_rejects(self) -> Rate:
        """Of the uniform sample of ok images, those that the model tried rejects: its share of the line's ok images."""
        sample = [one for one in self.images if one.is_sample and one.recorded == "ok"]
        return binomial_rate(sum(one.change == "rejects" for one in sample), len(sample))

    @property
    def passed(self) -> Rate:
        """Of the images that were nok, all of which the archive keeps, those that the model tried passes."""
        nok = [one for one in self.images if one.recorded == "nok"]
        return binomial_rate(sum(one.change == "passes" for one in nok), len(nok))

    @property
    def differences(self) -> list[Judged]:
        """Images with another verdict, those that differ most first."""
        return sorted((one for one in self.images if one.change != "same"), key=lambda one: (-one.distance, one.name))

    def as_json(self) -> dict[str, Any]:
        """The object that `--json` prints and backtest.json holds."""

        def rate(found: Rate) -> dict[str, Any]:
            return {
                "count": found.count,
                "total": found.total,
                "rate": found.rate,
                "low": found.low,
                "high": found.high,
            }

        return {
            "tried": self.tried,
            "models": dict(Counter(one.model for one in self.images)),
            "images": len(self.images),
            "gone": self.gone,
            "verdicts": [
                {"recorded": recorded, "tried": tried, "count": count}
                for (recorded, tried), count in sorted(self.counts.items())
            ],
            "new_rejects_of_sampled_ok": rate(self.new_rejects),
            "passed_of_recorded_nok": rate(self.passed),
            "differences": [one.as_json() for one in self.differences],
        }
