from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector.anomaly.choices import AnomalyClass
from inspector.anomaly.types import DLResult, DLSample
from trainer.dataset.dataset import DLDatasetSample
from trainer.display.picture import PICTURE_SIDE
from trainer.evaluation.scoring import ScoredImage
from trainer.report.shown import KeptPictures, ShownImages, evenly_of_each_class, small

MAP = np.zeros((4, 4), np.float32)


def sample(index: int, label: AnomalyClass = "ok") -> DLDatasetSample:
    return DLDatasetSample(index, f"{index}.png", label, 8, 8, 1, digest=f"{index}", pixel_digest=f"{index}")


def scored(score: float, *, side: int = 8, original: int | None = None) -> ScoredImage:
    picture = DLSample(np.zeros((side, side), np.uint8), original or side, original or side, 1)
    return ScoredImage(Path("a.png"), picture, DLResult(score, MAP))


@given(st.lists(st.tuples(st.sampled_from(["ok", "nok"]), st.integers(0, 9)), max_size=40), st.integers(1, 3))
def test_the_extremes_of_each_class_are_kept_whatever_their_order(
    rows: list[tuple[AnomalyClass, int]], in_a_row: int
) -> None:
    samples = [sample(index, label) for index, (label, _) in enumerate(rows)]
    shown = ShownImages(samples, at_a_glance=2, in_a_row=in_a_row)
    for one, (_, score) in zip(samples, rows, strict=True):
        shown.add(one, scored(score / 10))
    for label in ("ok", "nok"):
        own = [(score, one) for one, (its, score) in zip(samples, rows, strict=True) if its == label]
        kept = [score for score, one in own if shown.get(one) is not None]
        ordered = sorted(score for score, _ in own)
        assert sorted(kept)[:in_a_row] == ordered[:in_a_row]
        assert sorted(kept)[-in_a_row:] == ordered[-in_a_row:]
        assert len(kept) <= 2 * in_a_row + 2, "memory is bounded"
    assert all(shown.get(one) is not None for one in evenly_of_each_class(samples, 2))


def test_a_score_that_is_not_finite_counts_as_highest() -> None:
    samples = [sample(index) for index in range(3)]
    shown = ShownImages(samples, at_a_glance=0, in_a_row=1)
    for one, score in zip(samples, (math.nan, 0.9, 0.1), strict=True):
        shown.add(one, scored(score))
    assert [shown.get(one) is not None for one in samples] == [True, False, True]


def test_an_image_that_was_not_scored_is_not_kept() -> None:
    shown = ShownImages([sample(0)])
    shown.add(sample(0), ScoredImage(Path("a.png"), error="is broken"))
    assert shown.get(sample(0)) is None


@pytest.mark.parametrize(("ok", "nok", "count"), [(50, 1, 10), (1, 50, 10), (7, 3, 10), (0, 30, 5), (30, 0, 5)])
def test_both_classes_are_seen_however_rare_one_is(ok: int, nok: int, count: int) -> None:
    samples = [*(sample(i) for i in range(ok)), *(sample(ok + i, "nok") for i in range(nok))]
    chosen = evenly_of_each_class(samples, count)
    assert {s.image_label for s in chosen} == {s.image_label for s in samples}
    assert len({s.image_id for s in chosen}) == len(chosen)
    assert min(count, len(samples)) <= len(chosen) <= count + 1
    for label in {s.image_label for s in samples}:
        members = [s for s in samples if s.image_label == label]
        assert members[0] in chosen


def test_a_picture_is_kept_as_small_as_it_is_shown() -> None:
    kept = small(scored(0.5, side=2 * PICTURE_SIDE)).sample
    assert kept is not None
    assert kept.image.shape == (PICTURE_SIDE, PICTURE_SIDE)
    reduced = small(scored(0.5, side=PICTURE_SIDE, original=4 * PICTURE_SIDE)).sample
    assert reduced is not None, "large enough, though not whole"
    assert small(scored(0.5, side=PICTURE_SIDE - 1, original=4 * PICTURE_SIDE)).sample is None
    whole = small(scored(0.5, side=PICTURE_SIDE - 1)).sample
    assert whole is not None
    assert whole.image.shape == (PICTURE_SIDE - 1, PICTURE_SIDE - 1)


def test_a_kept_map_holds_no_batch_in_memory() -> None:
    batch = np.zeros((8, 4, 4), np.float32)
    picture = DLSample(np.zeros((8, 8), np.uint8), 8, 8, 1)
    kept = small(ScoredImage(Path("a.png"), picture, DLResult(0.5, batch[3]))).result
    assert kept is not None
    assert kept.anomaly_image.base is None


def test_pictures_of_training_images_are_kept_as_far_as_memory_is_granted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer.report.shown.KEPT_PICTURES_BYTES", 2 * 64)
    kept = KeptPictures()
    pictures = [DLSample(np.full((8, 8), index, np.uint8), 8, 8, 1) for index in range(3)]
    for index, picture in enumerate(pictures):
        kept.add(sample(index), picture)
        kept.add(sample(index), picture)  # as a second training reads it again
    assert [kept.get(sample(index)) is pictures[index] for index in range(3)] == [True, True, False]
    kept.add(sample(7), DLSample(np.empty((0, 0), np.uint8), 8, 8, 1))
    assert kept.get(sample(7)) is None, "a cache has no picture"
