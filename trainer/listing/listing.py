"""What a source of images (folders, a manifest, an archive) says about them before any is opened."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from inspector.anomaly.choices import AnomalyClass
from trainer.listing.tally import Tally


@dataclass(frozen=True, slots=True)
class ListedImage:
    """One image, as its source describes it."""

    name: str
    """Relative to the listing's `image_dir`; absolute where it lies elsewhere."""
    label: AnomalyClass
    split: SplitName | None = None
    defect: str | None = None
    mask: str | None = None
    """Relative to the listing's `anomaly_dir`; absolute where it lies elsewhere."""
    group: str | None = None
    """Images of one group never straddle a split: a part, a carrier, a lot."""
    captured_at: int | None = None
    """µs since 1970-01-01 UTC."""


@dataclass(frozen=True, slots=True)
class Listing:
    """All images of a source, and remarks that the user should read."""

    image_dir: Path
    anomaly_dir: Path
    """Where the masks' names start, whether there are any or not."""
    kind: LayoutName
    images: tuple[ListedImage, ...]
    notes: tuple[str, ...]
    ok_mend: str
    """What to do if there is no ok image to train on."""
    tally: Tally | None = None
    """Of the files that were seen; None where the source names its images one by one, and all are taken."""


SplitName = Literal["train", "validation", "test"]


LayoutName = Literal["mvtec", "folders", "all_ok", "manifest", "archive"]
