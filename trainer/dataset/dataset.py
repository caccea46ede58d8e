"""Read images into a `DLDataset`: labels, masks, digests, and every refusal before time is spent on a fit.

Every image is decoded once here: a picture that cannot be read, or that another camera took, is named at once, and
the digest of its pixels finds copies under another name or with other metadata.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from inspector.anomaly.preprocess.param import DLPreprocessParam
from inspector.anomaly.types import CLASS_IDS, AnomalyClass, AnomalyClassId, ImageGeometry
from trainer.dataset.files import read_mask_file
from trainer.dataset.listing import LayoutName, SplitName
from trainer.errors import DatasetError


@dataclass(frozen=True, slots=True)
class DLDatasetSample:
    """One image of a data set. File names are relative to the data set's folders."""

    image_id: int
    image_file_name: str
    image_label: AnomalyClass
    width: int
    height: int
    channels: Literal[1, 3]
    digest: str
    """SHA-256 of the file, hexadecimal."""
    pixel_digest: str
    """BLAKE2b-128 of shape and decoded pixels, hexadecimal: equal for copies of one picture."""
    defect: str | None = None
    anomaly_file_name: str | None = None
    split: SplitName | None = None
    """Given by the folder (MVTec AD layout) or a manifest until `split_dl_dataset` decides."""
    group: str | None = None
    """Images of one group never straddle a split: a part, a carrier, a lot."""
    captured_at: int | None = None
    """µs since 1970-01-01 UTC, where the source says so."""

    @property
    def anomaly_label(self) -> AnomalyClass:
        """HALCON's procedures call it so, its chapter `image_label`."""
        return self.image_label

    @property
    def anomaly_label_id(self) -> AnomalyClassId:
        """0 for ok, 1 for nok."""
        return CLASS_IDS[self.image_label]

    dlsample_file_name: str | None = None
    """Name in `DLDataset.dlsample_dir`, once preprocessed."""


@dataclass(frozen=True, slots=True)
class DLDataset:
    """All images of a folder; `image_id` is the index into `samples`."""

    image_dir: Path
    anomaly_dir: Path | None
    layout: LayoutName
    samples: tuple[DLDatasetSample, ...]
    notes: tuple[str, ...] = ()
    """What was assumed or left out while reading, in sentences for the user."""
    class_names: tuple[AnomalyClass, AnomalyClass] = ("ok", "nok")
    class_ids: tuple[int, int] = (0, 1)
    is_split: bool = False
    """Whether `split_dl_dataset` gave the samples their `split`, rather than their source."""
    preprocess_param: DLPreprocessParam | None = None
    """What `preprocess_dl_dataset` applied, and where it put the samples."""
    dlsample_dir: Path | None = None

    def image_path(self, sample: DLDatasetSample) -> Path:
        """Where the sample's image lies."""
        return self.image_dir / sample.image_file_name

    def mask_path(self, sample: DLDatasetSample) -> Path | None:
        """Where the sample's mask lies, if it has one."""
        if sample.anomaly_file_name is None or self.anomaly_dir is None:
            return None
        return self.anomaly_dir / sample.anomaly_file_name

    def read_mask(self, sample: DLDatasetSample) -> NDArray[np.bool_] | None:
        """The sample's anomalous pixels, (height, width) of the image; all False for ok, None where unknown.

        Raises:
            DatasetError: The mask cannot be read any more, or its size is not the image's.
        """
        if sample.image_label == "ok":
            return np.zeros((sample.height, sample.width), dtype=np.bool_)
        path = self.mask_path(sample)
        return None if path is None else read_mask_file(path, (sample.height, sample.width))

    @property
    def digest(self) -> str:
        """SHA-256 over names, labels and contents, hexadecimal: says which pictures a model was made of."""
        lines = sorted(f"{s.digest} {s.image_label} {s.image_file_name}" for s in self.samples)
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def trained_geometry(samples: Iterable[DLDatasetSample]) -> ImageGeometry:
    """Size and channels of the typical ok image to learn from: the one whose aspect is the median.

    Raises:
        DatasetError: There is no ok image outside the test set.
    """
    ok = [s for s in samples if s.image_label == "ok" and s.split != "test"]
    if not ok:
        raise DatasetError("no ok image to learn from")
    channels = Counter(s.channels for s in ok).most_common(1)[0][0]
    typical = sorted(ok, key=lambda s: (s.width / s.height, s.width))[len(ok) // 2]
    return ImageGeometry(width=typical.width, height=typical.height, channels=channels)
