"""One pass of the backbone over the training images; everything after it works on the embeddings."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from inspector.anomaly.detectors.detail import DETAIL_STRIDE
from inspector.anomaly.detectors.fine import FINE_DIMS
from inspector.anomaly.domain.score import domain_mask
from inspector.anomaly.errors import ParameterError
from inspector.anomaly.model.bundle import DETECTORS
from inspector.anomaly.model.feature_network import FeatureNetwork
from inspector.anomaly.model.golden import NUM_GOLDEN_IMAGES, golden_image
from inspector.anomaly.model.param import DLModelParam
from inspector.anomaly.preprocess.param import DLPreprocessParam
from inspector.anomaly.preprocess.tiling import TileGrid
from inspector.anomaly.types import DLSample, ImageGeometry
from trainer.dataset.dataset import DLDatasetSample
from trainer.pictures.files import read_samples
from trainer.progress import StageProgress
from trainer.training.augment import augment
from trainer.training.augmentation import Augmentation
from trainer.training.feature_store import DEFAULT_LIMIT_BYTES, FeatureStore
from trainer.training.images import TrainingImages, inputs_of
from trainer.training.network import build_network, embedded_batch, scale_images
from trainer.training.train_param import DLTrainParam, check_train_param
from trainer.training.variation import CameraVariation, varied_images

_OF_NETWORK = {"detector", "backbone", "weights", "levels", "grid_level", "feature_normalization", "embedding_dims"}
"""What of a model decides the embeddings of its images."""

OnRead = Callable[[DLDatasetSample, DLSample], None]


@dataclass(frozen=True)
class TrainingFeatures:
    """What a detector is fitted on; a context manager, for the store.

    Attributes:
        network: Pictures to embeddings.
        store: The embeddings: of each image that of itself, then those of its copies; of each of these one for each tile.
        copies: Of each image.
        grids: Where the tiles of each image lie; None where images are not cut.
        geometry: Of the pictures.
        golden_images: A few of them, for the model to keep.
        digest: SHA-256 of all that decides the embeddings, hexadecimal.
        seconds: What the pass took.
        variation: (D, D) float64, how the projected part of the embedding moves with what a camera changes without the part, D its
            dimensions; None where it was not asked for, or no image has a picture.
    """

    network: FeatureNetwork
    store: FeatureStore
    copies: int
    grids: tuple[TileGrid, ...] | None
    geometry: ImageGeometry
    golden_images: tuple[NDArray[np.uint8], ...]
    digest: str
    seconds: float
    variation: Tensor | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.store.close()

    def __len__(self) -> int:
        """Number of images, without copies."""
        return len(self.store) // (1 + self.copies) if self.grids is None else len(self.grids)

    @property
    def preprocess_param(self) -> DLPreprocessParam:
        """What the pictures went through."""
        return self.network.preprocess_param

    @property
    def deep_dims(self) -> int:
        """Dimensions of the part of the embedding that is projected to the grid; behind it the fine features, if any."""
        return self.network.embedding.projection.shape[1]

    @property
    def fine_ratio(self) -> int:
        """How many times the grid's resolution the projected fine part has; 0 where there is none."""
        fine = self.network.embedding.fine_projection
        rest = self.store.shape[-1] - self.deep_dims - self.detail_ratio**2
        return 0 if fine is None else math.isqrt(rest // fine.shape[1])

    @property
    def detail_ratio(self) -> int:
        """How many times the grid's resolution the pictures' local contrast has, which lies behind the fine part; 0 where there is none."""
        height = self.preprocess_param.input_size[1]
        return height // (DETAIL_STRIDE * self.store.shape[0]) if self.network.embedding.has_detail else 0

    @property
    def fine_part(self) -> slice:
        """Where in an embedding the fine part lies."""
        return slice(self.deep_dims, self.store.shape[-1] - self.detail_ratio**2)

    @property
    def part_dims(self) -> int:
        """Dimensions of the projection of one normalisation: the first and the last of the projected part, where there are two."""
        return self.network.embedding.part_dims

    def mask(self, height: int, width: int) -> Tensor | None:
        """Which positions of a grid or map of this size count; None where all do."""
        return domain_mask(self.preprocess_param.view, height, width)

    def rows(self, images: Iterable[int]) -> list[int]:
        """Rows to learn from: those of the images and of their copies."""
        return [row for image in images for row in range(self._first_row(image), self._first_row(image + 1))]

    def originals(self, images: Iterable[int]) -> list[int]:
        """Rows of the images themselves: nothing is ever judged on a copy."""
        first = {image: self._first_row(image) for image in images}
        count = {image: 1 if self.grids is None else len(self.grids[image]) for image in images}
        return [row for image in images for row in range(first[image], first[image] + count[image])]

    def _first_row(self, image: int) -> int:
        step = 1 + self.copies
        return step * (image if self.grids is None else self._tiles_before[image])

    @cached_property
    def _tiles_before(self) -> tuple[int, ...]:
        return tuple(itertools.accumulate(map(len, self.grids or ()), initial=0))


def embed_training_images(
    images: TrainingImages,
    param: DLModelParam,
    train_param: DLTrainParam,
    *,
    progress: StageProgress,
    limit_bytes: int = DEFAULT_LIMIT_BYTES,
    on_read: OnRead | None = None,
) -> TrainingFeatures:
    """Build the feature network and embed every image and its copies once.

    Args:
        images: What to learn from, and how it is preprocessed.
        param: Of the model to be trained.
        train_param: Seed and augmentation.
        progress: Told of each batch, as stage "features".
        limit_bytes: Of the embeddings kept in RAM; see `FeatureStore`.
        on_read: Given each image of a data set with its picture, for whoever shows some of them; a cache has no picture.

    Raises:
        DatasetError: There is no image, or one cannot be read.
        ParameterError: The detector has no use for a training parameter, or a sample without its picture is to be augmented
            or was preprocessed otherwise.
        WeightsError: The backbone's weights are missing or altered.
        OutputError: The embeddings do not fit on the disk.
    """
    check_train_param(param.detector, train_param)
    started = time.perf_counter()
    augmentation = train_param.augmentation
    is_picture_needed = augmentation is not None  # a cache does not hold them
    # Of the files: what is read ahead from a cache has no picture.
    golden, files = _GoldenImages(images), images
    images = images.with_read(scale_images(len(images), train_param.seed), is_picture_needed=is_picture_needed)
    network = build_network(
        images.items,
        images.preprocess_param,
        backbone=param.backbone,
        weights=param.weights,
        levels=param.levels,
        grid_level=param.grid_level,
        dims=param.embedding_dims,
        seed=train_param.seed,
        keep_fine=DETECTORS[param.detector].keeps_fine,
        fine_dims=FINE_DIMS if DETECTORS[param.detector].projects_fine else 0,
        normalization=param.feature_normalization,
        device=param.device,
    )
    copies = augmentation.copies if augmentation else 0
    grids = images.grids
    inputs = len(images) if grids is None else sum(map(len, grids))
    store = FeatureStore(inputs * (1 + copies), limit_bytes=limit_bytes)
    variation = _Variation(files, network, train_param)
    done = 0
    try:
        for batch in images.batches(param.batch_size, is_picture_needed=is_picture_needed):
            for chunk in _chunks(batch, augmentation, train_param.seed, done, param.batch_size):
                for part in inputs_of(chunk, images.preprocess_param):
                    store.append(embedded_batch(network, part).cpu())
            golden.look_at(batch)
            variation.look_at(batch, done)
            if on_read is not None:
                for known, sample in zip(images.samples[done : done + len(batch)], batch, strict=True):
                    on_read(known, sample)
            done += len(batch)
            progress("features", done, len(images))
    except BaseException:
        store.close()
        raise
    digest = _digest(images, param, train_param)
    kept, moves, seconds = golden.kept(), variation.covariance(), time.perf_counter() - started
    return TrainingFeatures(network, store, copies, grids, images.geometry, kept, digest, seconds, moves)


class _Variation:
    """Varies some of the pictures that pass by, if the training asks for it; a cache holds none, so there their files are read.

    Args:
        images: None of them read yet, as for `_GoldenImages`.
        network: See `CameraVariation`.
        train_param: Seed, and how much is asked for.
    """

    def __init__(self, images: TrainingImages, network: FeatureNetwork, train_param: DLTrainParam) -> None:
        self._images = images
        tolerance = train_param.camera_tolerance or 0.0
        self._chosen = varied_images(len(images)) if tolerance else range(0)
        self._moves = CameraVariation(network, seed=train_param.seed, tolerance=tolerance)

    def look_at(self, samples: Sequence[DLSample], first: int) -> None:
        for index, sample in enumerate(samples, start=first):
            if index in self._chosen:
                self._moves.look_at(sample, index)

    def covariance(self) -> Tensor | None:
        """As `CameraVariation.covariance`."""
        found = self._moves.covariance()
        if found is None and self._images.cached is not None:
            items = [self._images.items[index] for index in self._chosen]
            batches = read_samples(items, self._images.preprocess_param)
            for index, sample in zip(self._chosen, itertools.chain.from_iterable(batches), strict=True):
                self._moves.look_at(sample, index)
            found = self._moves.covariance()
        return found


class _GoldenImages:
    """The first pictures that pass by; a cache holds none, so there their files are read.

    Args:
        images: None of them read yet, so that a cached one is still known by its file.
    """

    def __init__(self, images: TrainingImages) -> None:
        self._images = images
        self._kept: list[NDArray[np.uint8]] = []

    def look_at(self, samples: Sequence[DLSample]) -> None:
        missing = NUM_GOLDEN_IMAGES - len(self._kept)
        pictures = [sample.image for sample in samples if sample.image.size]
        self._kept += [golden_image(picture, self._images.preprocess_param) for picture in pictures[:missing]]

    def kept(self) -> tuple[NDArray[np.uint8], ...]:
        if not self._kept and self._images.cached is not None:
            for batch in read_samples(self._images.items[:NUM_GOLDEN_IMAGES], self._images.preprocess_param):
                self.look_at(batch)
        return tuple(self._kept)


def _chunks(
    batch: Sequence[DLSample], augmentation: Augmentation | None, seed: int, first: int, size: int
) -> Iterator[Sequence[DLSample]]:
    """The samples with their copies, no more at once than without."""
    if augmentation is None:
        yield batch
        return
    every: list[DLSample] = []
    for index, sample in enumerate(batch, start=first):
        if not sample.image.size:
            name = sample.image_file_name or sample.image_id
            raise ParameterError(
                f"sample {name} no longer has a picture to augment; give the picture, or no augmentation"
            )
        pictures = [sample.image, *augment(sample.image, augmentation, seed=seed, index=index)]
        every += [
            DLSample(picture, sample.original_width, sample.original_height, sample.channels) for picture in pictures
        ]
    for start in range(0, len(every), size):
        yield every[start : start + size]


def _digest(images: TrainingImages, param: DLModelParam, train_param: DLTrainParam) -> str:
    network = param.model_dump(mode="json", include=_OF_NETWORK)
    augmentation = None if train_param.augmentation is None else train_param.augmentation.model_dump(mode="json")
    document = [images.digest, images.preprocess_param.digest, network, train_param.seed, augmentation]
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
