"""Divide a data set into images to fit, to calibrate and to test on, so that no picture is on two sides.

Copies of one picture (equal decoded pixels, whatever the file's name) are left out of training but for one: a copy
teaches nothing, and counting it would make the false-reject bound look better than it is. A picture of the test set
is never learnt from. So every image that is left is a different one, and folds need no grouping.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from trainer.dataset import DLDataset, DLDatasetSample
from trainer.errors import SplitError
from trainer.layout import SplitName, some

HELD_OUT_MIN = 300
"""From so many ok images on, thresholds come from held-out images; below, from out-of-fold scores."""
REST_MIN = 59
"""A remainder beyond `max_train` that can calibrate alone: 0.95 ** 59 < 0.05, a bound of 5 % at 95 % confidence."""
FOLDS = 5
FEW_IMAGES = 20
_LEAST = 2
_PERCENT = 100

CalibrationMethod = Literal["held_out", "out_of_fold"]
Samples = tuple[DLDatasetSample, ...]


@dataclass(frozen=True, slots=True)
class DLSplit:
    """A divided data set; every sample carries its `split`."""

    dataset: DLDataset
    """All samples; those left out have the split None."""
    method: CalibrationMethod
    train: Samples
    """Images that the shipped model is fitted on, in a random order that the seed decides."""
    calibration: Samples
    """Held-out ok images; with the method out_of_fold those beyond `max_train`, for the final model to score."""
    test: Samples
    folds: tuple[int, ...]
    """Fold of each image of `train`, from 0; empty with the method held_out."""
    warnings: tuple[str, ...]
    seed: int


def split_dl_dataset(
    dataset: DLDataset,
    training_percent: float = 80.0,
    validation_percent: float = 30.0,
    *,
    seed: int = 0,
    max_train: int | None = None,
    folds: int = FOLDS,
) -> DLSplit:
    """Divide a data set; the same seed gives the same division.

    nok images always go to the test set. In MVTec AD layout `test/` is the test set, and the ok images of `train/`
    and `validation/` are there to learn from. In other folders ok images are kept back for testing only where there
    are nok images to compare them with.

    Args:
        dataset: What `read_dl_dataset_anomaly` returned.
        training_percent: Share of the ok images to learn from (fit and calibrate) where the folders do not say.
        validation_percent: Share of the images to learn from that calibrates, where there are 300 of them or more.
        seed: Decides every random choice.
        max_train: Most images to fit on; the remaining ones calibrate.
        folds: Number of folds where there are too few images to hold any out.

    Raises:
        SplitError: An argument is out of range, or fewer than two different ok images are left to learn from.
    """
    _check_arguments(training_percent, validation_percent, max_train, folds)
    random = np.random.default_rng(seed)
    warnings: list[str] = []
    learn, test = _divide_test(dataset, training_percent / 100, random)
    pool = _without_copies(learn, test, warnings)
    if len(pool) < _LEAST:
        raise SplitError(
            f"{len(pool)} different ok image is left to learn from in {dataset.image_dir}; "
            f"2 are needed to estimate a threshold, {FEW_IMAGES} or more to trust it"
        )
    if len(pool) < FEW_IMAGES:
        warnings.append(f"only {len(pool)} different ok images to learn from; collect {FEW_IMAGES} or more")
    pool = [pool[i] for i in random.permutation(len(pool))]
    is_large = len(pool) >= HELD_OUT_MIN
    n_train = round(len(pool) * (1 - validation_percent / 100)) if is_large else len(pool)
    n_train = min(n_train, max_train or n_train)
    train, rest = pool[:n_train], pool[n_train:]
    method: CalibrationMethod = "held_out" if is_large or len(rest) >= REST_MIN else "out_of_fold"
    n_folds = min(folds, len(train))
    parts: dict[SplitName, Samples] = {
        "train": tuple(replace(s, split="train") for s in train),
        "validation": tuple(replace(s, split="validation") for s in rest),
        "test": tuple(replace(s, split="test") for s in test),
    }
    by_id = {s.image_id: s for part in parts.values() for s in part}
    stamped = tuple(by_id.get(s.image_id, replace(s, split=None)) for s in dataset.samples)
    return DLSplit(
        dataset=replace(dataset, samples=stamped),
        method=method,
        train=parts["train"],
        calibration=parts["validation"],
        test=parts["test"],
        folds=tuple(i % n_folds for i in range(len(train))) if method == "out_of_fold" else (),
        warnings=tuple(warnings),
        seed=seed,
    )


def _check_arguments(training_percent: float, validation_percent: float, max_train: int | None, folds: int) -> None:
    if not 0 < training_percent <= _PERCENT:
        raise SplitError(f"training_percent must be above 0 and at most 100, got {training_percent}")
    if not 0 < validation_percent < _PERCENT:
        raise SplitError(f"validation_percent must lie between 0 and 100, got {validation_percent}")
    if max_train is not None and max_train < _LEAST:
        raise SplitError(f"max_train must be at least 2, got {max_train}")
    if folds < _LEAST:
        raise SplitError(f"folds must be at least 2, got {folds}")


def _divide_test(
    dataset: DLDataset, training_share: float, random: np.random.Generator
) -> tuple[list[DLDatasetSample], list[DLDatasetSample]]:
    """Images to learn from (all ok) and to test on."""
    ok = [s for s in dataset.samples if s.image_label == "ok"]
    nok = [s for s in dataset.samples if s.image_label == "nok"]
    if dataset.layout == "mvtec":
        test = [s for s in dataset.samples if s.image_label == "nok" or s.split == "test"]
        return [s for s in ok if s.split != "test"], test
    if not nok:
        return ok, []
    chosen = {int(i) for i in random.permutation(len(ok))[: round(training_share * len(ok))]}
    test_ok = [s for i, s in enumerate(ok) if i not in chosen]
    return [s for i, s in enumerate(ok) if i in chosen], [*test_ok, *nok]


def _without_copies(
    learn: Sequence[DLDatasetSample], test: Sequence[DLDatasetSample], warnings: list[str]
) -> list[DLDatasetSample]:
    tested = {s.pixel_digest for s in test}
    leaked = [s for s in learn if s.pixel_digest in tested]
    if leaked:
        names = some(s.image_file_name for s in leaked)
        warnings.append(f"{len(leaked)} training images are also test images and are not learnt from: {names}")
    first: dict[str, DLDatasetSample] = {}
    copies = [s for s in learn if s.pixel_digest not in tested and first.setdefault(s.pixel_digest, s) is not s]
    if copies:
        names = some(f"{s.image_file_name} (= {first[s.pixel_digest].image_file_name})" for s in copies)
        warnings.append(f"{len(copies)} training images are copies of another and count once: {names}")
    return list(first.values())
