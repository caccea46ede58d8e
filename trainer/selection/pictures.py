"""The pictures that candidates are tried on: ok images to learn from, others held out, and defects painted into these."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from inspector.anomaly.domain.mask import pixels_inside
from inspector.anomaly.preprocess.param import DLPreprocessParam
from trainer.dataset.dataset import DLDataset, DLDatasetSample
from trainer.dataset.files import read_ahead, read_picture
from trainer.synthesis.defects import DEFECT_KINDS, Defect, add_defect

MOST_LEARNT: Final = 100
MOST_HELD: Final = 40
HELD_SHARE: Final = 1 / 3
"""Of the images to learn from, where these are few."""
LEAST_HELD: Final = 6
"""With fewer nothing could be told from chance."""
DEFECTS_EACH: Final = 2

Picture = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class TrialImages:
    """Which images of a data set's split `train` a candidate learns from, and which it is tried on.

    Attributes:
        dataset: Where they lie.
        learnt: To learn from.
        held: Of other groups; each gets `DEFECTS_EACH` defects.
        seed: Decides the division and the defects.
    """

    dataset: DLDataset
    learnt: tuple[DLDatasetSample, ...]
    held: tuple[DLDatasetSample, ...]
    seed: int

    def pictures(self, preprocess_param: DLPreprocessParam) -> Iterator[Picture]:
        """Yield the learnt pictures, then each held one followed by its defects.

        Args:
            preprocess_param: Says how large pictures have to be.

        Raises:
            DatasetError: An image cannot be read any more, or is too small for a defect.
        """
        yield from self._read(self.learnt, preprocess_param)
        for index, picture in enumerate(self.held_pictures(preprocess_param)):
            yield picture
            for number in range(DEFECTS_EACH):
                yield self.defect(picture, index, number, preprocess_param).picture

    def held_pictures(self, preprocess_param: DLPreprocessParam) -> Generator[Picture]:
        """Yield the held pictures as they are.

        Raises:
            DatasetError: An image cannot be read any more.
        """
        return self._read(self.held, preprocess_param)

    def defect(self, picture: Picture, index: int, number: int, preprocess_param: DLPreprocessParam) -> Defect:
        """Paint a defect into a held picture: of all kinds in turn, inside the domain.

        Args:
            picture: The held one.
            index: Its place in `held`.
            number: Of the defect among its own, from 0.
            preprocess_param: Has the domain.

        Raises:
            DatasetError: The picture is too small.
        """
        domain, (height, width) = preprocess_param.domain, picture.shape[:2]
        inside = None if domain is None else pixels_inside(domain, width, height)
        kind = DEFECT_KINDS[(index * DEFECTS_EACH + number) % len(DEFECT_KINDS)]
        return add_defect(picture, kind, seed=self.seed, index=index, inside=inside)

    def _read(self, samples: Sequence[DLDatasetSample], preprocess_param: DLPreprocessParam) -> Generator[Picture]:
        paths = [self.dataset.image_path(sample) for sample in samples]
        with closing(read_ahead(paths, lambda path: read_picture(path, preprocess_param).image)) as pictures:
            yield from pictures

    def __len__(self) -> int:
        """Number of pictures."""
        return len(self.learnt) + len(self.held) * (1 + DEFECTS_EACH)


def divide_for_trial(dataset: DLDataset, *, seed: int) -> TrialImages | None:
    """Hold a third of the images out, 40 at most, whole groups of them; of the others up to 100 are learnt from.

    Args:
        dataset: Divided.
        seed: Decides which.

    Returns:
        None where fewer than six can be held out.
    """
    samples = dataset.train
    groups = dataset.groups_of(samples)
    random = np.random.default_rng([seed, 0x5E1EC7])
    order = random.permutation(sorted(set(groups)))
    members = {group: [s for s, own in zip(samples, groups, strict=True) if own == group] for group in order.tolist()}
    wanted = min(MOST_HELD, round(HELD_SHARE * len(samples)))
    held: list[DLDatasetSample] = []
    rest: list[DLDatasetSample] = []
    for group in order.tolist():
        # One group alone may be larger than what is wanted; then it is learnt from.
        (held if len(held) + len(members[group]) <= wanted else rest).extend(members[group])
    if len(held) < LEAST_HELD or len({s.pixel_digest for s in rest}) < LEAST_HELD:
        return None
    chosen = random.permutation(len(rest))[:MOST_LEARNT]
    in_order = sorted((rest[place] for place in chosen.tolist()), key=lambda s: s.image_id)
    return TrialImages(dataset, tuple(in_order), tuple(sorted(held, key=lambda s: s.image_id)), seed)
