"""Suspects: images labelled ok that look unlike the others, by scores of models that had not seen them.

Archived ok images contain a few that are not ok. A model of the other folds gives such an image a high distance, so suspects are
outliers among the unseen scores. The middle of the scores tells what is usual, because a few odd ones do not move it: the
logarithms of the distances above their median are assumed to fall off exponentially (a Pareto tail of the distances, as Hill, 1975,
models tails), at the rate given by median and upper quartile. An image is a suspect if a clean set would contain fewer than half an
image so far out. This is Chauvenet's criterion (1863), with robust quantiles instead of mean and deviation, as Davies and Gather (1993)
demand from a rule for several outliers. A log-normal is not assumed: unseen scores of clean ok images have longer tails, and by
median and median absolute deviation, three images or more were named in two of four development sets. With a Pareto tail, at most half
an image is named in a clean set on average; if the scores are log-normal, hardly any (`tests/unit/trainer/calibration/test_suspects.py`).

Nothing is dropped here unless the user gives the number of images to drop.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from trainer.dataset.dataset import DLDataset, DLDatasetSample
from trainer.errors import CalibrationError
from trainer.parameters import StageParameters
from trainer.prepare.units import LEAST_TO_FIT
from trainer.thresholds.scores import CalibrationScores

LEAST_IMAGES: Final = 10
"""With fewer images it is not known what is normal, so none is named."""
_FEW_IMAGES_FACTOR = 10.0
"""Over the number of images: by how much the tail is stretched as its rate is known from few. By simulation of Pareto tails."""
_SMALLEST = 1e-300


class SuspectParam(StageParameters):
    """When an image is named as a suspect.

    Attributes:
        expected: An image is a suspect if fewer than this number of images of a clean set are expected to be so far
            out.
        max_share: Maximum share of images that are named, rounded up: if more are far out, the parts simply vary.
    """

    refusal: ClassVar[type[CalibrationError]] = CalibrationError

    expected: float = Field(default=0.5, gt=0)
    max_share: float = Field(default=0.1, gt=0, le=1)


@dataclass(frozen=True, slots=True)
class Suspect:
    """An image that looks unlike the others.

    Attributes:
        sample: The image.
        distance: Its raw score by a model that had not seen it.
        expected: How many images of a clean set of this size are expected so far out or farther; NaN where there are fewer than
            `LEAST_IMAGES`, or too many that are alike to tell.
    """

    sample: DLDatasetSample
    distance: float
    expected: float


def find_dl_dataset_suspects(
    dataset: DLDataset, unseen: CalibrationScores | None, param: SuspectParam | None = None
) -> tuple[Suspect, ...]:
    """Find the training images that look unlike the others.

    Args:
        dataset: As it was given to `train_and_score_folds`.
        unseen: What that returned.
        param: The defaults where None.

    Returns:
        The most suspicious first; their names are `suspect.sample.image_file_name`.

    Raises:
        CalibrationError: The images to learn from have no folds, or the scores are not of this data set.
    """
    return name_suspects(dataset.train, _scores_of(dataset, unseen), param)


def name_suspects(
    samples: Sequence[DLDatasetSample], distances: Sequence[float], param: SuspectParam | None = None
) -> tuple[Suspect, ...]:
    """Name those whose distances are outliers, the most suspicious first.

    Args:
        samples: Images called ok.
        distances: Raw scores, one for each, by models that had not seen it; finite and not negative.
        param: The defaults where None.
    """
    param = SuspectParam() if param is None else param
    ranked = _by_suspicion(samples, distances)
    most = math.ceil(param.max_share * len(ranked))
    return tuple(one for one in ranked[:most] if one.expected < param.expected)


def drop_dl_dataset_suspects(
    dataset: DLDataset, unseen: CalibrationScores | None, count: int
) -> tuple[DLDataset, tuple[Suspect, ...]]:
    """Leave out the most suspicious training images, so that a model can be trained on the others.

    Args:
        dataset: As it was given to `train_and_score_folds`.
        unseen: What that returned.
        count: How many, whether they would be named or not.

    Returns:
        The data set, in which they are of no split, and the images left out, the most suspicious first.

    Raises:
        CalibrationError: As `find_dl_dataset_suspects` and `check_droppable`; or those that are left are of too few folds.
    """
    check_droppable(dataset, count)
    dropped = _by_suspicion(dataset.train, _scores_of(dataset, unseen))[:count]
    gone = {suspect.sample.image_id for suspect in dropped}
    folds = Counter(sample.fold for sample in dataset.train if sample.image_id not in gone)
    if (left := folds.total() - max(folds.values())) < LEAST_TO_FIT:
        raise CalibrationError(
            f"without the {count} most suspicious images each fold's model is trained on {left} images, but it needs "
            f"{LEAST_TO_FIT}; drop fewer, or add ok images"
        )
    # Numbered anew: no fold may be empty.
    number = {fold: place for place, fold in enumerate(sorted(fold for fold in folds if fold is not None))}

    def without(sample: DLDatasetSample) -> DLDatasetSample:
        if sample.image_id in gone:
            return replace(sample, split=None, fold=None)
        return sample if sample.fold is None else replace(sample, fold=number[sample.fold])

    return replace(dataset, samples=tuple(map(without, dataset.samples))), dropped


def check_droppable(dataset: DLDataset, count: int) -> None:
    """Refuse before an hour is spent what `drop_dl_dataset_suspects` would refuse afterwards.

    Raises:
        CalibrationError: `count` is less than 1 or more than half of the images to learn from, or these have no folds.
    """
    images = len(dataset.train)
    if not 1 <= count <= images // 2:
        raise CalibrationError(
            f"{count} suspects cannot be dropped from {images} training images; drop 1 to {images // 2}: if more than "
            "half of the images are dropped, what is normal is no longer known"
        )
    _check_folds(dataset)


def _check_folds(dataset: DLDataset) -> None:
    if not dataset.folds:
        raise CalibrationError(
            f"suspects among the {len(dataset.train)} training images are not known: they were not scored by "
            f"cross-validation, because the {len(dataset.validation)} validation images are enough to set the "
            "thresholds; use fewer than 59 validation images (a lower validation percentage or none, a higher "
            "max_train), or move them to train"
        )


def _scores_of(dataset: DLDataset, unseen: CalibrationScores | None) -> list[float]:
    _check_folds(dataset)
    if unseen is None or len(unseen.ok) != len(dataset.train):
        count = 0 if unseen is None else len(unseen.ok)
        raise CalibrationError(
            f"got {count} scores for {len(dataset.train)} training images; give what train_and_score_folds returned "
            "for this data set"
        )
    return unseen.ok


def _by_suspicion(samples: Sequence[DLDatasetSample], distances: Sequence[float]) -> tuple[Suspect, ...]:
    """All of them, the highest distance first."""
    expected = expected_beyond(distances)
    every = [Suspect(*one) for one in zip(samples, distances, expected.tolist(), strict=True)]
    return tuple(sorted(every, key=lambda suspect: -suspect.distance))


def expected_beyond(distances: Sequence[float] | NDArray[np.floating]) -> NDArray[np.float64]:
    """How many of as many images of a clean set are expected as far out as each one, by the Pareto tail above the median.

    n / 2 exp(-(x - m) / b) with x the logarithm of the distance, m the median and b = (upper quartile - m) / ln 2, stretched by
    1 + 10 / n as quantiles of few scores are not sure.

    Args:
        distances: (n,), finite and not negative.

    Returns:
        (n,) float64, at most n / 2; NaN where n is below `LEAST_IMAGES` or a quarter of the images lies at the median.
    """
    logs = np.log(np.maximum(np.asarray(distances, dtype=np.float64), _SMALLEST))
    n = len(logs)
    if n < LEAST_IMAGES:
        return np.full(n, np.nan)
    middle, upper = np.quantile(logs, [0.5, 0.75])
    slope = (upper - middle) / math.log(2) * (1 + _FEW_IMAGES_FACTOR / n)
    if not slope > 0:
        return np.full(n, np.nan)
    return np.asarray(n / 2 * np.exp(-np.maximum(logs - middle, 0.0) / slope))
