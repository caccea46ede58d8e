"""Divides a data set into images to fit, to calibrate and to test, so that no picture and no group is in two of them.

Of several copies of a picture (equal decoded pixels, whatever the file's name) only one is used for training: a copy
teaches nothing, and counting it would make the false-reject bound look better than it is. Images of one group (a part,
a time window) stay together, in folds too. Test images are never used for learning or calibration:
HALCON takes image thresholds from the test images, so its evaluation looks better than the line will be.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import PurePosixPath
from typing import ClassVar

import numpy as np
from pydantic import Field

from trainer.choices import GroupBy
from trainer.dataset.dataset import CalibrationMethod, Division, DLDataset, DLDatasetSample
from trainer.errors import SplitError
from trainer.parameters import StageParameters
from trainer.prepare.sides import NO_VALIDATION, Sides, divide_by_percent, respect_given, without_copies
from trainer.prepare.units import LEAST_TO_FIT, Unit, deal_folds, find_units, gather

HELD_OUT_MIN = 1000
"""From this many ok images (or groups) on, thresholds come from held-out images; below, from cross-validation."""
PROOF_MIN = 300
"""The same where a bound is asked for: held-out images prove it, and 90 of them are enough for one of 5 %."""
REST_MIN = 59
"""Held-out images (or groups) that can calibrate alone: 0.95 ** 59 < 0.05, a bound of 5 % at 95 % confidence."""
FOLDS = 5
FEW_IMAGES = 20
TRAINING_PERCENT = 80
CALIBRATION_PERCENT = 30.0
_LEAST_FOLDS = 2
_LEAST_OF_FOLDS = LEAST_TO_FIT + 1
"""With this many images each can be scored by a model trained on the others."""
_ALL = 100
_MINUTE_US = 60_000_000

Samples = tuple[DLDatasetSample, ...]


class SplitParam(StageParameters):
    """How a data set is divided, besides the percentages.

    Attributes:
        group_by: What stays on one side: `group`, the samples' groups where they have any; `time_window`, images that
            were captured in one window; `none`, copies of one picture only.
        time_window_minutes: Width of a time window; given with `time_window` only.
        calibration_percent: Share of the images to learn from that calibrates, where `validation_percent` is not given
            and there are `held_out_min` images (or groups) or more. With 0 each is scored by a model of the other folds,
            however many there are.
        held_out_min: From so many images (or groups) on that share is held out; below, all are fitted on, and each is scored
            by a model of the other folds. `trainer fit` takes 300 where a bound is asked for.
        max_train: Most images to fit on; the remaining ones calibrate.
        folds: Number of folds where too few images calibrate alone.
        keep_validation: The images that the source puts into `validation` only calibrate. None: they do, where the
            source's division is kept and has ok ones. False pools them with `train`.
    """

    refusal: ClassVar[type[SplitError]] = SplitError

    group_by: GroupBy = "group"
    time_window_minutes: float | None = Field(default=None, ge=1e-3)
    calibration_percent: float = Field(default=CALIBRATION_PERCENT, ge=0, lt=_ALL)
    held_out_min: int = Field(default=HELD_OUT_MIN, ge=REST_MIN)
    max_train: int | None = Field(default=None, ge=_LEAST_OF_FOLDS)
    folds: int = Field(default=FOLDS, ge=_LEAST_FOLDS)
    keep_validation: bool | None = None

    def check_consistency(self) -> None:
        """Refuse a time window without its width, or a width without time windows."""
        if (self.group_by == "time_window") != (self.time_window_minutes is not None):
            raise SplitError(
                "group_by='time_window' needs time_window_minutes and the other way round; give both or neither"
            )


def split_dl_dataset(
    dataset: DLDataset,
    training_percent: float | None = None,
    validation_percent: float | None = None,
    *,
    seed: int = 0,
    overwrite_split: bool = False,
    param: SplitParam | None = None,
) -> DLDataset:
    """Divide a data set; the same seed gives the same division, whatever the order of the samples.

    nok images always go to the test set, and with them the ok images of their groups.

    Where the folders or a manifest say what to test on, that is respected: the ok images of `train` are there to learn
    from, those of `validation` only calibrate (see `SplitParam.keep_validation`). Else the percentages divide the ok
    images, copies counted once: the floor of each share, and the remainder dealt randomly by share (groups as near to
    it as they go). Without `validation_percent` the images that calibrate come out of those to learn from: 30 % where
    there are 1,000 or more (`SplitParam.held_out_min`), otherwise every image by a model of the other folds. A validation
    split of fewer than 59 images calibrates together with such out-of-fold scores.

    Args:
        dataset: What `read_dl_dataset_anomaly` returned.
        training_percent: Share of the ok images to learn from. By default 80 where there are nok images to compare
            with, else 100; less `validation_percent`.
        validation_percent: Share of the ok images that only calibrates, HALCON's validation split. What is left of 100
            is tested on. With 0 every image is scored by a model of the other folds, however many there are.
        seed: Decides every random choice.
        overwrite_split: Divide anew by percentages what is divided already, by this procedure or by its source.
        param: Groups and limits; see `SplitParam`.

    Returns:
        The data set: each sample with its `split` (None where it is left out) and, where images judge by folds, its `fold`;
        `division` says how.

    Raises:
        SplitError: An argument is out of range, the percentages sum to more than 100, the data set is divided already,
            or too few different ok images, or groups of them, are left to learn from: a model, of each fold too, needs
            two images.
    """
    param = param or SplitParam()
    if seed < 0:
        raise SplitError(f"seed must be 0 or more, got {seed}")
    percents = _percents(dataset, training_percent, validation_percent)
    is_kept = is_given(dataset, overwrite_split=overwrite_split)
    if is_kept and not (training_percent is None and validation_percent is None):
        raise SplitError(
            f"the folders or the manifest of {dataset.image_dir} already name the test images; leave out "
            "training_percent and validation_percent, or pass overwrite_split=True to divide all ok images by these "
            "percentages"
        )
    random = np.random.default_rng(seed)
    samples = sorted(dataset.samples, key=lambda s: (PurePosixPath(s.image_file_name), s.pixel_digest))
    width = None if param.time_window_minutes is None else round(param.time_window_minutes * _MINUTE_US)
    unit_of = find_units(samples, param.group_by, width)
    if is_kept:
        sides = respect_given(samples, unit_of, keep_validation=param.keep_validation)
    elif param.keep_validation:
        raise SplitError(NO_VALIDATION)
    else:
        sides = divide_by_percent(samples, unit_of, percents, random)
        sides.is_held_given = validation_percent is not None
    return _finish(dataset, sides, unit_of, param, seed, random)


def _percents(dataset: DLDataset, training: float | None, validation: float | None) -> tuple[Fraction, ...]:
    """Exact shares of training, validation and test, in percent."""
    for name, value in (("training_percent", training), ("validation_percent", validation)):
        if value is not None and not 0 <= value <= _ALL:
            raise SplitError(f"{name} must be between 0 and 100, got {value}")
    held = Fraction(str(validation or 0))
    has_nok = any(s.image_label == "nok" for s in dataset.samples)
    default = (TRAINING_PERCENT if has_nok else _ALL) - held
    learn = default if training is None else Fraction(str(training))
    if learn <= 0:
        raise SplitError(
            f"training_percent must be above 0, got {training}"
            if training is not None
            else f"validation_percent {validation} leaves nothing to train on; lower it, or give training_percent"
        )
    if learn + held > _ALL:
        raise SplitError(
            f"training_percent {training} and validation_percent {validation} sum to more than 100; lower one of them"
        )
    return learn, held, _ALL - learn - held


def is_given(dataset: DLDataset, *, overwrite_split: bool) -> bool:
    """Whether `split_dl_dataset` respects the source's own division; False where the percentages divide.

    Raises:
        SplitError: The data set is divided already by that procedure, and `overwrite_split` is False.
    """
    if overwrite_split:
        return False
    if dataset.division is not None:
        raise SplitError(
            f"the data set of {dataset.image_dir} is split already; split it as it was read, or pass "
            "overwrite_split=True to divide all its ok images again"
        )
    return any(s.split is not None for s in dataset.samples)


def _finish(
    dataset: DLDataset,
    sides: Sides,
    unit_of: Mapping[int, int],
    param: SplitParam,
    seed: int,
    random: np.random.Generator,
) -> DLDataset:
    """Hold images out of those to learn from, or divide them into folds."""
    learn, held = without_copies(sides.learn, sides.warnings), without_copies(sides.held, sides.warnings)
    _check_enough(dataset, sides, learn, held, unit_of)
    units = gather(learn, unit_of)
    units = [units[i] for i in random.permutation(len(units))]
    fitted, rest = _hold_out(units, param, is_held_given=sides.is_held_given)
    validation = [*held, *(s for unit in rest for s in unit)]
    groups = gather(validation, unit_of)
    method: CalibrationMethod = "held_out" if len(groups) >= REST_MIN else "out_of_fold"
    folds: Sequence[int | None] = deal_folds(fitted, param.folds) if method == "out_of_fold" else [None] * len(fitted)
    stamped = {
        sample.image_id: replace(sample, split="train", fold=fold)
        for unit, fold in zip(fitted, folds, strict=True)
        for sample in unit
    }
    stamped |= {sample.image_id: replace(sample, split="validation", fold=None) for sample in validation}
    stamped |= {sample.image_id: replace(sample, split="test", fold=None) for sample in sides.test}
    return replace(
        dataset,
        samples=tuple(stamped.get(s.image_id, replace(s, split=None, fold=None)) for s in dataset.samples),
        division=Division(method, seed, tuple(sides.warnings), dict(unit_of)),
    )


def _hold_out(units: Sequence[Unit], param: SplitParam, *, is_held_given: bool) -> tuple[list[Unit], list[Unit]]:
    """Units to fit on, and those that calibrate: beyond the share to fit on, or beyond `max_train`."""
    total = sum(map(len, units))
    is_large = len(units) >= param.held_out_min and not is_held_given
    wanted = max(LEAST_TO_FIT, round(total * (1 - param.calibration_percent / 100))) if is_large else total
    fitted: list[Unit] = []
    rest: list[Unit] = []
    count = 0
    for unit in units:
        if count < wanted and count + len(unit) <= (param.max_train or total):
            fitted.append(unit)
            count += len(unit)
        else:
            rest.append(unit)
    if count < LEAST_TO_FIT:
        raise SplitError(
            f"max_train {param.max_train} leaves {count} training images, because groups stay together and the "
            f"smallest one has {min(map(len, units))} images; raise it, or use smaller groups"
        )
    return fitted, rest


def _check_enough(
    dataset: DLDataset,
    sides: Sides,
    learn: Sequence[DLDatasetSample],
    held: Sequence[DLDatasetSample],
    unit_of: Mapping[int, int],
) -> None:
    """Refuse images too few for a model, or for those of the folds; warn of few."""
    is_alone = len(gather(held, unit_of)) >= REST_MIN
    least = LEAST_TO_FIT if is_alone else _LEAST_OF_FOLDS
    if len(learn) < least:
        images = "image is" if len(learn) == 1 else "images are"
        needs = (
            "a model needs 2" if is_alone else ("3 are needed, so that each can be scored by a model of the two others")
        )
        tested = sum(s.image_label == "ok" for s in sides.test)
        elsewhere = f" ({tested} are tested on, {len(held)} only calibrate)" if tested or held else ""
        mend = "add ok images, or divide them again with more images for training" if elsewhere else "add ok images"
        why = f" ({'; '.join(sides.warnings)})" if sides.warnings else ""
        raise SplitError(
            f"{len(learn)} different ok {images} left to train on in {dataset.image_dir}{elsewhere}; {needs}, "
            f"{FEW_IMAGES} or more for a reliable threshold; {mend}{why}"
        )
    if len(learn) + len(held) < FEW_IMAGES:
        sides.warnings.append(
            f"only {len(learn) + len(held)} different ok images to train on; collect {FEW_IMAGES} or more"
        )
