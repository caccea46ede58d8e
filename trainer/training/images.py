"""What a model is trained on: the training images of a data set, or samples in memory, and what is refused among them."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from inspector.anomaly.preprocess.param import DLPreprocessParam
from inspector.anomaly.types import DLSample, ImageGeometry
from trainer.dataset.dataset import DLDataset, DLDatasetSample, trained_geometry
from trainer.dataset.files import read_samples
from trainer.errors import DatasetError
from trainer.prepare.preprocess import read_dl_samples
from trainer.wording import some


@dataclass(frozen=True, slots=True)
class TrainingImages:
    """The images to learn from.

    Attributes:
        items: Their files, or the samples themselves.
        preprocess_param: What they go through.
        geometry: Size and channels of the typical one.
        digest: SHA-256 over the images in their order, hexadecimal.
        cached: The data set whose preprocessed samples, of these same images, are used instead of the files.
        samples: Of that data set.
    """

    items: Sequence[Path | DLSample]
    preprocess_param: DLPreprocessParam
    geometry: ImageGeometry
    digest: str
    cached: DLDataset | None = None
    samples: Sequence[DLDatasetSample] = ()

    def __len__(self) -> int:
        return len(self.items)

    def batches(self, size: int, *, is_picture_needed: bool = False) -> Iterator[list[DLSample]]:
        """Yield the samples in their order, at most `size` at once: from the cache where there is one.

        Args:
            size: Samples in a batch.
            is_picture_needed: Read the files all the same.

        Raises:
            DatasetError: A file or a cached sample cannot be read.
        """
        if self.cached is None or is_picture_needed:
            yield from read_samples(self.items, self.preprocess_param, batch_size=size)
            return
        batch: list[DLSample] = []
        for sample in read_dl_samples(self.cached, self.samples):
            batch.append(sample)
            if len(batch) == size:
                yield batch
                batch = []
        if batch:
            yield batch


def dataset_images(
    dataset: DLDataset, preprocess_param: DLPreprocessParam, samples: Sequence[DLDatasetSample] | None = None
) -> TrainingImages:
    """The images of a data set's split `train`.

    A data set that `preprocess_dl_dataset` went through with these very parameters gives its preprocessed samples.

    Args:
        dataset: Divided.
        preprocess_param: What the images go through.
        samples: Those of the split, where their order matters; by default in the order of the data set.

    Raises:
        DatasetError: The data set is not divided, or a nok image is to be learnt from.
    """
    chosen = [s for s in dataset.samples if s.split == "train"] if samples is None else list(samples)
    if not chosen:
        raise DatasetError(
            f"no image of {dataset.image_dir} is in the split train; call split_dl_dataset before the training"
        )
    strangers = [s.image_file_name for s in chosen if s.split != "train"]
    if strangers:
        raise DatasetError(f"{some(strangers)} are not in the split train; learn from that split only")
    nok = [s.image_file_name for s in chosen if s.image_label != "ok"]
    if nok:
        raise DatasetError(
            f"{some(nok)} are nok and in the split train; anomaly detection learns from ok images alone: move them to "
            "test, or let split_dl_dataset do so with overwrite_split=True"
        )
    is_cached = dataset.preprocess_param == preprocess_param and all(s.dlsample_file_name for s in chosen)
    return TrainingImages(
        items=[dataset.image_path(sample) for sample in chosen],
        preprocess_param=preprocess_param,
        geometry=trained_geometry(chosen),
        digest=_digest([s.digest for s in chosen]),
        cached=dataset if is_cached else None,
        samples=chosen,
    )


def sample_images(samples: Sequence[DLSample], preprocess_param: DLPreprocessParam) -> TrainingImages:
    """The samples themselves, preprocessed or not.

    Raises:
        DatasetError: There is none, one is nok, or they differ in channels or aspect.
    """
    if not samples:
        raise DatasetError("there is no sample to learn from; give ok images")
    names = [_name(sample, index) for index, sample in enumerate(samples)]
    nok = [name for name, sample in zip(names, samples, strict=True) if sample.image_label == "nok"]
    if nok:
        raise DatasetError(f"{some(nok)} are nok; anomaly detection learns from ok images alone, leave them out")
    geometry = _typical(samples)
    strangers = [
        f"{name} ({s.original_width}x{s.original_height}, {s.channels} channel(s))"
        for name, s in zip(names, samples, strict=True)
        if s.channels != geometry.channels or not geometry.fits_aspect(s.original_width, s.original_height)
    ]
    if strangers:
        raise DatasetError(
            f"the typical sample has {geometry.width}x{geometry.height} pixels and {geometry.channels} channel(s), unlike "
            f"{some(strangers)}; a model is fitted to one camera"
        )
    return TrainingImages(
        items=list(samples),
        preprocess_param=preprocess_param,
        geometry=geometry,
        digest=_digest([_pixels(sample) for sample in samples]),
    )


def _name(sample: DLSample, index: int) -> str:
    return sample.image_file_name or f"sample {index if sample.image_id is None else sample.image_id}"


def _typical(samples: Sequence[DLSample]) -> ImageGeometry:
    """The sample with the median aspect, as `trained_geometry` chooses."""
    channels = Counter(s.channels for s in samples).most_common(1)[0][0]
    ordered = sorted(samples, key=lambda s: (s.original_width / s.original_height, s.original_width))
    middle = ordered[len(ordered) // 2]
    return ImageGeometry(width=middle.original_width, height=middle.original_height, channels=channels)


def _pixels(sample: DLSample) -> str:
    content = hashlib.sha256(f"{sample.image.shape}".encode())
    content.update(sample.image.tobytes())
    if sample.preprocessed is not None:
        content.update(sample.preprocessed.cpu().contiguous().numpy().tobytes())
    return content.hexdigest()


def _digest(parts: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
