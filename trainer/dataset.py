"""Read a folder of images into a `DLDataset`: labels, masks, digests, and every refusal before time is spent on a fit.

Every image is decoded once here: a picture that cannot be read, or that another camera took, is named at once, and
the digest of its pixels finds copies under another name or with other metadata.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from inspector.anomaly.cores import usable_cores
from inspector.anomaly.errors import ImageError
from inspector.anomaly.image import ImageLimits, decode_image
from inspector.anomaly.preprocess_param import DLPreprocessParam
from inspector.anomaly.types import ImageGeometry
from trainer.errors import DatasetError
from trainer.layout import ImageLabel, LabelledFile, LayoutName, SplitName, find_images, match_masks, some

Progress = Callable[[int, int], None]
"""Called from the calling thread with the number of finished items and the number of all."""

READ_LIMITS = ImageLimits(max_bytes=256 * 1024 * 1024)
"""An archive may hold larger files than a frame may be; the pixels are limited alike."""

ASPECT_TOLERANCE = 0.02
"""Largest relative difference from the median aspect; the service refuses frames beyond it (`geometry`)."""


@dataclass(frozen=True, slots=True)
class DLDatasetSample:
    """One image of a data set. File names are relative to the data set's folders."""

    image_id: int
    image_file_name: str
    image_label: ImageLabel
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
    """Given by the folder (MVTec AD layout) until `split_dl_dataset` decides."""
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
    class_names: tuple[ImageLabel, ImageLabel] = ("ok", "nok")
    class_ids: tuple[int, int] = (0, 1)
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
        return None if path is None else _read_mask(path, (sample.height, sample.width))

    @property
    def digest(self) -> str:
        """SHA-256 over names, labels and contents, hexadecimal: says which pictures a model was made of."""
        lines = sorted(f"{s.digest} {s.image_label} {s.image_file_name}" for s in self.samples)
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def read_dl_dataset_anomaly(
    image_dir: Path, anomaly_dir: Path | None = None, *, all_ok: bool = False, progress: Progress | None = None
) -> DLDataset:
    """Read the images below a folder with their labels and masks.

    A folder with `train/` is read as MVTec AD layout. Otherwise the name of the folder around an image decides:
    `ok` or `good` in any case is ok, all else nok; images that lie directly in `image_dir` are all ok.
    A mask is `<anomaly_dir>/<defect>/<image>_mask.png` or `<image>.png`; values above 0 are anomalous.

    Args:
        image_dir: Folder of the images, JPEG or PNG.
        anomaly_dir: Folder of the masks; `<image_dir>/ground_truth` where it exists, by default.
        all_ok: Label every image ok, whatever its folder is called.
        progress: Called as images are read.

    Raises:
        DatasetError: Folder missing, no ok image, unreadable image, labels ambiguous, mask of another size, images
            of different channels or aspect, or one picture labelled both ok and nok. Names the files and the mend.
    """
    layout = find_images(image_dir, all_ok=all_ok)
    if not any(f.label == "ok" and f.split != "test" for f in layout.files):
        where = image_dir / "train" / "good" if layout.kind == "mvtec" else image_dir / "good"
        raise DatasetError(f"no ok image to train from below {image_dir}; put ok images into {where}")
    mask_dir = anomaly_dir if anomaly_dir is not None else image_dir / "ground_truth"
    masks, mask_notes = match_masks(layout.files, mask_dir, must_match=anomaly_dir is not None)
    samples = _probe_all(image_dir, layout.files, progress)
    samples = [_with_mask(s, masks.get(f.name)) for s, f in zip(samples, layout.files, strict=True)]
    _check_geometry(samples)
    _check_labels(samples)
    notes = [*layout.notes, *mask_notes]
    for sample in samples:
        if sample.anomaly_file_name is not None:
            mask = _read_mask(mask_dir / sample.anomaly_file_name, (sample.height, sample.width))
            if not mask.any():
                notes.append(f"mask {sample.anomaly_file_name} marks no pixel, although its image is nok")
    return DLDataset(image_dir, mask_dir if masks else None, layout.kind, tuple(samples), tuple(notes))


def _with_mask(sample: DLDatasetSample, mask: PurePosixPath | None) -> DLDatasetSample:
    return sample if mask is None else replace(sample, anomaly_file_name=str(mask))


def _probe_all(root: Path, files: Sequence[LabelledFile], progress: Progress | None) -> list[DLDatasetSample]:
    """Decode every image; all that fail are reported together, so that one pass mends them."""
    samples: list[DLDatasetSample] = []
    failures: list[str] = []
    with ThreadPoolExecutor(usable_cores(), thread_name_prefix="dataset") as pool:
        probes: Iterator[DLDatasetSample | DatasetError] = pool.map(
            _probe, (root,) * len(files), range(len(files)), files
        )
        for done, outcome in enumerate(probes, start=1):
            if isinstance(outcome, DatasetError):
                failures.append(str(outcome))
            else:
                samples.append(outcome)
            if progress is not None:
                progress(done, len(files))
    if failures:
        raise DatasetError(f"{some(failures)}; replace or remove {'it' if len(failures) == 1 else 'them'}")
    return samples


def _probe(root: Path, index: int, file: LabelledFile) -> DLDatasetSample | DatasetError:
    path = root / file.name
    try:
        content = path.read_bytes()
    except OSError as error:
        return DatasetError(f"{path} cannot be read ({error.strerror})")
    try:
        picture = decode_image(content, limits=READ_LIMITS)
    except ImageError as error:
        return DatasetError(f"{path} is not a readable JPEG or PNG image ({error})")
    pixels = picture.image
    pixel_digest = hashlib.blake2b(repr(pixels.shape).encode(), digest_size=16)
    pixel_digest.update(np.ascontiguousarray(pixels).data)
    return DLDatasetSample(
        image_id=index,
        image_file_name=str(file.name),
        image_label=file.label,
        width=picture.original_width,
        height=picture.original_height,
        channels=picture.channels,
        digest=hashlib.sha256(content).hexdigest(),
        pixel_digest=pixel_digest.hexdigest(),
        defect=file.defect,
        split=file.split,
    )


def _read_mask(path: Path, shape: tuple[int, int]) -> NDArray[np.bool_]:
    if path.suffix.lower() != ".png":
        raise DatasetError(f"mask {path} is a JPEG, whose compression invents pixels above 0; save it as PNG")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DatasetError(f"mask {path} cannot be read ({error.strerror}); replace or remove it") from error
    mask = cv2.imdecode(np.frombuffer(content, dtype=np.uint8), cv2.IMREAD_UNCHANGED) if content else None
    if mask is None:
        raise DatasetError(f"mask {path} is not a readable PNG image; replace or remove it")
    if mask.shape[:2] != shape:
        raise DatasetError(
            f"mask {path} has {mask.shape[1]}x{mask.shape[0]} pixels, its image {shape[1]}x{shape[0]}; "
            "draw the mask on the original image"
        )
    values = mask.reshape(*shape, -1)[..., :3]  # an opacity channel is no mark
    return np.asarray(values.max(axis=2) > 0)


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
    strangers = []
    for sample in samples:
        ratio = (sample.width * typical.height) / (sample.height * typical.width)
        if not 1 / (1 + ASPECT_TOLERANCE) <= ratio <= 1 + ASPECT_TOLERANCE:
            strangers.append(f"{sample.image_file_name} ({sample.width}x{sample.height})")
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
