"""Data sets that tests read from folders, and what they look at."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from trainer.dataset.dataset import DLDataset
from trainer.dataset.read import read_dl_dataset_anomaly
from trainer.errors import DatasetError
from trainer.listing.folders import DatasetParam


def by_name(dataset: DLDataset) -> dict[str, tuple[str, str | None, str | None]]:
    return {s.image_file_name: (s.image_label, s.split, s.defect) for s in dataset.samples}


def refusal(root: Path | list[Path], anomaly_dir: Path | None = None) -> str:
    with pytest.raises(DatasetError) as caught:
        read_dl_dataset_anomaly(root, anomaly_dir)
    return str(caught.value)


def read(root: Path | list[Path], anomaly_dir: Path | None = None, **param: Any) -> DLDataset:
    return read_dl_dataset_anomaly(root, anomaly_dir, param=DatasetParam(**param))


def masks_of(dataset: DLDataset) -> dict[str, str | None]:
    return {s.image_file_name: s.anomaly_file_name for s in dataset.samples if s.image_label == "nok"}


def refused(root: Path | list[Path], anomaly_dir: Path | None = None, **param: Any) -> str:
    with pytest.raises(DatasetError) as caught:
        read(root, anomaly_dir, **param)
    return str(caught.value)


def every_nth(images: Path, step: int, copy: Path) -> Path:
    """A copy of a set of images with one of so many of each folder: as many as show a break, and no more."""
    for folder in [images, *sorted(path for path in images.rglob("*") if path.is_dir())]:
        for path in sorted(path for path in folder.iterdir() if path.is_file())[::step]:
            target = copy / path.relative_to(images)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
    return copy
