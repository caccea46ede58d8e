from __future__ import annotations

import pytest

from tests.splits import Row, dataset, division, ok_images, pixels, refusal, sizes
from trainer.errors import SplitError
from trainer.prepare.split import SplitParam, split_dl_dataset


def test_percentages_count_all_ok_images() -> None:
    rows: list[Row] = [*ok_images(100, None), *[("nok", None, f"n{i}") for i in range(7)]]
    assert sizes(split_dl_dataset(dataset(rows, "folders"), 50, 10)) == (50, 10, 47)
    assert sizes(split_dl_dataset(dataset(rows, "folders"), 29, 0)) == (29, 0, 78), "0.29 * 100 is below 29"
    assert sizes(split_dl_dataset(dataset(ok_images(1000, None), "all_ok"), 0.3, 0)) == (3, 0, 997), "0.3 is below 0.3"
    assert sizes(split_dl_dataset(dataset(rows, "folders"), None, 30)) == (50, 30, 27)
    assert sizes(split_dl_dataset(dataset(ok_images(100, None), "all_ok"), None, 30)) == (70, 30, 0)


def test_a_large_share_to_calibrate_leaves_two_images_to_fit_on() -> None:
    split = split_dl_dataset(dataset(ok_images(1000)), param=SplitParam(calibration_percent=99.9))
    assert sizes(split) == (2, 998, 0)


def test_no_share_to_calibrate_means_folds_of_however_many_images() -> None:
    split = split_dl_dataset(dataset(ok_images(1000)), param=SplitParam(calibration_percent=0))
    assert (sizes(split), split.num_folds, division(split).method) == ((1000, 0, 0), 5, "out_of_fold")


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
    assert any("0100.png" in w and "validation images and are not used" in w for w in division(split).warnings)
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
