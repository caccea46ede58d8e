"""Read images into a `DLDataset`: labels, masks, digests, and every refusal before time is spent on a fit.

Every image is decoded once here: a picture that cannot be read, or that another camera took, is named at once, and
the digest of its pixels finds copies under another name or with other metadata.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from inspector.anomaly.domain import ASPECT_TOLERANCE
from inspector.anomaly.image import ImageLimits
from inspector.anomaly.preprocess_param import DLPreprocessParam
from inspector.anomaly.types import CLASS_IDS, AnomalyClass, AnomalyClassId, ImageGeometry
from trainer.errors import DatasetError
from trainer.folders import DatasetParam, list_folders
from trainer.layout import LayoutName, SplitName, some
from trainer.listing import ListedImage, Listing
from trainer.probe import Probe, dark_note, probe_images, read_mask_file
from trainer.progress import StageProgress

READ_LIMITS = ImageLimits(max_bytes=256 * 1024 * 1024)
"""An archive may hold larger files than a frame may be; the pixels are limited alike."""


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


def read_dl_dataset_anomaly(
    image_dir: Path | str | Sequence[Path | str],
    anomaly_dir: Path | str | None = None,
    *,
    all_ok: bool = False,
    param: DatasetParam | None = None,
    progress: StageProgress | None = None,
) -> DLDataset:
    """Read the images below one or several folders with their labels and masks.

    A folder with `train/` or `test/` is read as MVTec AD layout. Otherwise the name of the folder around an image
    decides: `ok` or `good` in any case is ok, all else nok, and a name that leaves it in doubt (`good/monday`) is refused
    (`trainer.labels`); images that lie directly in a lone `image_dir` are all ok, in one of several they are labelled by
    its name. `trainer.masks` says which mask belongs to which image;
    values above 0 are anomalous.

    `trainer.manifest` and `trainer.archive` read the same from a table and from the inspector's archive.

    Args:
        image_dir: Folder of the images, JPEG or PNG, or several; names then count from the folder around them all.
        anomaly_dir: Folder of the masks; `<image_dir>/ground_truth` where it exists, by default.
        all_ok: Label every image ok, whatever its folder is called.
        param: Lists, sub-folders, name rules and groups; see `DatasetParam`.
        progress: Told of each image, as stage "read images".

    Raises:
        DatasetError: A folder or a listed file missing; no image, no ok image; labels not determinable; masks asked for
            but none fits, several masks for an image, one for several images; unreadable image or mask, mask of
            another size, or marks on an ok image; images of different channels or aspect; one picture labelled both
            ok and nok; an unknown parameter (from `DatasetParam`). Names the files and the mend.
    """
    image_dirs = [Path(folder) for folder in ((image_dir,) if isinstance(image_dir, Path | str) else image_dir)]
    masks = None if anomaly_dir is None else Path(anomaly_dir)
    return load_listing(list_folders(image_dirs, masks, param or DatasetParam(), all_ok=all_ok), progress)


def load_listing(listing: Listing, progress: StageProgress | None = None) -> DLDataset:
    """Open every image and mask of a listing, and refuse what cannot be one camera's data set.

    Raises:
        DatasetError: As `read_dl_dataset_anomaly`.
    """
    if not any(image.label == "ok" and image.split != "test" for image in listing.images):
        raise DatasetError(f"no ok image to train from in {listing.image_dir}; {listing.ok_mend}")
    paths = [listing.image_dir / image.name for image in listing.images]
    probes = probe_images(paths, READ_LIMITS, progress)
    samples = tuple(_sample(i, *pair) for i, pair in enumerate(zip(listing.images, probes, strict=True)))
    _check_geometry(samples)
    _check_labels(samples)
    has_masks = any(image.mask for image in listing.images)
    dataset = DLDataset(
        listing.image_dir, listing.anomaly_dir if has_masks else None, listing.kind, samples, listing.notes
    )
    dark = dark_note(paths[0])
    return replace(dataset, notes=(*listing.notes, *([dark] if dark else []), *_check_masks(dataset)))


def _sample(index: int, image: ListedImage, probe: Probe) -> DLDatasetSample:
    return DLDatasetSample(
        image_id=index,
        image_file_name=image.name,
        image_label=image.label,
        width=probe.width,
        height=probe.height,
        channels=probe.channels,
        digest=probe.digest,
        pixel_digest=probe.pixel_digest,
        defect=image.defect,
        anomaly_file_name=image.mask,
        split=image.split,
        group=image.group,
        captured_at=image.captured_at,
    )


def _check_masks(dataset: DLDataset) -> list[str]:
    """Read every mask; returns remarks."""
    notes = []
    for sample in dataset.samples:
        path = dataset.mask_path(sample)
        if path is None:
            continue
        is_marked = bool(read_mask_file(path, (sample.height, sample.width)).any())
        if sample.image_label == "ok" and is_marked:
            raise DatasetError(
                f"mask {path} marks pixels of {sample.image_file_name}, which is labelled ok; correct the label or "
                "remove the mask"
            )
        if sample.image_label == "nok" and not is_marked:
            notes.append(f"mask {sample.anomaly_file_name} marks no pixel, although its image is nok")
    return notes


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


def _check_geometry(samples: Sequence[DLDatasetSample]) -> None:
    """All images must be of one camera: the channels and (within 2 %) the aspect of the typical ok image."""
    typical = trained_geometry(samples)
    strangers = [s.image_file_name for s in samples if s.channels != typical.channels]
    if strangers:
        kind = "gray" if typical.channels == 1 else "colour"
        raise DatasetError(
            f"most ok images are {kind}, but these are not: {some(strangers)}; "
            "convert or remove them, a model is fitted to one camera"
        )
    strangers = [
        f"{s.image_file_name} ({s.width}x{s.height})" for s in samples if not typical.fits_aspect(s.width, s.height)
    ]
    if strangers:
        raise DatasetError(
            f"the typical ok image has {typical.width}x{typical.height} pixels, the aspect of these differs by more "
            f"than {ASPECT_TOLERANCE:.0%}: {some(strangers)}; crop or remove them, a model is fitted to one camera"
        )


def _check_labels(samples: Iterable[DLDatasetSample]) -> None:
    copies: defaultdict[str, list[DLDatasetSample]] = defaultdict(list)
    for sample in samples:
        copies[sample.pixel_digest].append(sample)
    for group in copies.values():
        if len({sample.image_label for sample in group}) > 1:
            names = " and ".join(f"{s.image_file_name} ({s.image_label})" for s in group[:2])
            raise DatasetError(f"{names} are the same picture; remove the one with the wrong label")
