"""The pictures that candidates are tried on: ok images, divided into folds, and defects painted into them."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from inspector.anomaly.domain.mask import pixels_inside
from inspector.anomaly.preprocess.param import DLPreprocessParam
from inspector.anomaly.types import DLSample
from trainer.dataset.dataset import DLDataset, DLDatasetSample
from trainer.pictures.files import read_ahead, read_picture
from trainer.prepare.units import deal_folds
from trainer.synthesis.defects import DEFECT_KINDS, Defect, add_defect

MOST_IMAGES: Final = 240
LEAST_IMAGES: Final = 12
"""With fewer nothing could be told from chance."""
_LEAST_LEARNT: Final = 6
FOLDS: Final = 3
MOST_DEFECTS: Final = 240
"""Each image gets two defects if that makes at most this many, otherwise one."""

Picture = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class TrialImages:
    """Which images of a data set's split `train` candidates are tried on.

    Attributes:
        dataset: Where they lie.
        samples: The images.
        folds: Of each image: models of the other folds judge it.
        seed: Decides the division and the defects.
    """

    dataset: DLDataset
    samples: tuple[DLDatasetSample, ...]
    folds: tuple[int, ...]
    seed: int

    def __len__(self) -> int:
        """Number of images."""
        return len(self.samples)

    @property
    def defects_each(self) -> int:
        """Number of defects that each image gets."""
        return 2 if 2 * len(self) <= MOST_DEFECTS else 1

    @property
    def n_pictures(self) -> int:
        """Number of pictures, those with defects included."""
        return len(self) * (1 + self.defects_each)

    def rows(self, images: list[int]) -> list[int]:
        """Places of these images among `pictures`, without those of their defects."""
        return [image * (1 + self.defects_each) for image in images]

    def pictures(self, preprocess_param: DLPreprocessParam) -> Generator[Picture]:
        """Yield each ok picture, followed by those with its defects.

        Args:
            preprocess_param: Says how large pictures have to be.

        Raises:
            DatasetError: An image cannot be read any more, or is too small for a defect.
        """
        with closing(self.ok_pictures(preprocess_param)) as pictures:
            for index, picture in enumerate(pictures):
                yield picture
                for number in range(self.defects_each):
                    yield self.defect(picture, index, number, preprocess_param).picture

    def ok_pictures(self, preprocess_param: DLPreprocessParam) -> Generator[Picture]:
        """Yield the pictures as they are.

        Raises:
            DatasetError: An image can no longer be read.
        """
        with closing(self.ok_samples(preprocess_param, range(len(self)))) as samples:
            for sample in samples:
                yield sample.image

    def ok_samples(self, preprocess_param: DLPreprocessParam, images: Sequence[int]) -> Generator[DLSample]:
        """Yield some of the images, with their pictures as they are.

        Raises:
            DatasetError: An image can no longer be read.
        """
        paths = [self.dataset.image_path(self.samples[image]) for image in images]
        with closing(read_ahead(paths, lambda path: read_picture(path, preprocess_param))) as samples:
            yield from samples

    def defect(self, picture: Picture, index: int, number: int, preprocess_param: DLPreprocessParam) -> Defect:
        """Paint a defect into a picture: of all kinds in turn, inside the domain.

        Args:
            picture: The ok one.
            index: Its place among the images.
            number: Of the defect among its own, from 0.
            preprocess_param: Has the domain.

        Raises:
            DatasetError: The picture is too small.
        """
        domain, (height, width) = preprocess_param.domain, picture.shape[:2]
        inside = None if domain is None else pixels_inside(domain, width, height)
        kind = DEFECT_KINDS[(index * self.defects_each + number) % len(DEFECT_KINDS)]
        return add_defect(picture, kind, seed=self.seed, index=index, inside=inside)


def trial_images(dataset: DLDataset, *, seed: int) -> TrialImages | None:
    """Take up to 240 images to learn from, and divide them into three folds, so that no group is in two.

    Args:
        dataset: Divided.
        seed: Decides which.

    Returns:
        None where there are fewer than 12 different pictures, fewer groups than folds, or nearly all are of one group.
    """
    random = np.random.default_rng([seed, 0x5E1EC7])
    of_group: dict[int, list[DLDatasetSample]] = {}
    known: set[str] = set()
    for sample, group in zip(dataset.train, dataset.groups_of(dataset.train), strict=True):
        if (
            sample.pixel_digest not in known
        ):  # a copy would be judged by a model that has learnt from it, or counts twice
            of_group.setdefault(group, []).append(sample)
            known.add(sample.pixel_digest)
    groups = [of_group[group] for group in random.permutation(sorted(of_group)).tolist()]
    chosen: list[list[DLDatasetSample]] = []
    for members in groups:
        room = MOST_IMAGES - sum(map(len, chosen))
        if room > 0:
            chosen.append([members[place] for place in random.permutation(len(members)).tolist()[:room]])
    total, largest = sum(map(len, chosen)), max(map(len, chosen), default=0)
    if len(chosen) < FOLDS or total < LEAST_IMAGES or total - largest < _LEAST_LEARNT:
        return None
    dealt = deal_folds(chosen, FOLDS)
    fold_of = {sample.image_id: fold for unit, fold in zip(chosen, dealt, strict=True) for sample in unit}
    samples = [sample for sample in dataset.train if sample.image_id in fold_of]
    return TrialImages(dataset, tuple(samples), tuple(fold_of[sample.image_id] for sample in samples), seed)
