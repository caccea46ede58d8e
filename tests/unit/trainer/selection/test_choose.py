"""The choice as a whole, on small models: what is tried, what is refused, and that it can be repeated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from inspector.anomaly.errors import ParameterError
from inspector.anomaly.model.param import DLModelParam, InitialModel
from inspector.anomaly.preprocess.param import DLPreprocessParam, create_dl_preprocess_param_from_model
from tests.splits import dataset as dataset_of
from tests.splits import ok_images
from trainer.dataset.dataset import DLDataset
from trainer.errors import DatasetError
from trainer.selection import trial as trials
from trainer.selection.choose import choose_dl_model_param
from trainer.selection.criterion import SyntheticScores
from trainer.selection.result import ModelSelection


def param(detector: str = "padim", **values: Any) -> DLModelParam:
    small = {"image_width": 64, "image_height": 64, "levels": (3, 4), "grid_level": 0, "embedding_dims": 12}
    own = {"coreset": 40} if detector in ("patchcore", "fused") else {}
    return DLModelParam.model_validate({"detector": detector} | small | own | values)


DEFAULT, VECTOR = param("fused"), param("fused", feature_normalization="vector")


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[DLModelParam]]:
    """Candidates part the defects by as much as they are told to; returns which of them were tried."""

    def pretend(*parts: tuple[DLModelParam, float], fps: float | None = None) -> list[DLModelParam]:
        tried: list[DLModelParam] = []

        def judge(images: Any, features: Any, one: DLModelParam, train_param: Any, *, is_timed: bool = False) -> Any:
            tried.append(one)
            random = np.random.default_rng(0)
            ok, folds = random.normal(size=len(images)), np.array(images.folds)
            defects = random.normal(
                next((by for part, by in parts if part == one), 0.5), 1, (len(images), images.defects_each)
            )
            return SyntheticScores(ok, defects, folds, np.arange(len(images))), fps if is_timed else None

        monkeypatch.setattr(trials, "judge", judge)
        return tried

    return pretend


def names(selection: ModelSelection) -> list[str]:
    return [one.left_out for one in selection.tried]


def test_candidates_are_tried_and_the_choice_can_be_repeated(
    dataset: DLDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trials, "NEAR_PERFECT", 2.0)  # the toy is too easy
    candidates = [DEFAULT, VECTOR, param("padim"), param("patchcore", image_width=96)]
    seen: list[str] = []
    first = choose_dl_model_param(dataset, candidates, seed=1, progress=lambda stage, *_: seen.append(stage))
    again = choose_dl_model_param(dataset, candidates, seed=1)
    assert [one.as_json() for one in first.tried] == [one.as_json() for one in again.tried]
    assert first.param == again.param
    assert all(one.scores is not None and one.scores.ok.min() > 0 for one in first.tried)
    assert [one.gain is None for one in first.tried] == [True, False, False, False]
    assert (first.n_images, first.n_defects, first.fps) == (15, 30, None)
    assert {stage.partition(":")[0] for stage in seen} == {"choose"}
    # One pass for the candidates of a backbone and size, whatever their levels and normalisation.
    assert set(seen) == {f"choose: efficientnet_lite0, {width} x 64 px" for width in (64, 96)}
    assert {shown.kind for shown in first.shown} == {"displaced", "scar", "blot", "blurred", "missing"}
    assert all(shown.mask.any() for shown in first.shown)


def test_another_seed_is_another_trial(dataset: DLDataset) -> None:
    one, other = (choose_dl_model_param(dataset, [DEFAULT], seed=seed).tried[0].scores for seed in (0, 1))
    assert one is not None
    assert other is not None
    assert not np.array_equal(one.defects, other.defects)


def test_candidates_tolerate_what_the_chosen_model_will(dataset: DLDataset) -> None:
    default, same, none = (
        choose_dl_model_param(dataset, [DEFAULT, param("patchcore")], camera_tolerance=tolerance).tried[0].scores
        for tolerance in (None, 1.0, 0.0)
    )
    assert default is not None
    assert same is not None
    assert none is not None
    assert np.array_equal(default.ok, same.ok)
    assert (default.ok < none.ok).all()  # some of what a camera changes is no distance any more


def test_a_candidate_that_is_surely_better_is_chosen(
    dataset: DLDataset, judged: Callable[..., list[DLModelParam]]
) -> None:
    judged((DEFAULT, 0.5), (VECTOR, 2.5))
    found = choose_dl_model_param(dataset, [DEFAULT, VECTOR, param("padim")])
    assert found.param == VECTOR
    assert found.chosen.param == VECTOR
    assert "it separates synthetic defects from ok images better than the default: AUROC 0.9" in found.sentence
    assert found.sentence.startswith("fused (vector) on efficientnet_lite0, 64 x 64 px, of 3 models tried on 30 ")


def test_the_default_is_kept_where_nothing_is_surely_better(
    dataset: DLDataset, judged: Callable[..., list[DLModelParam]]
) -> None:
    judged((DEFAULT, 0.5), (VECTOR, 0.52))
    found = choose_dl_model_param(dataset, [DEFAULT, VECTOR])
    assert found.param == DEFAULT
    assert found.tried[1].gain is not None
    assert found.tried[1].gain.difference >= 0
    assert (
        "no other model separates synthetic defects from ok images significantly better than the default"
        in found.reason
    )


def test_nothing_else_is_tried_where_the_default_tells_nearly_all(
    dataset: DLDataset, judged: Callable[..., list[DLModelParam]]
) -> None:
    tried = judged((DEFAULT, 20.0))
    found = choose_dl_model_param(dataset, [DEFAULT, VECTOR])
    assert (tried, found.param) == ([DEFAULT], DEFAULT)
    assert names(found) == ["", "not tried: the default already finds nearly all defects"]


def test_what_costs_too_much_is_not_tried(dataset: DLDataset, judged: Callable[..., list[DLModelParam]]) -> None:
    large = param("fused", image_width=96, image_height=96)
    tried = judged((large, 9.0))
    found = choose_dl_model_param(dataset, [DEFAULT, large])
    assert (tried, found.param) == ([DEFAULT], DEFAULT)
    assert found.tried[1].left_out == "too slow: 2.2 times the cost of the default, allowed: 2"


def test_the_frames_a_second_that_are_asked_for_decide_instead(
    dataset: DLDataset, judged: Callable[..., list[DLModelParam]]
) -> None:
    large = param("fused", image_width=96, image_height=96)
    judged((large, 9.0), fps=50.0)
    found = choose_dl_model_param(dataset, [DEFAULT, large], min_fps=10)
    assert (found.param, found.fps, found.min_fps) == (large, 50.0, 10)
    found = choose_dl_model_param(dataset, [DEFAULT, large], min_fps=21)
    assert found.param == DEFAULT
    assert found.tried[1].left_out == "too slow: about 22.2 frames/s, required: 21"


def test_a_default_that_is_too_slow_gives_way(dataset: DLDataset, judged: Callable[..., list[DLModelParam]]) -> None:
    small = param("fused", image_width=32, image_height=32)
    judged((DEFAULT, 20.0), fps=10.0)
    found = choose_dl_model_param(dataset, [DEFAULT, small], min_fps=20)
    assert found.param == small
    assert found.tried[0].left_out == "too slow: 10.0 frames/s, required: 20"
    assert found.reason.startswith("the default is left out (too slow: 10.0 frames/s, required: 20); no other model")
    assert "better than the default" not in found.reason
    assert found.warning is None
    found = choose_dl_model_param(dataset, [DEFAULT, small], min_fps=1000)
    assert found.param == small
    assert found.reason == "no model reaches 1000 frames/s on one core here; this one is estimated to be the fastest"
    assert found.warning is not None
    assert found.warning.startswith(
        "no model that was considered reaches the 1000 frames/s of --min-fps on one core of this"
    )


def test_the_speed_of_the_default_is_measured(dataset: DLDataset) -> None:
    found = choose_dl_model_param(dataset, [DEFAULT], min_fps=1e-3)
    assert found.fps is not None
    assert found.fps > 0


def test_pictures_go_through_the_preprocessing_that_is_given(dataset: DLDataset) -> None:
    seen: list[DLModelParam] = []

    def gray(model: InitialModel) -> DLPreprocessParam:
        seen.append(model.param)
        return create_dl_preprocess_param_from_model(model, normalization_type="all_channels")

    choose_dl_model_param(dataset, [DEFAULT], preprocessing=gray)
    assert set(map(id, seen)) == {id(DEFAULT)}


def test_with_too_few_images_the_default_is_taken() -> None:
    few = dataset_of(ok_images(9))
    found = choose_dl_model_param(few, [DEFAULT, VECTOR])
    assert found.param == DEFAULT
    assert found.sentence == (
        "fused (both) on efficientnet_lite0, 64 x 64 px: the default, because comparing models takes at least 12 "
        "different images from at least 3 groups, and there are 9"
    )
    assert set(names(found)) == {"not tried: too few images"}


@pytest.mark.parametrize(
    ("candidates", "message"),
    [
        ([], "there are no candidates to choose from; give the parameters of at least one model"),
        ([DLModelParam(detector="student")], "a student cannot be a candidate, because its training takes too long"),
        (
            [DLModelParam(backbone="timm:resnet18")],
            "nothing is known of the speed of timm:resnet18; choose among models on",
        ),
    ],
)
def test_candidates_that_cannot_be_compared_are_refused(candidates: list[DLModelParam], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        choose_dl_model_param(dataset_of(ok_images(20)), candidates)


def test_a_data_set_that_is_not_divided_is_refused() -> None:
    undivided = dataset_of(ok_images(20))
    undivided = replace(undivided, samples=tuple(replace(s, split=None) for s in undivided.samples))
    with pytest.raises(DatasetError, match="no image of set is in the split train; call split_dl_dataset before"):
        choose_dl_model_param(undivided, [DEFAULT])
