"""Data sets without files that tests divide, and what they look at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from inspector.anomaly.choices import AnomalyClass
from trainer.dataset.dataset import Division, DLDataset, DLDatasetSample
from trainer.errors import SplitError
from trainer.listing.listing import LayoutName, SplitName
from trainer.prepare.split import split_dl_dataset

Row = tuple[AnomalyClass, SplitName | None, str]
"""Label, folder's split, pixel digest."""


def dataset(rows: list[Row], layout: LayoutName = "mvtec") -> DLDataset:
    samples = tuple(
        DLDatasetSample(i, f"{i:04}.png", label, 8, 8, 3, digest=pixels, pixel_digest=pixels, split=split)
        for i, (label, split, pixels) in enumerate(rows)
    )
    return DLDataset(Path("set"), None, layout, samples)


def ok_images(count: int, split: SplitName | None = "train") -> list[Row]:
    return [("ok", split, f"{split}-{i}") for i in range(count)]


def pixels(samples: tuple[DLDatasetSample, ...]) -> list[str]:
    return [s.pixel_digest for s in samples]


def division(split: DLDataset) -> Division:
    assert split.division is not None
    return split.division


def refusal(rows: list[Row], layout: LayoutName = "folders", **arguments: Any) -> str:
    with pytest.raises(SplitError) as caught:
        split_dl_dataset(dataset(rows, layout), **arguments)
    return str(caught.value)


def sizes(split: DLDataset) -> tuple[int, int, int]:
    return len(split.train), len(split.validation), len(split.test)


def names(split: DLDataset) -> tuple[list[str], ...]:
    return tuple(sorted(s.image_file_name for s in part) for part in sides_of(split))


def sides_of(split: DLDataset) -> tuple[tuple[DLDatasetSample, ...], ...]:
    return split.train, split.validation, split.test
