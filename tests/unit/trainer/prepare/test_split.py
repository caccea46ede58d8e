from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector.anomaly.types import AnomalyClass
from trainer.dataset.dataset import Division, DLDataset, DLDatasetSample
from trainer.dataset.listing import LayoutName, SplitName
from trainer.dataset.read import read_dl_dataset_anomaly
from trainer.errors import SplitError
from trainer.prepare.split import SplitParam, split_dl_dataset

Row = tuple[AnomalyClass, SplitName | None, str]
"""Label, folder's split, pixel digest."""


def dataset(rows: list[Row], layout: LayoutName = "mvtec") -> DLDataset:
    samples = tuple(
        DLDatasetSample(i, f"{i:04}.png", label, 8, 8, 3, digest=pixels, pixel_digest=pixels, split=split)
        for i, (label, split, pixels) in enumerate(rows)
    )
    return DLDataset(Path("set"), None, layout, samples)


def ok_images(count: int, split: SplitName | None = "train") -> list[Row]:
    return [("ok", split, f"{split}-{i}") for i in range(count)]


def pixels(samples: tuple[DLDatasetSample, ...]) -> list[str]:
    return [s.pixel_digest for s in samples]


def division(split: DLDataset) -> Division:
    assert split.division is not None
    return split.division


def test_few_images_all_train_and_every_fold_is_used() -> None:
    split = split_dl_dataset(dataset(ok_images(31)))
    assert (division(split).method, len(split.train), split.validation, split.test) == ("out_of_fold", 31, (), ())
    assert sorted(split.folds.count(f) for f in range(5)) == [6, 6, 6, 6, 7]
    assert division(split).warnings == ()


def test_from_300_images_on_some_are_held_out() -> None:
    assert division(split_dl_dataset(dataset(ok_images(299)))).method == "out_of_fold"
    split = split_dl_dataset(dataset(ok_images(300)))
    assert (division(split).method, len(split.train), len(split.validation), split.folds) == ("held_out", 210, 90, ())
    assert {s.split for s in split.train} == {"train"}
    assert {s.split for s in split.validation} == {"validation"}


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
    assert "2 different ok images are left to learn from" in message
    assert "3 are needed, so that each is judged by a model of two others" in message
    assert message.endswith("add ok images")


def test_two_images_do_where_the_validation_split_calibrates_alone() -> None:
    rows: list[Row] = [*ok_images(2), *ok_images(59, "validation")]
    assert sizes(split_dl_dataset(dataset(rows))) == (2, 59, 0)
    assert (
        "1 different ok image is left to learn from in set (0 are tested on, 59 only calibrate); a model needs 2"
        in (refusal([*ok_images(1), *ok_images(59, "validation")], "mvtec"))
    )


def test_percentages_that_leave_too_few_images_say_where_the_others_are() -> None:
    rows: list[Row] = [*ok_images(3, None), ("nok", None, "n0"), ("nok", None, "n1")]
    data = dataset(rows, "folders")
    assert sizes(split_dl_dataset(data, seed=0)) == (3, 0, 2)
    message = refusal(rows, seed=5)
    assert "2 different ok images are left to learn from in set (1 are tested on, 0 only calibrate)" in message
    assert message.endswith("add ok images, or divide anew with more of them to learn from")


def test_two_folds_of_three_images_leave_one_to_fit_on() -> None:
    assert "2 folds of 3 images leave 1 to a fold's model, which needs 2; raise folds" in (
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
    assert division(split_dl_dataset(dataset(ok_images(200) * 2))).method == "out_of_fold"


def test_seed_decides_and_repeats() -> None:
    rows = ok_images(320)
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


def refusal(rows: list[Row], layout: LayoutName = "folders", **arguments: Any) -> str:
    with pytest.raises(SplitError) as caught:
        split_dl_dataset(dataset(rows, layout), **arguments)
    return str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"training_percent": 0.0}, "training_percent must be above 0"),
        ({"training_percent": -1.0}, "training_percent must lie between 0 and 100, got -1"),
        ({"training_percent": 101.0}, "training_percent must lie"),
        ({"training_percent": float("nan")}, "training_percent must lie"),
        ({"validation_percent": -0.1}, "validation_percent must lie"),
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
        ({"calibration_percent": 100}, "calibration_percent"),
        ({"group_by": "part"}, "group_by"),
        ({"time_window_minutes": 5}, "time_window_minutes go together"),
        ({"group_by": "time_window"}, "time_window_minutes go together"),
        ({"group_by": "time_window", "time_window_minutes": 0}, "time_window_minutes"),
        ({"overwrite": True}, "unknown parameter overwrite; SplitParam knows group_by"),
    ],
)
def test_parameters_out_of_range_are_named(param: dict[str, Any], words: str) -> None:
    with pytest.raises(SplitError, match=words):
        SplitParam(**param)


def test_keep_validation_needs_a_validation_split() -> None:
    assert "keep_validation needs images" in refusal(ok_images(30), param=SplitParam(keep_validation=True))


# --------------------------------------------------------------------------------------------------- HALCON's percentages


def sizes(split: DLDataset) -> tuple[int, int, int]:
    return len(split.train), len(split.validation), len(split.test)


def test_percentages_count_all_ok_images() -> None:
    rows: list[Row] = [*ok_images(100, None), *[("nok", None, f"n{i}") for i in range(7)]]
    assert sizes(split_dl_dataset(dataset(rows, "folders"), 50, 10)) == (50, 10, 47)
    assert sizes(split_dl_dataset(dataset(rows, "folders"), 29, 0)) == (29, 0, 78), "0.29 * 100 is below 29"
    assert sizes(split_dl_dataset(dataset(ok_images(1000, None), "all_ok"), 0.3, 0)) == (3, 0, 997), "0.3 is below 0.3"
    assert sizes(split_dl_dataset(dataset(rows, "folders"), None, 30)) == (50, 30, 27)
    assert sizes(split_dl_dataset(dataset(ok_images(100, None), "all_ok"), None, 30)) == (70, 30, 0)


def test_a_large_share_to_calibrate_leaves_two_images_to_fit_on() -> None:
    split = split_dl_dataset(dataset(ok_images(300)), param=SplitParam(calibration_percent=99.9))
    assert sizes(split) == (2, 298, 0)


def test_the_remainder_is_dealt_randomly() -> None:
    seen = {sizes(split_dl_dataset(dataset(ok_images(7, None), "all_ok"), 50, 25, seed=s)) for s in range(40)}
    assert seen == {(4, 1, 2), (3, 2, 2), (3, 1, 3), (5, 1, 1), (4, 2, 1), (3, 3, 1)} & seen
    assert len(seen) > 1


def test_a_large_validation_split_calibrates_alone_and_a_small_one_with_folds() -> None:
    large = split_dl_dataset(dataset(ok_images(200, None), "all_ok"), 50, 30)
    assert (division(large).method, len(large.validation), large.folds) == ("held_out", 60, ())
    small = split_dl_dataset(dataset(ok_images(200, None), "all_ok"), 50, 29)
    assert (division(small).method, len(small.validation), len(small.folds)) == ("out_of_fold", 58, 100)


def test_a_validation_split_given_is_not_taken_from_again() -> None:
    split = split_dl_dataset(dataset(ok_images(1000, None), "all_ok"), 80, 20)
    assert sizes(split) == (800, 200, 0)
    assert division(split_dl_dataset(dataset(ok_images(1000, None), "all_ok"), 80, 0)).method == "out_of_fold"


def test_a_given_division_is_overwritten_only_when_asked() -> None:
    rows: list[Row] = [*ok_images(30), *ok_images(10, "test"), ("nok", "test", "n0")]
    assert "pass overwrite_split=True" in refusal(rows, "mvtec", training_percent=50)
    assert "pass overwrite_split=True" in refusal(rows, "mvtec", validation_percent=0)
    split = split_dl_dataset(dataset(rows), 50, 10, overwrite_split=True)
    assert sizes(split) == (20, 4, 17)


def test_a_divided_data_set_is_divided_again_only_when_asked() -> None:
    first = split_dl_dataset(dataset(ok_images(50, None), "all_ok"), 50, 10)
    with pytest.raises(SplitError, match=r"is split already; .* overwrite_split=True"):
        split_dl_dataset(first)
    again = split_dl_dataset(first, 50, 10, overwrite_split=True)
    assert pixels(again.train) == pixels(first.train)


@pytest.mark.parametrize("param", [None, SplitParam(keep_validation=True)], ids=["by default", "when asked"])
def test_validation_images_of_the_source_only_calibrate(param: SplitParam | None) -> None:
    rows: list[Row] = [
        *ok_images(30),
        *ok_images(70, "validation"),
        ("ok", "train", "validation-0"),
        ("ok", "test", "t"),
    ]
    rows += [("ok", "validation", "t")]
    split = split_dl_dataset(dataset(rows), param=param)
    assert division(split).method == "held_out"
    assert sorted(pixels(split.train)) == sorted(f"train-{i}" for i in range(30))
    assert sorted(pixels(split.validation)) == sorted(f"validation-{i}" for i in range(70))
    assert any("0100.png" in w and "validation images and are not learnt" in w for w in division(split).warnings)
    assert any("0102.png" in w and "calibrate nothing" in w for w in division(split).warnings)


def test_validation_images_of_the_source_are_learnt_from_where_that_is_asked_for() -> None:
    rows: list[Row] = [*ok_images(30), *ok_images(12, "validation"), *ok_images(5, "test")]
    assert sizes(split_dl_dataset(dataset(rows), param=SplitParam(keep_validation=False))) == (42, 0, 5)


def test_validation_images_too_few_to_calibrate_alone_do_so_beside_the_folds() -> None:
    rows: list[Row] = [*ok_images(20), *ok_images(12, "validation"), *ok_images(8, "test")]
    split = split_dl_dataset(dataset(rows))
    assert (division(split).method, sizes(split), len(split.folds)) == ("out_of_fold", (20, 12, 8), 20)


def test_a_division_anew_takes_validation_images_of_the_source_too() -> None:
    rows: list[Row] = [*ok_images(20), *ok_images(12, "validation"), *ok_images(8, "test")]
    assert sizes(split_dl_dataset(dataset(rows), 100, overwrite_split=True)) == (40, 0, 0)


# ---------------------------------------------------------------------------------------------------------------- groups


def grouped(rows: list[tuple[AnomalyClass, SplitName | None, str | None]], *, minutes: bool = False) -> DLDataset:
    """Label, split, group of each image, all different pictures, one captured each minute where asked."""
    samples = tuple(
        DLDatasetSample(
            i,
            f"{i:04}.png",
            label,
            8,
            8,
            3,
            f"{i}",
            f"{i}",
            None,
            None,
            split,
            group,
            i * 60_000_000 if minutes else None,
        )
        for i, (label, split, group) in enumerate(rows)
    )
    return DLDataset(Path("set"), None, "folders", samples)


def groups_of(samples: Iterable[DLDatasetSample]) -> set[str | None]:
    return {s.group for s in samples}


def test_groups_stay_together_in_splits_and_folds() -> None:
    rows: list[tuple[AnomalyClass, SplitName | None, str | None]] = [("ok", None, f"p{i // 4}") for i in range(400)]
    split = split_dl_dataset(grouped(rows), 60, 20)
    assert sizes(split) == (240, 80, 80)
    assert division(split).method == "out_of_fold", "20 groups prove less than 59 images would"
    for one, other in itertools.combinations((split.train, split.validation, split.test), 2):
        assert not groups_of(one) & groups_of(other)
    fold_of = {(s.group, fold) for s, fold in zip(split.train, split.folds, strict=True)}
    assert len(fold_of) == 60
    assert {split.folds.count(fold) for fold in range(5)} == {48}
    assert any("320 images to learn from are of 80 groups" in w for w in division(split).warnings)


def test_a_group_without_two_other_images_cannot_be_judged() -> None:
    rows: list[tuple[AnomalyClass, SplitName | None, str | None]] = [("ok", None, "a")] * 20
    message = refusal_of(grouped([*rows, ("ok", None, "b")]))
    assert (
        "the 21 images to fit on are of one group but 1, and a model that judges that group needs 2 others" in message
    )
    assert "pass group_by='none'" in message
    split = split_dl_dataset(grouped([*rows, ("ok", None, "b"), ("ok", None, "c")]))
    assert sorted(split.folds) == [0] * 20 + [1, 2]


def test_groups_are_ignored_when_asked() -> None:
    rows: list[tuple[AnomalyClass, SplitName | None, str | None]] = [("ok", None, "p")] * 100
    assert "are all of one group" in refusal_of(grouped(rows))
    split = split_dl_dataset(grouped(rows), 50, 10, param=SplitParam(group_by="none"))
    assert sizes(split) == (50, 10, 40)


def refusal_of(data: DLDataset, **arguments: Any) -> str:
    with pytest.raises(SplitError) as caught:
        split_dl_dataset(data, **arguments)
    return str(caught.value)


def test_ok_images_of_a_nok_part_are_tested_on() -> None:
    rows: list[tuple[AnomalyClass, SplitName | None, str | None]] = [("ok", None, f"p{i}") for i in range(40)]
    rows += [("nok", None, "p3"), ("ok", None, "p3")]
    split = split_dl_dataset(grouped(rows))
    assert "p3" not in groups_of((*split.train, *split.validation))
    assert [s.image_file_name for s in split.test if s.group == "p3"] == ["0003.png", "0040.png", "0041.png"]
    assert any("2 ok images share a group with a nok image" in w for w in division(split).warnings)


def test_where_every_part_has_a_nok_image_nothing_is_left() -> None:
    rows: list[tuple[AnomalyClass, SplitName | None, str | None]] = [("ok", None, f"p{i}") for i in range(40)]
    rows += [("nok", None, f"p{i}") for i in range(40)]
    message = refusal_of(grouped(rows))
    assert "0 different ok images are left" in message
    assert "40 ok images share a group with a nok image" in message


def test_a_given_division_loses_what_its_groups_straddle() -> None:
    rows: list[tuple[AnomalyClass, SplitName | None, str | None]] = [("ok", "train", f"p{i}") for i in range(40)]
    rows += [("ok", "test", "p1"), ("nok", "train", "p2"), ("ok", "test", None)]
    split = split_dl_dataset(grouped(rows))
    assert sizes(split) == (38, 0, 3)
    assert any(
        "2 training images are of a group of the test images" in w and "0001.png" in w for w in division(split).warnings
    )


def test_a_picture_in_two_groups_ties_them() -> None:
    rows: list[tuple[AnomalyClass, SplitName | None, str | None]] = [("ok", None, f"p{i // 2}") for i in range(40)]
    data = grouped(rows)
    samples = [replace(s, pixel_digest="0") if s.image_id == 2 else s for s in data.samples]
    split = split_dl_dataset(replace(data, samples=tuple(samples)), 50, 25)
    sides = [split.train, split.validation, split.test]
    assert sum(bool(groups_of(side) & {"p0", "p1"}) for side in sides) == 1


def test_time_windows_stay_together_and_parts_with_their_first_image() -> None:
    rows: list[tuple[AnomalyClass, SplitName | None, str | None]] = [("ok", None, f"p{i // 4}") for i in range(400)]
    split = split_dl_dataset(
        grouped(rows, minutes=True), 60, 20, param=SplitParam(group_by="time_window", time_window_minutes=10)
    )
    windows = [{first_minute(s) // 10 for s in side} for side in (split.train, split.validation, split.test)]
    assert all(windows)
    for one, other in itertools.combinations(windows, 2):
        assert not one & other
    folds = {(first_minute(s) // 10, fold) for s, fold in zip(split.train, split.folds, strict=True)}
    assert len(folds) == len(windows[0])


def first_minute(sample: DLDatasetSample) -> int:
    return sample.image_id // 4 * 4


def test_time_windows_need_capture_times() -> None:
    param = SplitParam(group_by="time_window", time_window_minutes=10)
    message = refusal_of(grouped([("ok", None, None)] * 9), param=param)
    assert "0000.png, 0001.png" in message
    assert "have no capture time" in message
    assert "inspector's archive" in message


def test_a_group_larger_than_max_train() -> None:
    rows: list[tuple[AnomalyClass, SplitName | None, str | None]] = [("ok", None, f"p{i // 50}") for i in range(200)]
    message = refusal_of(grouped(rows), param=SplitParam(max_train=40))
    assert "max_train 40 leaves 0 images to fit on" in message
    assert "the smallest has 50; raise it" in message


LABELS = st.sampled_from(["ok", "ok", "ok", "nok"])
GROUPED_ROWS = st.lists(
    st.tuples(LABELS, st.none() | st.integers(0, 25), st.integers(0, 60), st.integers(0, 5000)),
    min_size=4,
    max_size=120,
)
"""Label, group, picture, capture time in s."""
PERCENTS = st.tuples(st.integers(1, 100), st.integers(0, 99)).filter(lambda p: sum(p) <= 100)


def build(rows: list[tuple[AnomalyClass, int | None, int, int]], order: Sequence[int] | None = None) -> DLDataset:
    named = [(f"{i:04}.png", *row) for i, row in enumerate(rows)]
    samples = tuple(
        DLDatasetSample(
            number,
            name,
            label,
            8,
            8,
            3,
            digest=name,
            pixel_digest=f"{label}-{picture}",
            group=None if group is None else f"g{group}",
            captured_at=second * 1_000_000,
        )
        for number, (name, label, group, picture, second) in enumerate(named[i] for i in order or range(len(named)))
    )
    return DLDataset(Path("set"), None, "folders", samples)


def names(split: DLDataset) -> tuple[list[str], ...]:
    return tuple(sorted(s.image_file_name for s in part) for part in sides_of(split))


def folds_by_name(split: DLDataset) -> dict[str, int | None]:
    return {s.image_file_name: s.fold for s in split.samples}


def keys(sample: DLDatasetSample, group_by: str) -> set[object]:
    group = {("group", sample.group)} if group_by != "none" and sample.group is not None else set()
    return {sample.pixel_digest, *group}


@given(GROUPED_ROWS, PERCENTS, st.sampled_from(["none", "group", "time_window"]), st.integers(0, 9), st.randoms())
def test_nothing_straddles_and_order_does_not_matter(
    rows: list[tuple[AnomalyClass, int | None, int, int]],
    percents: tuple[int, int],
    group_by: Literal["none", "group", "time_window"],
    seed: int,
    random: Random,
) -> None:
    param = SplitParam(group_by=group_by, time_window_minutes=10 if group_by == "time_window" else None)

    def divided(data: DLDataset) -> DLDataset | str:
        try:
            return split_dl_dataset(data, *percents, seed=seed, param=param)
        except SplitError as error:
            return str(error)

    data = build(rows)
    split = divided(data)
    shuffled = divided(build(rows, random.sample(range(len(rows)), len(rows))))
    if isinstance(split, str) or isinstance(shuffled, str):
        assert shuffled == split
        return
    assert names(shuffled) == names(split)
    assert folds_by_name(shuffled) == folds_by_name(split)
    assert all(len(split.folds) - split.folds.count(fold) >= 2 for fold in split.folds), "each fold's model needs two"

    folds = [[s for s, f in zip(split.train, split.folds, strict=True) if f == fold] for fold in set(split.folds)]
    for sides in ([split.train, split.validation, split.test], folds):
        for one, other in itertools.combinations(sides, 2):
            assert not {k for s in one for k in keys(s, group_by)} & {k for s in other for k in keys(s, group_by)}
    assert {s.image_id for s in data.samples if s.image_label == "nok"} <= {s.image_id for s in split.test}
    assert all(s.image_label == "ok" for s in (*split.train, *split.validation))
    if group_by == "none":
        shares = (*percents, 100 - sum(percents))
        counts = [len({s.pixel_digest for s in side if s.image_label == "ok"}) for side in sides_of(split)]
        total = sum(counts)
        assert total == len({s.pixel_digest for s in data.samples if s.image_label == "ok"})
        for count, share in zip(counts, shares, strict=True):
            assert total * share // 100 <= count <= total * share // 100 + (2 if share else 0)


def sides_of(split: DLDataset) -> tuple[tuple[DLDatasetSample, ...], ...]:
    return split.train, split.validation, split.test


# ------------------------------------------------------------------------------------------------------------- real data

DATA = Path(__file__).parents[3] / "data"
SHARED = Path(__file__).parents[5] / "shared" / "data"


@pytest.mark.parametrize(
    ("folder", "digest"),
    [
        pytest.param(DATA / "aws_alien", "b6f3474e0e4e9c16", id="aws_alien"),
        pytest.param(DATA / "aws_cookie", "e63d83950c000f1c", id="aws_cookie"),
        pytest.param(SHARED / "kolektorsdd", "9a2114475ec35bec", id="kolektorsdd"),
        pytest.param(SHARED / "elpv_mono", "4fac6e57e5648db6", id="elpv_mono"),
        pytest.param(SHARED / "mvtec_toothbrush", "39edd99a4a9886c6", id="mvtec_toothbrush"),
    ],
)
def test_the_default_division_of_known_sets_stays(folder: Path, digest: str) -> None:
    """Figures of the README and of the benchmarks were measured on these very divisions."""
    if not folder.is_dir():
        pytest.skip(f"{folder} is not here")
    split = split_dl_dataset(read_dl_dataset_anomaly(folder), seed=0)
    folds = sorted((s.image_file_name, s.fold) for s in split.train)
    known = json.dumps([*names(split), folds, division(split).method])
    assert hashlib.sha256(known.encode()).hexdigest()[:16] == digest
