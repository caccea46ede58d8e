from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector.anomaly.choices import AnomalyClass
from tests.splits import Row, dataset, division, ok_images, pixels, refusal, sizes
from trainer.dataset.dataset import DLDataset
from trainer.errors import SplitError
from trainer.listing.listing import SplitName
from trainer.prepare.split import PROOF_MIN, SplitParam, split_dl_dataset


def test_few_images_all_train_and_every_fold_is_used() -> None:
    split = split_dl_dataset(dataset(ok_images(31)))
    assert (division(split).method, len(split.train), split.validation, split.test) == ("out_of_fold", 31, (), ())
    assert sorted(split.folds.count(f) for f in range(5)) == [6, 6, 6, 6, 7]
    assert division(split).warnings == ()


def test_from_1000_images_on_some_are_held_out() -> None:
    assert division(split_dl_dataset(dataset(ok_images(999)))).method == "out_of_fold"
    split = split_dl_dataset(dataset(ok_images(1000)))
    assert (division(split).method, len(split.train), len(split.validation), split.folds) == ("held_out", 700, 300, ())
    assert {s.split for s in split.train} == {"train"}
    assert {s.split for s in split.validation} == {"validation"}


def test_the_number_from_which_on_some_are_held_out_can_be_given() -> None:
    param = SplitParam(held_out_min=PROOF_MIN)
    assert division(split_dl_dataset(dataset(ok_images(299)), param=param)).method == "out_of_fold"
    assert sizes(split_dl_dataset(dataset(ok_images(300)), param=param)) == (210, 90, 0)


def test_max_train_leaves_the_rest_to_calibrate() -> None:
    split = split_dl_dataset(dataset(ok_images(471)), param=SplitParam(max_train=200))
    assert (division(split).method, len(split.train), len(split.validation)) == ("held_out", 200, 271)


@pytest.mark.parametrize(("max_train", "method"), [(41, "held_out"), (42, "out_of_fold")])
def test_small_set_holds_out_only_what_can_calibrate_alone(max_train: int, method: str) -> None:
    split = split_dl_dataset(dataset(ok_images(100)), param=SplitParam(max_train=max_train))
    assert (division(split).method, len(split.train), len(split.validation)) == (method, max_train, 100 - max_train)


def test_three_images_make_three_folds_of_one() -> None:
    split = split_dl_dataset(dataset(ok_images(3)))
    assert sorted(split.folds) == [0, 1, 2]
    assert "only 3 different ok images" in division(split).warnings[0]


def test_two_images_are_too_few_as_a_fold_would_be_judged_by_a_model_of_one() -> None:
    message = refusal(ok_images(2), "mvtec")
    assert "2 different ok images are left to train on" in message
    assert "3 are needed, so that each can be scored by a model of the two others" in message
    assert message.endswith("add ok images")


def test_two_images_do_where_the_validation_split_calibrates_alone() -> None:
    rows: list[Row] = [*ok_images(2), *ok_images(59, "validation")]
    assert sizes(split_dl_dataset(dataset(rows))) == (2, 59, 0)
    assert "1 different ok image is left to train on in set (0 are tested on, 59 only calibrate); a model needs 2" in (
        refusal([*ok_images(1), *ok_images(59, "validation")], "mvtec")
    )


def test_percentages_that_leave_too_few_images_say_where_the_others_are() -> None:
    rows: list[Row] = [*ok_images(3, None), ("nok", None, "n0"), ("nok", None, "n1")]
    data = dataset(rows, "folders")
    assert sizes(split_dl_dataset(data, seed=0)) == (3, 0, 2)
    message = refusal(rows, seed=5)
    assert "2 different ok images are left to train on in set (1 are tested on, 0 only calibrate)" in message
    assert message.endswith("add ok images, or divide them again with more images for training")


def test_two_folds_of_three_images_leave_one_to_fit_on() -> None:
    assert "with 2 folds of 3 images each model is trained on 1 images, but it needs 2; raise folds" in (
        refusal(ok_images(3), param=SplitParam(folds=2))
    )


def test_given_test_set_is_kept_and_nok_images_of_train_go_there() -> None:
    rows: list[Row] = [*ok_images(30), *ok_images(5, "test"), ("nok", "test", "n0"), ("nok", "train", "n1")]
    rows += ok_images(4, "validation")
    split = split_dl_dataset(dataset(rows))
    assert (len(split.train), len(split.validation)) == (30, 4), "validation images only calibrate"
    assert sorted(pixels(split.test)) == ["n0", "n1", "test-0", "test-1", "test-2", "test-3", "test-4"]


def test_folder_of_ok_images_only_has_no_test_set() -> None:
    split = split_dl_dataset(dataset(ok_images(40, None), "all_ok"))
    assert (len(split.train), split.test) == (40, ())


def test_folders_with_nok_images_keep_ok_images_back_for_the_test() -> None:
    rows: list[Row] = [*ok_images(50, None), ("nok", None, "n0"), ("nok", None, "n1")]
    split = split_dl_dataset(dataset(rows, "folders"), training_percent=80)
    assert len(split.train) == 40
    assert sorted(s.image_label for s in split.test) == ["nok"] * 2 + ["ok"] * 10


def test_picture_of_the_test_set_is_not_learnt_from() -> None:
    rows: list[Row] = [*ok_images(30), ("ok", "test", "train-7")]
    split = split_dl_dataset(dataset(rows))
    assert "train-7" not in pixels(split.train)
    assert pixels(split.test) == ["train-7"]
    assert "0007.png" in division(split).warnings[0]
    assert [s.split for s in split.samples if s.pixel_digest == "train-7"] == [None, "test"]


def test_copies_count_once() -> None:
    rows: list[Row] = [*ok_images(30), *ok_images(3)]
    split = split_dl_dataset(dataset(rows))
    assert sorted(pixels(split.train)) == sorted(f"train-{i}" for i in range(30))
    assert "0030.png (= 0000.png)" in division(split).warnings[0]


def test_copies_do_not_make_a_set_large() -> None:
    assert division(split_dl_dataset(dataset(ok_images(600) * 2))).method == "out_of_fold"


def test_seed_decides_and_repeats() -> None:
    rows = ok_images(1020)
    first, again, other = (split_dl_dataset(dataset(rows), seed=s) for s in (1, 1, 2))
    assert first == again
    assert set(pixels(first.train)) != set(pixels(other.train))


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["ok", "nok"]), st.sampled_from(["train", "validation", "test"]), st.integers(0, 400)
        ),
        min_size=1,
        max_size=400,
    ),
    st.integers(0, 5),
    st.none() | st.integers(3, 300),
)
def test_no_picture_is_ever_on_two_sides(
    drawn: list[tuple[AnomalyClass, SplitName, int]], seed: int, max_train: int | None
) -> None:
    rows: list[Row] = [(label, split, f"{label}-{number}") for label, split, number in drawn]
    try:
        split = split_dl_dataset(dataset(rows), seed=seed, param=SplitParam(max_train=max_train))
    except SplitError:
        learnable, held, tested = (
            {p for label, s, p in rows if label == "ok" and s == side} for side in ("train", "validation", "test")
        )
        assert len(learnable - held - tested) < (2 if len(held - tested) >= 59 else 3)
        return
    check(split, max_train)


def check(split: DLDataset, max_train: int | None) -> None:
    sides = [set(pixels(split.train)), set(pixels(split.validation)), set(pixels(split.test))]
    for one, other in itertools.combinations(sides, 2):
        assert not one & other
    assert len(sides[0]) == len(split.train) <= (max_train or len(split.train))
    assert all(s.image_label == "ok" for s in (*split.train, *split.validation))
    assert all(s in split.test or s.image_label == "ok" for s in split.samples)
    assert len(split.folds) == (len(split.train) if division(split).method == "out_of_fold" else 0)
    stamped = [s for s in split.samples if s.split is not None]
    assert sorted(s.image_id for s in stamped) == sorted(
        s.image_id for s in (*split.train, *split.validation, *split.test)
    )


def test_one_picture_is_too_few() -> None:
    with pytest.raises(SplitError, match="1 different ok image"):
        split_dl_dataset(dataset(ok_images(1) * 9))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"training_percent": 0.0}, "training_percent must be above 0"),
        ({"training_percent": -1.0}, "training_percent must be between 0 and 100, got -1"),
        ({"training_percent": 101.0}, "training_percent must be"),
        ({"training_percent": float("nan")}, "training_percent must be"),
        ({"validation_percent": -0.1}, "validation_percent must be"),
        ({"validation_percent": 100.0}, "validation_percent 100.0 leaves nothing to train on"),
        ({"training_percent": 60, "validation_percent": 41}, "60 and validation_percent 41 sum to more than 100"),
        ({"seed": -1}, "seed must be 0 or more"),
        ({"param": SplitParam(keep_validation=True)}, "keep_validation needs images"),
    ],
)
def test_arguments_out_of_range_are_named(arguments: dict[str, Any], words: str) -> None:
    assert words in refusal(ok_images(30, None), **arguments)


@pytest.mark.parametrize(
    ("param", "words"),
    [
        ({"max_train": 2}, "max_train"),
        ({"folds": 1}, "folds"),
        ({"held_out_min": 58}, "held_out_min"),
        ({"calibration_percent": 100}, "calibration_percent"),
        ({"group_by": "part"}, "group_by"),
        ({"time_window_minutes": 5}, "needs time_window_minutes"),
        ({"group_by": "time_window"}, "needs time_window_minutes"),
        ({"group_by": "time_window", "time_window_minutes": 0}, "time_window_minutes"),
        ({"overwrite": True}, "unknown parameter overwrite; SplitParam knows group_by"),
    ],
)
def test_parameters_out_of_range_are_named(param: dict[str, Any], words: str) -> None:
    with pytest.raises(SplitError, match=words):
        SplitParam(**param)


def test_keep_validation_needs_a_validation_split() -> None:
    assert "keep_validation needs images" in refusal(ok_images(30), param=SplitParam(keep_validation=True))
