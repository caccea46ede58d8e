"""The result of comparing a trial: each frame's verdict beside what the model on trial would have said."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from inspector.anomaly.choices import AnomalyClass
from schemas import ModelReference, RecordSource, RegionMessage
from trainer.choices import VerdictChange
from trainer.comparison.paired import PairedDifference, paired_difference
from trainer.rates import Rate, binomial_rate


@dataclass(frozen=True, slots=True)
class Opinion:
    """What one model says of a frame.

    Attributes:
        verdict: As it would count: nok where the model could not score the frame.
        score: In [0, 1]; None where there is none.
        threshold: From which on a score is nok; None likewise.
        region: What it marks, if anything.
        reason: Why there is no score; `none` where there is one.
    """

    model: ModelReference
    verdict: AnomalyClass
    score: float | None = None
    threshold: float | None = None
    region: RegionMessage | None = None
    reason: str = "none"

    @property
    def ratio(self) -> float | None:
        """Score over threshold, from 1 on nok; None without a score. Scores of two models mean nothing beside each other, ratios do."""
        return None if self.score is None or not self.threshold else self.score / self.threshold


@dataclass(frozen=True, slots=True)
class Pair:
    """One frame that both have scored; `source` is where it lay on the frames topic."""

    result_id: str
    part_id: str
    seq: int
    captured_at: int
    source: RecordSource
    counted: Opinion
    shadow: Opinion

    @property
    def change(self) -> VerdictChange:
        """How the verdicts differ."""
        if self.counted.verdict == self.shadow.verdict:
            return "same"
        return "rejects" if self.shadow.verdict == "nok" else "passes"

    @property
    def moved(self) -> float | None:
        """The ratio of the model on trial less that of the other; None where one has none."""
        counted, shadow = self.counted.ratio, self.shadow.ratio
        return None if counted is None or shadow is None else shadow - counted

    def as_json(self) -> dict[str, Any]:
        """The object of this frame."""
        return {
            "result_id": self.result_id,
            "part_id": self.part_id,
            "seq": self.seq,
            "captured_at": self.captured_at,
            "verdict": self.counted.verdict,
            "ratio": self.counted.ratio,
            "shadow": self.shadow.verdict,
            "shadow_ratio": self.shadow.ratio,
            "reason": self.shadow.reason,
            "change": self.change,
        }


@dataclass(frozen=True, slots=True)
class CompareResult:
    """A camera's frames in a window, as both models saw them.

    Attributes:
        camera: `line_id/camera_id`.
        tried: The model on trial.
        pairs: In the order of their capture.
        unseen: Frames that were inspected while it was on trial, and that it was not given: the line needed the device.
        unpaired: Frames of which it said something and no inspected result is there: they came too late, or the topic holds it no more.
        others: Frames in the window that earlier models on trial have seen; they are not compared.
    """

    camera: str
    tried: ModelReference
    pairs: Sequence[Pair]
    unseen: int = 0
    unpaired: int = 0
    others: int = 0

    @property
    def counts(self) -> Counter[tuple[AnomalyClass, AnomalyClass]]:
        """How many frames have which verdict, and which of the model on trial."""
        return Counter((pair.counted.verdict, pair.shadow.verdict) for pair in self.pairs)

    @property
    def differing(self) -> Rate:
        """The share of frames with another verdict."""
        return binomial_rate(sum(pair.change != "same" for pair in self.pairs), len(self.pairs))

    @property
    def rejects(self) -> PairedDifference:
        """The rate that the model on trial would reject, less the rate that was rejected."""
        return paired_difference(
            [pair.shadow.verdict == "nok" for pair in self.pairs],
            [pair.counted.verdict == "nok" for pair in self.pairs],
        )

    @property
    def moved(self) -> tuple[float, float, float] | None:
        """Of the ratios of score to threshold, how far they moved: the 5 %, 50 % and 95 % quantile; None without any."""
        values = sorted(pair.moved for pair in self.pairs if pair.moved is not None)
        if not values:
            return None
        low, middle, high = (values[round(share * (len(values) - 1))] for share in (0.05, 0.5, 0.95))
        return low, middle, high

    @property
    def failed(self) -> Counter[str]:
        """Why the model on trial could not score frames, and how often."""
        return Counter(pair.shadow.reason for pair in self.pairs if pair.shadow.reason != "none")

    @property
    def judges(self) -> Counter[str]:
        """The models that judged, and how many of the frames."""
        return Counter(named(pair.counted.model) for pair in self.pairs)

    @property
    def differences(self) -> list[Pair]:
        """Frames with another verdict, those that moved most first; what could not be scored before all."""
        apart = [pair for pair in self.pairs if pair.change != "same"]
        return sorted(apart, key=lambda pair: (-_distance(pair), pair.captured_at, pair.result_id))

    def as_json(self) -> dict[str, Any]:
        """The object that `--json` prints and compare.json holds."""
        differing = self.differing
        return {
            "camera": self.camera,
            "tried": self.tried.model_dump(),
            "judged_by": dict(self.judges),
            "frames": len(self.pairs),
            "unseen": self.unseen,
            "unpaired": self.unpaired,
            "of_other_trials": self.others,
            "verdicts": [
                {"counted": counted, "shadow": shadow, "count": count}
                for (counted, shadow), count in sorted(self.counts.items())
            ],
            "differing": asdict(differing) | {"rate": differing.rate},
            "rejects": asdict(self.rejects) | {"difference": self.rejects.difference},
            "ratio_moved": None if self.moved is None else dict(zip(("p5", "p50", "p95"), self.moved, strict=True)),
            "failed": dict(self.failed),
            "differences": [pair.as_json() for pair in self.differences],
        }


def named(model: ModelReference) -> str:
    """Name, version and the beginning of the digest."""
    return f"{model.name} {model.version} ({model.digest[:12]})"


def _distance(pair: Pair) -> float:
    return float("inf") if pair.moved is None else abs(pair.moved)
