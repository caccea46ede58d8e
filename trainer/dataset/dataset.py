"""A data set as the procedures pass it on: its samples, where their files are, and how they are divided."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from inspector.anomaly.choices import AnomalyClass, GeometryRule
from inspector.anomaly.preprocess.param import DLPreprocessParam
from inspector.anomaly.types import CLASS_IDS, AnomalyClassId, ImageGeometry
from trainer.dataset.camera import typical_geometry
from trainer.errors import DatasetError
from trainer.listing.listing import LayoutName, SplitName
from trainer.listing.tally import Tally
from trainer.pictures.marks import read_marks

CalibrationMethod = Literal["held_out", "out_of_fold"]


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
    """Its mask, or the folder of its masks where it has several."""
    split: SplitName | None = None
    """Given by the folder (MVTec AD layout) or a manifest until `split_dl_dataset` decides."""
    group: str | None = None
    """Images of one group never straddle a split: a part, a carrier, a lot."""
    captured_at: int | None = None
    """µs since 1970-01-01 UTC, where the source says so."""
    fold: int | None = None
    """Of a training image that a model of the other folds judges, from 0; `split_dl_dataset` decides."""

    @property
    def geometry(self) -> ImageGeometry:
        """Size and channels of the picture."""
        return ImageGeometry(width=self.width, height=self.height, channels=self.channels)

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
class Division:
    """What `split_dl_dataset` decided about a data set, besides the `split` and `fold` of each sample."""

    method: CalibrationMethod
    """Whose scores thresholds come from: of images held out, or of training images by models of the other folds."""
    seed: int
    warnings: tuple[str, ...] = ()
    """Sentences for the user."""
    units: Mapping[int, int] = field(default_factory=dict)
    """Number of the group of each image, by image_id: those that share one stay on one side, and in one fold."""


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
    division: Division | None = None
    """How `split_dl_dataset` gave the samples their `split`; None where it did not, whatever their source says."""
    preprocess_param: DLPreprocessParam | None = None
    """What `preprocess_dl_dataset` applied, and where it put the samples."""
    dlsample_dir: Path | None = None
    geometry_rule: GeometryRule = "one-camera"
    """Whether the images share their aspect, or are of any size and aspect; a model that learns from them takes the same."""
    tally: Tally | None = None
    """Of the files that were seen when it was read: how many were taken, and which were left out and why."""
    apply_exif: bool = False
    """Whether images are turned upright as their EXIF flag says; masks, sizes and a model that learns from them go by that."""
    unreadable: tuple[str, ...] = ()
    """Files that could not be read and were left out, as asked for, each with its reason."""

    @property
    def train(self) -> tuple[DLDatasetSample, ...]:
        """What a model is fitted on, in the order of the samples, as of all splits."""
        return self.of_split("train")

    @property
    def validation(self) -> tuple[DLDatasetSample, ...]:
        """What only calibrates: held out of the training."""
        return self.of_split("validation")

    @property
    def test(self) -> tuple[DLDatasetSample, ...]:
        """What the model is judged on."""
        return self.of_split("test")

    @property
    def folds(self) -> tuple[int, ...]:
        """Fold of each image of `train`; empty where there are none."""
        folds = [sample.fold for sample in self.train]
        return () if None in folds else tuple(fold for fold in folds if fold is not None)

    @property
    def num_folds(self) -> int:
        """How many folds there are; 0 where images are held out."""
        return max(self.folds, default=-1) + 1

    def check_orientation(self, preprocess_param: DLPreprocessParam) -> None:
        """Refuse parameters by which images would be turned otherwise than the data set was read.

        Raises:
            DatasetError: One applies EXIF flags, the other does not.
        """
        if preprocess_param.apply_exif != self.apply_exif:
            raise DatasetError(
                f"the data set was read with apply_exif={self.apply_exif}, but the preprocessing parameters say "
                f"apply_exif={preprocess_param.apply_exif}; use the same value for both (--apply-exif)"
            )

    def of_split(self, name: SplitName) -> tuple[DLDatasetSample, ...]:
        """The samples of a split, in their order."""
        return tuple(sample for sample in self.samples if sample.split == name)

    def groups_of(self, samples: Iterable[DLDatasetSample]) -> list[int]:
        """Number of the group of each of these samples; one of its own where nobody said more."""
        units = {} if self.division is None else self.division.units
        return [units.get(sample.image_id, sample.image_id) for sample in samples]

    def image_path(self, sample: DLDatasetSample) -> Path:
        """Where the sample's image lies."""
        return self.image_dir / sample.image_file_name

    def mask_path(self, sample: DLDatasetSample) -> Path | None:
        """Where the sample's mask lies, if it has one: a file, or a folder of several."""
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
        return None if path is None else read_marks(path, (sample.height, sample.width))

    @property
    def digest(self) -> str:
        """SHA-256 over names, labels and contents, hexadecimal: says which pictures a model was made of."""
        lines = sorted(f"{s.digest} {s.image_label} {s.image_file_name}" for s in self.samples)
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def trained_geometry(samples: Iterable[DLDatasetSample], rule: GeometryRule = "one-camera") -> ImageGeometry:
    """Size and channels of the typical ok image to learn from: the one whose aspect is the median.

    Args:
        samples: Of a data set.
        rule: That of the data set.

    Raises:
        DatasetError: There is no ok image outside the test set.
    """
    return typical_geometry((s.geometry for s in samples if s.image_label == "ok" and s.split != "test"), rule)
