"""The outcome of a check: whether a fit would start, what it would use, and everything that was found."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from trainer.check.facts import Facts
from trainer.check.oddities import Oddity
from trainer.dataset.dataset import DLDataset
from trainer.listing.tally import Tally
from trainer.wording import printable


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a fit would not start.

    Attributes:
        sentence: What the fit would say, and what to do about it.
        summary: The same without what the table beside it names already.
    """

    sentence: str
    summary: str


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The outcome of a check.

    Attributes:
        source: What was looked at.
        tally: Of all files: those that can be read are taken.
        facts: What the images are.
        oddities: What looks odd.
        dataset: Divided as a fit would; None where it would be refused before.
        refusals: Why a fit would not start, each with what to do about it; empty if it would start.
        warnings: What a fit would warn of.
        notes: What reading the images decided.
        seconds: How long it took.
    """

    source: str
    tally: Tally = field(default_factory=Tally)
    facts: Facts = field(default_factory=lambda: Facts(()))
    oddities: tuple[Oddity, ...] = ()
    dataset: DLDataset | None = None
    refusals: tuple[Refusal, ...] = ()
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def is_refused(self) -> bool:
        """Whether a fit would be refused."""
        return bool(self.refusals)

    @property
    def sides(self) -> Counter[tuple[str, str]]:
        """Number of images by side (`train`, `validation`, `test`, or `not used`) and label."""
        samples = () if self.dataset is None else self.dataset.samples
        return Counter((sample.split or "not used", sample.image_label) for sample in samples)

    def as_json(self) -> dict[str, Any]:
        """The object that `trainer check --json` prints."""
        dataset = self.dataset
        return {
            "source": printable(self.source),
            "would_fit": not self.is_refused,
            "refusals": [one.sentence for one in self.refusals],
            "warnings": list(self.warnings),
            "notes": list(self.notes),
            "oddities": [
                {"sentence": one.sentence, "files": [printable(name) for name in one.names]} for one in self.oddities
            ],
            "files": self.tally.as_json(),
            "images": self.facts.as_json(),
            "division": None
            if dataset is None
            else {
                "sides": [
                    {"side": side, "label": label, "count": n} for (side, label), n in sorted(self.sides.items())
                ],
                "folds": dataset.num_folds,
                "calibration_method": dataset.division.method if dataset.division else None,
            },
            "check_seconds": round(self.seconds, 3),
        }
