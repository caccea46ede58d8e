"""The images that a model is trained on: those of a data set, or samples in memory; which of them are refused, and the inputs that they become."""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from inspector.anomaly.choices import GeometryRule
from inspector.anomaly.model.stitch import batches_of_tiles
from inspector.anomaly.preprocess.cut import check_whole, cut_image, grid_of
from inspector.anomaly.preprocess.param import DLPreprocessParam
from inspector.anomaly.preprocess.samples import picture_seen
from inspector.anomaly.preprocess.tiling import TileGrid
from inspector.anomaly.types import DLSample, ImageGeometry
from trainer.dataset.camera import check_geometries, check_sizes, typical_geometry
from trainer.dataset.dataset import DLDataset, DLDatasetSample, trained_geometry
from trainer.errors import DatasetError
from trainer.pictures.files import in_batches, pictures_at_once, read_ahead, read_picture
from trainer.prepare.preprocess import read_dl_samples
from trainer.wording import some

KEPT_BYTES: Final = 256 * 2**20
"""Pictures that stay in memory because they are looked at twice."""


@dataclass(frozen=True, slots=True)
class TrainingImages:
    """The images to learn from.

    Attributes:
        items: Their files, or the samples themselves.
        preprocess_param: What they go through.
        geometry: Size and channels of the typical one, and which others go with it.
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

    @property
    def grids(self) -> tuple[TileGrid, ...] | None:
        """Where the tiles of each image lie; None where images are not cut."""
        param = self.preprocess_param
        if param.tile is None:
            return None
        sizes = [(known.width, known.height) for known in self.samples] or [
            (item.image.shape[1], item.image.shape[0]) for item in self.items if isinstance(item, DLSample)
        ]
        return tuple(grid_of(param, *size) for size in sizes)

    def with_read(self, indices: Sequence[int], *, is_picture_needed: bool = False) -> TrainingImages:
        """The same images, those at `indices` in memory: what is looked at twice is read once.

        Beyond `KEPT_BYTES` of pictures the others stay files, and are read again.

        Raises:
            DatasetError: A file or a cached sample cannot be read.
        """
        items, kept_bytes = list(self.items), 0
        ahead = 2 * pictures_at_once(self.preprocess_param)
        with closing(self._read(indices, is_picture_needed=is_picture_needed, ahead=ahead)) as samples:
            for index, sample in zip(indices, samples, strict=False):
                kept_bytes += sample.image.nbytes if sample.preprocessed is None else sample.preprocessed.nbytes
                if kept_bytes > KEPT_BYTES:
                    break
                items[index] = sample
        return replace(self, items=items)

    def batches(self, size: int, *, is_picture_needed: bool = False) -> Generator[list[DLSample]]:
        """Yield the samples in their order, at most `size` at once: from the cache where there is one.

        Args:
            size: Samples in a batch, where they are not cut into tiles.
            is_picture_needed: Read the files all the same.

        Raises:
            DatasetError: A file or a cached sample cannot be read.
        """
        size = pictures_at_once(self.preprocess_param, size)
        with closing(self._read(range(len(self)), is_picture_needed=is_picture_needed, ahead=2 * size)) as every:
            yield from in_batches(every, size)

    def _read(self, indices: Sequence[int], *, is_picture_needed: bool, ahead: int) -> Generator[DLSample]:
        def read(index: int) -> DLSample:
            item = self.items[index]
            if isinstance(item, DLSample):
                return item
            if self.cached is None or is_picture_needed:
                return read_picture(item, self.preprocess_param)
            return next(read_dl_samples(self.cached, [self.samples[index]]))

        return read_ahead(indices, read, ahead=ahead)


def dataset_images(dataset: DLDataset, preprocess_param: DLPreprocessParam) -> TrainingImages:
    """The images of a data set's split `train`, in its order.

    A data set that `preprocess_dl_dataset` went through with these very parameters gives its preprocessed samples.

    Args:
        dataset: Divided.
        preprocess_param: What the images go through.

    Raises:
        DatasetError: The data set is not divided, a nok image is to be learnt from, or images of one camera that are cut into tiles
            are not of one size; or it was read with another `apply_exif` than the parameters have.
        GeometryError: There is a domain, and images of any size and aspect.
    """
    chosen = dataset.train
    if not chosen:
        raise DatasetError(
            f"no image of {dataset.image_dir} is in the split train; call split_dl_dataset before the training"
        )
    nok = [s.image_file_name for s in chosen if s.image_label != "ok"]
    if nok:
        raise DatasetError(
            f"{some(nok)} are nok and in the split train, but anomaly detection is trained on ok images only: move "
            "them to test, or let split_dl_dataset do so with overwrite_split=True"
        )
    dataset.check_orientation(preprocess_param)
    is_cached = dataset.preprocess_param == preprocess_param and all(s.dlsample_file_name for s in chosen)
    geometry = trained_geometry(chosen, dataset.geometry_rule)
    geometry.check_domain(preprocess_param.domain)
    if preprocess_param.tile is not None:
        check_sizes([(s.image_file_name, s.geometry) for s in dataset.samples], geometry)
    return TrainingImages(
        items=[dataset.image_path(sample) for sample in chosen],
        preprocess_param=preprocess_param,
        geometry=geometry,
        digest=_digest([s.digest for s in chosen]),
        cached=dataset if is_cached else None,
        samples=chosen,
    )


def sample_images(
    samples: Sequence[DLSample], preprocess_param: DLPreprocessParam, geometry_rule: GeometryRule = "one-camera"
) -> TrainingImages:
    """The samples themselves, preprocessed or not.

    Raises:
        DatasetError: There is none, one is nok, they differ in channels, or in aspect (with tiles in size) where they are to be of
            one camera; or one that is to be cut into tiles is preprocessed already.
        GeometryError: As `dataset_images`, or a picture that is to be cut into tiles was reduced.
    """
    if not samples:
        raise DatasetError("there is no sample to train on; give ok images")
    names = [_name(sample, index) for index, sample in enumerate(samples)]
    nok = [name for name, sample in zip(names, samples, strict=True) if sample.image_label == "nok"]
    if nok:
        raise DatasetError(f"{some(nok)} are nok; anomaly detection is trained on ok images only, so leave them out")
    geometries = [ImageGeometry(width=s.original_width, height=s.original_height, channels=s.channels) for s in samples]
    geometry = typical_geometry(geometries, geometry_rule)
    check_geometries(zip(names, geometries, strict=True), geometry)
    geometry.check_domain(preprocess_param.domain)
    if preprocess_param.tile is not None:
        check_sizes(zip(names, geometries, strict=True), geometry)
        _check_uncut(names, samples)
    return TrainingImages(
        items=[_as_decoded(sample, preprocess_param) for sample in samples],
        preprocess_param=preprocess_param,
        geometry=geometry,
        digest=_digest([_pixels(sample) for sample in samples]),
    )


def _as_decoded(sample: DLSample, preprocess_param: DLPreprocessParam) -> DLSample:
    """The sample, its picture halved as a file's would be."""
    if not sample.image.size or sample.preprocessed is not None:
        return sample
    return replace(sample, image=picture_seen(sample, preprocess_param))


def _check_uncut(names: Sequence[str], samples: Sequence[DLSample]) -> None:
    for name, sample in zip(names, samples, strict=True):
        if sample.preprocessed is not None:
            raise DatasetError(f"{name} is already preprocessed and cannot be cut into tiles; give it as a picture")
        check_whole(sample, name)


def _name(sample: DLSample, index: int) -> str:
    return sample.image_file_name or f"sample {index if sample.image_id is None else sample.image_id}"


def _pixels(sample: DLSample) -> str:
    content = hashlib.sha256(f"{sample.image.shape}".encode())
    content.update(sample.image.tobytes())
    if sample.preprocessed is not None:
        content.update(sample.preprocessed.cpu().contiguous().numpy().tobytes())
    return content.hexdigest()


def _digest(parts: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def inputs_of(
    samples: Sequence[DLSample], preprocess_param: DLPreprocessParam, *, most_tiles: int | None = None
) -> Iterator[Sequence[DLSample]]:
    """Yield batches of inputs: the samples at once as they are, or their tiles as samples, a few at a time.

    Args:
        samples: With their pictures, where they are to be cut.
        preprocess_param: Says whether they are.
        most_tiles: Of each, spread evenly over it; None for all.

    Raises:
        ParameterError: As `cut_image`.
        StepError: As `cut_image`.
        GeometryError: As `cut_image`.
    """
    if preprocess_param.tile is None:
        yield samples
        return
    yield from batches_of_tiles(_tiles(samples, preprocess_param, most_tiles))


def _tiles(
    samples: Iterable[DLSample], preprocess_param: DLPreprocessParam, most_tiles: int | None
) -> Iterator[DLSample]:
    for sample in samples:
        picture = cut_image(sample.image, preprocess_param)
        every = 1 if most_tiles is None else -(-len(picture.grid) // most_tiles)
        for number, tile in enumerate(picture.tiles()):
            if number % every == 0:
                yield DLSample(tile, tile.shape[1], tile.shape[0], sample.channels)
