from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.dataset import DLDataset, DLDatasetSample
from trainer.errors import SplitError
from trainer.layout import ImageLabel, LayoutName, SplitName
from trainer.split import DLSplit, split_dl_dataset

Row = tuple[ImageLabel, SplitName | None, str]
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


def test_few_images_all_train_and_every_fold_is_used() -> None:
    split = split_dl_dataset(dataset(ok_images(31)))
    assert (split.method, len(split.train), split.calibration, split.test) == ("out_of_fold", 31, (), ())
    assert sorted(split.folds.count(f) for f in range(5)) == [6, 6, 6, 6, 7]
    assert split.warnings == ()


def test_from_300_images_on_some_are_held_out() -> None:
    assert split_dl_dataset(dataset(ok_images(299))).method == "out_of_fold"
    split = split_dl_dataset(dataset(ok_images(300)))
    assert (split.method, len(split.train), len(split.calibration), split.folds) == ("held_out", 210, 90, ())
    assert {s.split for s in split.train} == {"train"}
    assert {s.split for s in split.calibration} == {"validation"}


def test_max_train_leaves_the_rest_to_calibrate() -> None:
    split = split_dl_dataset(dataset(ok_images(471)), max_train=200)
    assert (split.method, len(split.train), len(split.calibration)) == ("held_out", 200, 271)


@pytest.mark.parametrize(("max_train", "method"), [(41, "held_out"), (42, "out_of_fold")])
def test_small_set_holds_out_only_what_can_calibrate_alone(max_train: int, method: str) -> None:
    split = split_dl_dataset(dataset(ok_images(100)), max_train=max_train)
    assert (split.method, len(split.train), len(split.calibration)) == (method, max_train, 100 - max_train)


def test_two_images_make_two_folds() -> None:
    split = split_dl_dataset(dataset(ok_images(2)))
    assert sorted(split.folds) == [0, 1]
    assert "only 2 different ok images" in split.warnings[0]


def test_given_test_set_is_kept_and_nok_images_of_train_go_there() -> None:
    rows: list[Row] = [*ok_images(30), *ok_images(5, "test"), ("nok", "test", "n0"), ("nok", "train", "n1")]
    rows += ok_images(4, "validation")
    split = split_dl_dataset(dataset(rows))
    assert len(split.train) == 34, "train and validation are there to learn from"
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
    assert "0007.png" in split.warnings[0]
    assert [s.split for s in split.dataset.samples if s.pixel_digest == "train-7"] == [None, "test"]


def test_copies_count_once() -> None:
    rows: list[Row] = [*ok_images(30), *ok_images(3)]
    split = split_dl_dataset(dataset(rows))
    assert sorted(pixels(split.train)) == sorted(f"train-{i}" for i in range(30))
    assert "0030.png (= 0000.png)" in split.warnings[0]


def test_copies_do_not_make_a_set_large() -> None:
    assert split_dl_dataset(dataset(ok_images(200) * 2)).method == "out_of_fold"


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
    st.none() | st.integers(2, 300),
)
def test_no_picture_is_ever_on_two_sides(
    drawn: list[tuple[ImageLabel, SplitName, int]], seed: int, max_train: int | None
) -> None:
    rows: list[Row] = [(label, split, f"{label}-{number}") for label, split, number in drawn]
    try:
        split = split_dl_dataset(dataset(rows), seed=seed, max_train=max_train)
    except SplitError:
        learnable = {p for label, s, p in rows if label == "ok" and s != "test"}
        assert len(learnable - {p for label, s, p in rows if label == "nok" or s == "test"}) < 2
        return
    check(split, max_train)


def check(split: DLSplit, max_train: int | None) -> None:
    sides = [set(pixels(split.train)), set(pixels(split.calibration)), set(pixels(split.test))]
    for one, other in itertools.combinations(sides, 2):
        assert not one & other
    assert len(sides[0]) == len(split.train) <= (max_train or len(split.train))
    assert all(s.image_label == "ok" for s in (*split.train, *split.calibration))
    assert all(s in split.test or s.image_label == "ok" for s in split.dataset.samples)
    assert len(split.folds) == (len(split.train) if split.method == "out_of_fold" else 0)
    stamped = [s for s in split.dataset.samples if s.split is not None]
    assert sorted(s.image_id for s in stamped) == sorted(
        s.image_id for s in (*split.train, *split.calibration, *split.test)
    )


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"training_percent": 0.0}, "training_percent"),
        ({"training_percent": 101.0}, "training_percent"),
        ({"validation_percent": 100.0}, "validation_percent"),
        ({"validation_percent": 0.0}, "validation_percent"),
        ({"max_train": 1}, "max_train"),
        ({"folds": 1}, "folds"),
    ],
)
def test_arguments_out_of_range_are_named(arguments: dict[str, float], name: str) -> None:
    with pytest.raises(SplitError, match=name):
        split_dl_dataset(dataset(ok_images(30)), **arguments)  # type: ignore[arg-type]


def test_one_picture_is_too_few() -> None:
    with pytest.raises(SplitError, match="1 different ok image"):
        split_dl_dataset(dataset(ok_images(1) * 9))
