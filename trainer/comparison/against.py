"""Compares a candidate with the model in use, on images that the candidate has not learnt from.

A candidate is worse if it errs more often, and chance does not explain this: the 95 % interval of the paired difference lies above what is
allowed. For defects, no difference is allowed. Of the ok images it may reject as many more as its own threshold was set for: the labels of an
archive are the verdicts of the model in use unless somebody corrected them, so that model errs on none of them by definition.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from inspector.anomaly.model.model import AnomalyModel
from trainer.comparison.paired import PairedDifference, paired_difference
from trainer.dataset.dataset import DLDataset
from trainer.errors import EvaluationError
from trainer.evaluation.scoring import score_images
from trainer.progress import StageProgress
from trainer.wording import as_percent


@dataclass(frozen=True, slots=True)
class Comparison:
    """How a candidate does beside the model in use.

    Attributes:
        in_use: Name and version of that model.
        false_rejects: Of ok images, the candidate first; None without any.
        misses: Of nok images; None without any.
        allowed_false_rejects: By how much the rate on ok images may rise.
    """

    in_use: str
    false_rejects: PairedDifference | None
    misses: PairedDifference | None
    allowed_false_rejects: float

    @property
    def faults(self) -> list[str]:
        """In what the candidate is worse, as sentences; empty: in nothing that these images show."""
        found = []
        misses, rejects = self.misses, self.false_rejects
        if misses is not None and misses.low > 0:
            found.append(f"it misses more defects: {_said(misses, 'nok')}")
        if rejects is not None and rejects.low > self.allowed_false_rejects:
            allowed = as_percent(self.allowed_false_rejects)
            found.append(
                f"it rejects more ok images than the {allowed} that its threshold allows: {_said(rejects, 'ok')}"
            )
        return found

    @property
    def sentence(self) -> str:
        """The whole in words."""
        parts = [
            f"{what}: {_said(one, label)}"
            for what, one, label in (
                ("defects missed", self.misses, "nok"),
                ("ok rejected", self.false_rejects, "ok"),
            )
            if one is not None
        ]
        return f"against {self.in_use}: " + "; ".join(parts)

    def as_json(self) -> dict[str, Any]:
        """The object that `--json` prints."""

        def one(difference: PairedDifference | None) -> dict[str, Any] | None:
            return None if difference is None else asdict(difference) | {"difference": difference.difference}

        return {
            "in_use": self.in_use,
            "false_rejects": one(self.false_rejects),
            "misses": one(self.misses),
            "allowed_false_rejects": self.allowed_false_rejects,
            "is_worse": bool(self.faults),
        }


def compare_models(
    candidate: AnomalyModel,
    in_use: AnomalyModel,
    dataset: DLDataset,
    *,
    allowed_false_rejects: float,
    progress: StageProgress,
) -> Comparison:
    """Let both judge the test images, which the candidate has not learnt from.

    An image that a model cannot judge is rejected by it, as the service does.

    Args:
        candidate: Has thresholds.
        in_use: Has thresholds. Where it has learnt from some of these images, that is in its favour.
        dataset: Divided; its test images are judged.
        allowed_false_rejects: By how much the rate of rejected ok images may rise.
        progress: Told of each image, as stage "compare".

    Raises:
        EvaluationError: There is no test image.
        UncalibratedError: A model has no thresholds.
    """
    if not dataset.test:
        raise EvaluationError(
            "there are no test images to compare the models on; give --training-percent 80, so that some of the ok images are left"
        )
    paths = [dataset.image_path(sample) for sample in dataset.test]
    progress("compare", 0, 2 * len(paths))
    first = _rejected(candidate, paths, progress, 0)
    second = _rejected(in_use, paths, progress, len(paths))

    def difference(label: str) -> PairedDifference | None:
        """Rejecting an ok image is an error, and so is passing a nok one."""
        places = [place for place, sample in enumerate(dataset.test) if sample.image_label == label]
        errs = [[rejected[place] == (label == "ok") for place in places] for rejected in (first, second)]
        return paired_difference(*errs) if places else None

    return Comparison(
        in_use=f"{in_use.name} {in_use.version}",
        false_rejects=difference("ok"),
        misses=difference("nok"),
        allowed_false_rejects=allowed_false_rejects,
    )


def _rejected(model: AnomalyModel, paths: Sequence[Path], progress: StageProgress, done: int) -> list[bool]:
    rejected: list[bool] = []
    with closing(score_images(model, paths)) as images:
        for scored in images:
            rejected.append(scored.result is None or scored.result.anomaly_class != "ok")
            progress("compare", done + len(rejected), 2 * len(paths))
    return rejected


def _said(one: PairedDifference, label: str) -> str:
    interval = f"95\u00a0% interval of the difference {100 * one.low:+.1f} to {100 * one.high:+.1f} points"
    return (
        f"{one.only_first + one.both} of {one.total} {label}, the model in use {one.only_second + one.both}; {interval}"
    )
