"""Which images candidates are tried on, how they are divided, and the defects in them."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from inspector.anomaly.domain.domain import ImageDomain
from inspector.anomaly.preprocess.param import DLPreprocessParam
from tests.splits import dataset as dataset_of
from tests.splits import ok_images
from trainer.dataset.dataset import Division, DLDataset
from trainer.selection.pictures import FOLDS, MOST_IMAGES, trial_images

PARAM = DLPreprocessParam(image_width=64, image_height=64)


def grouped(count: int, groups: list[int]) -> DLDataset:
    """A data set that is not on disk, whose images are of these groups."""
    made = dataset_of(ok_images(count))
    units = {sample.image_id: group for sample, group in zip(made.samples, groups, strict=True)}
    return replace(made, division=Division("out_of_fold", 0, units=units))


def test_all_images_are_tried_up_to_a_bound_and_folds_are_even() -> None:
    for count in (12, 100, 400):
        images = trial_images(dataset_of(ok_images(count)), seed=0)
        assert images is not None
        assert len(images) == min(count, MOST_IMAGES) == len({sample.image_id for sample in images.samples})
        assert set(Counter(images.folds).values()) <= {len(images) // FOLDS, -(-len(images) // FOLDS)}
        assert images.n_pictures == len(images) * (3 if count <= 120 else 2)


def test_the_seed_decides_and_nothing_else() -> None:
    first, again, other = (trial_images(dataset_of(ok_images(300)), seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first is not None
    assert other is not None
    assert first.samples != other.samples


def test_no_group_is_in_two_folds() -> None:
    groups = [place % 7 for place in range(60)]
    images = trial_images(grouped(60, groups), seed=0)
    assert images is not None
    of_group = {(groups[sample.image_id], fold) for sample, fold in zip(images.samples, images.folds, strict=True)}
    assert len(of_group) == 7


def test_a_copy_of_a_picture_is_left_out() -> None:
    made = dataset_of(ok_images(20))
    same = tuple(replace(s, pixel_digest=made.samples[0].pixel_digest) if s.image_id < 5 else s for s in made.samples)
    images = trial_images(replace(made, samples=same), seed=0)
    assert images is not None
    assert len(images) == 16


@pytest.mark.parametrize(
    ("count", "groups"), [(11, list(range(11))), (40, [0] * 20 + [1] * 20), (30, [0] * 27 + [1, 2, 3])]
)
def test_too_few_images_or_groups_are_not_tried(count: int, groups: list[int]) -> None:
    assert trial_images(grouped(count, groups), seed=0) is None


def test_each_picture_is_followed_by_its_defects(dataset: DLDataset) -> None:
    images = trial_images(dataset, seed=3)
    assert images is not None
    pictures = list(images.pictures(PARAM))
    assert len(pictures) == images.n_pictures
    kinds = []
    for index, ok in enumerate(images.ok_pictures(PARAM)):
        (row,) = images.rows([index])
        assert np.array_equal(pictures[row], ok)
        for number in range(images.defects_each):
            made = images.defect(ok, index, number, PARAM)
            assert np.array_equal(pictures[row + 1 + number], made.picture)
            assert not np.array_equal(made.picture, ok)
            kinds.append(made.kind)
    assert len(set(kinds)) == 5


def test_defects_lie_in_the_domain(dataset: DLDataset) -> None:
    images = trial_images(dataset, seed=3)
    assert images is not None
    domain = ImageDomain.rectangle(32, 0, 32, 64, image_width=64, image_height=64)
    param = DLPreprocessParam(image_width=64, image_height=64, domain=domain, domain_handling="keep_domain")
    for index, ok in enumerate(images.ok_pictures(param)):
        made = images.defect(ok, index, 0, param)
        assert made.mask.any()
        assert not made.mask[:, :32].any()
