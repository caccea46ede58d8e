"""Pictures as PNG files: samples with their results, what an evaluation found, the error of a training."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import Final

from trainer.display.evaluation import (
    EvaluationDisplayParam,
    dev_display_anomaly_detection_evaluation,
    training_error_curve,
)
from trainer.display.names import picture_names
from trainer.display.picture import write_png
from trainer.display.sample import DisplayKey, DisplayParam, dev_display_dl_data
from trainer.display.tiles import ShownSample, TiledParam, dev_display_dl_data_tiled
from trainer.errors import SettingsError
from trainer.evaluation.result import EvaluationResult

LONGEST_NAME: Final = 200
"""Bytes of a picture's name; a file system takes 255, of which the suffix and a hidden name while it is written need some."""

_DIGITS: Final = 8
GRID_NAME = "grid.png"
TRAINING_NAME = "training_error.png"


def show_samples(
    folder: Path | str,
    samples: Sequence[ShownSample],
    *,
    keys: Sequence[DisplayKey] = ("anomaly_both", "anomaly_image"),
    param: DisplayParam | None = None,
    names: Sequence[PurePath] | None = None,
) -> list[Path]:
    """Write `<folder>/<key>/<image>.png` for each sample and key; the folders of an image's name are kept.

    Args:
        folder: Where to write.
        samples: What to draw.
        keys: What of it.
        param: How.
        names: Of the pictures below each key's folder, as `sample_picture_names` gives them for more samples than these; by
            default of these alone.

    Returns:
        The files, sample by sample.

    Raises:
        SettingsError: A sample lacks what a key shows, or two samples would be written to one file.
        OutputError: A file cannot be written.
    """
    if names is None:
        names = sample_picture_names([_name_of(shown, index) for index, shown in enumerate(samples)])
    written = []
    for name, shown in zip(names, samples, strict=True):
        drawn = dev_display_dl_data(shown.sample, shown.result, shown.ground_truth, keys=keys, param=param)
        for key, picture in drawn.items():
            target = Path(folder) / key / name
            write_png(target, picture)
            written.append(target)
    return written


def sample_picture_names(images: Sequence[str]) -> list[PurePath]:
    """Name the picture of each sample: never outside the folder, whatever the image's name says, and no two alike.

    Raises:
        SettingsError: Two samples are called the same.
    """
    if len(set(images)) < len(images):
        twice = next(name for index, name in enumerate(images) if name in images[:index])
        raise SettingsError(f"two samples are called {twice}; give each a different image_file_name")
    paths = map(PurePath, images)
    return picture_names([_inside(path) for path in paths])


def show_grid(
    folder: Path | str,
    samples: Sequence[ShownSample],
    *,
    key: DisplayKey = "anomaly_both",
    param: TiledParam | None = None,
) -> Path:
    """Write `<folder>/grid.png`, all samples at a glance.

    Raises:
        SettingsError: There is no sample, or one lacks what `key` shows.
        OutputError: The file cannot be written.
    """
    target = Path(folder) / GRID_NAME
    write_png(target, dev_display_dl_data_tiled(samples, key, param=param))
    return target


def show_evaluation(
    folder: Path | str, evaluation: EvaluationResult, *, param: EvaluationDisplayParam | None = None
) -> list[Path]:
    """Write `<folder>/<display mode>.png` for each mode; of all where `param` is None.

    Raises:
        SettingsError: The evaluation lacks what a mode shows.
        OutputError: A file cannot be written.
    """
    param = EvaluationDisplayParam(display_mode="all") if param is None else param
    written = []
    for mode, picture in dev_display_anomaly_detection_evaluation(evaluation, param=param).items():
        target = Path(folder) / f"{mode}.png"
        write_png(target, picture)
        written.append(target)
    return written


def show_training(folder: Path | str, errors: Sequence[float], *, best_epoch: int | None = None) -> Path:
    """Write `<folder>/training_error.png`.

    Raises:
        SettingsError: There is no finite error, or `best_epoch` is not one of the epochs.
        OutputError: The file cannot be written.
    """
    target = Path(folder) / TRAINING_NAME
    write_png(target, training_error_curve(errors, best_epoch=best_epoch))
    return target


def _name_of(shown: ShownSample, index: int) -> str:
    """The image's name, or what stands for it."""
    name = shown.sample.image_file_name
    if name is not None:
        return name
    return f"image_{index:05}" if shown.sample.image_id is None else f"image_{shown.sample.image_id}"


def _inside(path: PurePath) -> PurePath:
    """The path below a folder, wherever it leads, with a name that a file can have."""
    inside = PurePath(*(part for part in path.parts if part not in {"..", path.anchor}))
    return inside.with_name(_short(inside.name))


def _short(name: str) -> str:
    """The name, or where no file could be called so with what is added to it, its start and a digest of it."""
    if len(name.encode()) <= LONGEST_NAME:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:_DIGITS]
    return f"{name.encode()[: LONGEST_NAME - _DIGITS - 1].decode(errors='ignore')}-{digest}"
