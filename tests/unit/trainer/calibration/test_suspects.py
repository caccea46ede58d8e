"""Which images are named as suspects, how often in clean sets, and what is dropped."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.splits import dataset, ok_images
from trainer.calibration.suspects import (
    LEAST_IMAGES,
    SuspectParam,
    check_droppable,
    drop_dl_dataset_suspects,
    expected_beyond,
    find_dl_dataset_suspects,
)
from trainer.dataset.dataset import DLDataset
from trainer.errors import CalibrationError
from trainer.prepare.split import SplitParam, split_dl_dataset
from trainer.thresholds.scores import CalibrationScores

DRAWS = 400


def divided(count: int) -> DLDataset:
    return split_dl_dataset(dataset(ok_images(count)), param=SplitParam(calibration_percent=0))


def scores(count: int, odd: dict[int, float] | None = None) -> CalibrationScores:
    """Log-normal distances, and those of some places instead."""
    ok = np.random.default_rng(count).lognormal(0, 0.1, count).tolist()
    for place, distance in (odd or {}).items():
        ok[place] = distance
    return CalibrationScores(ok=ok, folds=5)


def names(found: DLDataset, places: list[int]) -> list[str]:
    return [found.train[place].image_file_name for place in places]


def test_a_planted_image_is_named_first() -> None:
    images = divided(60)
    suspects = find_dl_dataset_suspects(images, scores(60, {7: 3.0, 31: 4.0}))
    assert [s.sample.image_file_name for s in suspects] == names(images, [31, 7])
    assert [s.distance for s in suspects] == [4.0, 3.0]
    assert suspects[0].expected < suspects[1].expected < 0.01


@pytest.mark.parametrize("share", [0.05, 0.1])
def test_planted_images_do_not_hide_each_other(share: float) -> None:
    images, count = divided(100), round(100 * share)
    suspects = find_dl_dataset_suspects(images, scores(100, dict.fromkeys(range(count), 3.0)))
    assert {s.sample.image_file_name for s in suspects} == set(names(images, list(range(count))))


def test_an_image_that_is_all_too_usual_is_none() -> None:
    assert find_dl_dataset_suspects(divided(60), scores(60, {7: 1e-3, 8: 0.0})) == ()


Drawn = Callable[[np.random.Generator, tuple[int, int]], NDArray[np.float64]]


@pytest.mark.parametrize("n", [20, 40, 100, 300])
@pytest.mark.parametrize(
    ("draw", "named_at_most"),
    [
        (lambda rng, shape: np.exp(rng.laplace(0, 0.2, shape)), 0.6),
        (lambda rng, shape: np.exp(rng.gumbel(0, 0.2, shape)), 0.3),
        (lambda rng, shape: rng.lognormal(0, 0.2, shape), 0.1),
    ],
    ids=["Pareto tail", "Gumbel", "log-normal"],
)
def test_a_clean_set_names_half_an_image_on_average_at_most(draw: Drawn, named_at_most: float, n: int) -> None:
    """The stated rate: of logarithms that fall off exponentially, and of those that fall off faster; with a margin for 400 draws."""
    drawn = draw(np.random.default_rng(n), (DRAWS, n))
    named = [int((expected_beyond(distances) < SuspectParam().expected).sum()) for distances in drawn]
    assert np.mean(named) <= named_at_most
    assert np.mean(np.array(named) <= 1) >= 0.85


def test_fewer_are_named_where_fewer_false_alarms_are_wanted() -> None:
    images, found = divided(60), scores(60, {7: 1.7, 31: 9.0})
    strict = find_dl_dataset_suspects(images, found, SuspectParam(expected=1e-4))
    assert [s.sample.image_file_name for s in strict] == names(images, [31])
    assert len(find_dl_dataset_suspects(images, found)) == 2


def test_no_more_than_a_share_is_named() -> None:
    images, found = divided(40), scores(40, dict.fromkeys(range(8), 5.0))
    assert len(find_dl_dataset_suspects(images, found)) == 4
    assert len(find_dl_dataset_suspects(images, found, SuspectParam(max_share=1))) == 8


@pytest.mark.parametrize("distances", [[1.0] * (LEAST_IMAGES - 2) + [9.0], [1.0] * 50 + [9.0], [0.0] * 50 + [9.0]])
def test_nobody_is_named_where_nothing_says_what_is_usual(distances: list[float]) -> None:
    assert all(math.isnan(value) for value in expected_beyond(distances))
    found = CalibrationScores(ok=distances, folds=5)
    assert find_dl_dataset_suspects(divided(len(distances)), found) == ()


def test_the_unit_of_the_distances_does_not_matter() -> None:
    found = scores(60, {7: 3.0})
    assert expected_beyond(np.array(found.ok) * 1e-6) == pytest.approx(expected_beyond(found.ok))


# ----------------------------------------------------------------------------------------------------------- dropping


def test_the_most_suspicious_are_dropped_and_no_others() -> None:
    images = divided(60)
    rest, dropped = drop_dl_dataset_suspects(images, scores(60, {7: 3.0, 31: 4.0, 32: 2.5}), 2)
    assert [s.sample.image_file_name for s in dropped] == names(images, [31, 7])
    gone = {s.sample.image_id for s in dropped}
    assert [s for s in rest.samples if s.image_id in gone] == [
        replace(s, split=None, fold=None) for s in images.samples if s.image_id in gone
    ]
    assert [s for s in rest.samples if s.image_id not in gone] == [s for s in images.samples if s.image_id not in gone]


def test_as_many_are_dropped_as_asked_for_though_none_is_named() -> None:
    images, found = divided(60), scores(60)
    assert find_dl_dataset_suspects(images, found) == ()
    rest, dropped = drop_dl_dataset_suspects(images, found, 3)
    assert sorted((s.distance for s in dropped), reverse=True) == sorted(found.ok, reverse=True)[:3]
    assert len(rest.train) == 57


def test_folds_that_are_left_empty_are_no_folds() -> None:
    images = divided(10)
    fold = images.folds[0]
    places = [place for place, number in enumerate(images.folds) if number == fold]
    rest, _ = drop_dl_dataset_suspects(images, scores(10, dict.fromkeys(places, 9.0)), len(places))
    assert sorted(set(rest.folds)) == list(range(images.num_folds - 1))


@pytest.mark.parametrize("count", [0, -1, 31])
def test_a_number_to_drop_that_leaves_nothing_usual_is_refused(count: int) -> None:
    with pytest.raises(
        CalibrationError, match=f"{count} suspects cannot be dropped from 60 training images; drop 1 to 30:"
    ):
        drop_dl_dataset_suspects(divided(60), scores(60), count)


def test_too_few_left_for_a_model_of_a_fold_is_refused() -> None:
    with pytest.raises(CalibrationError, match="each fold's model is trained on 1 images, but it needs 2; drop fewer"):
        drop_dl_dataset_suspects(divided(4), scores(4, {0: 5.0, 1: 6.0}), 2)


def test_images_without_folds_are_refused_with_the_mend() -> None:
    images = split_dl_dataset(dataset(ok_images(1000)))
    refusal = (
        "they were not scored by cross-validation, because the 300 validation images are enough to set the "
        "thresholds; use fewer than 59"
    )
    with pytest.raises(CalibrationError, match=refusal):
        find_dl_dataset_suspects(images, None)
    with pytest.raises(CalibrationError, match=refusal):
        check_droppable(images, 1)


@pytest.mark.parametrize("found", [None, scores(59)])
def test_scores_of_another_data_set_are_refused(found: CalibrationScores | None) -> None:
    with pytest.raises(CalibrationError, match=r"scores for 60 training images; .*train_and_score_folds returned"):
        find_dl_dataset_suspects(divided(60), found)


@pytest.mark.parametrize(("name", "value"), [("expected", 0), ("max_share", 0), ("max_share", 1.5), ("alpha", 0.1)])
def test_parameters_that_mean_nothing_are_refused(name: str, value: float) -> None:
    with pytest.raises(CalibrationError, match=name):
        SuspectParam.model_validate({name: value})
