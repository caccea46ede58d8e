from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector.anomaly.choices import AnomalyClass
from tests.splits import division, names, sides_of, sizes
from trainer.dataset.dataset import DLDataset, DLDatasetSample
from trainer.errors import SplitError
from trainer.listing.listing import SplitName
from trainer.prepare.split import SplitParam, split_dl_dataset


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
    assert len(set(split.groups_of(split.train + split.validation))) == 80
    assert split.groups_of(split.train[:1]) != split.groups_of(split.validation[:1])


def test_a_group_without_two_other_images_cannot_be_judged() -> None:
    rows: list[tuple[AnomalyClass, SplitName | None, str | None]] = [("ok", None, "a")] * 20
    message = refusal_of(grouped([*rows, ("ok", None, "b")]))
    assert (
        "the 21 training images are from one group except 1, and a model that scores this group needs 2 images of "
        "other groups" in message
    )
    assert "pass group_by='none'" in message
    split = split_dl_dataset(grouped([*rows, ("ok", None, "b"), ("ok", None, "c")]))
    assert sorted(split.folds) == [0] * 20 + [1, 2]


def test_groups_are_ignored_when_asked() -> None:
    rows: list[tuple[AnomalyClass, SplitName | None, str | None]] = [("ok", None, "p")] * 100
    assert "are all from one group" in refusal_of(grouped(rows))
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
    assert any("2 ok images are in the same group as a nok image" in w for w in division(split).warnings)


def test_groups_are_counted_where_images_come_in_groups() -> None:
    def method(count: int) -> str:
        rows: list[tuple[AnomalyClass, SplitName | None, str | None]] = [
            ("ok", None, f"p{i % count}") for i in range(1200)
        ]
        return division(split_dl_dataset(grouped(rows))).method

    assert (method(999), method(1000)) == ("out_of_fold", "held_out")


def test_where_every_part_has_a_nok_image_nothing_is_left() -> None:
    rows: list[tuple[AnomalyClass, SplitName | None, str | None]] = [("ok", None, f"p{i}") for i in range(40)]
    rows += [("nok", None, f"p{i}") for i in range(40)]
    message = refusal_of(grouped(rows))
    assert "0 different ok images are left" in message
    assert "40 ok images are in the same group as a nok image" in message


def test_a_given_division_loses_what_its_groups_straddle() -> None:
    rows: list[tuple[AnomalyClass, SplitName | None, str | None]] = [("ok", "train", f"p{i}") for i in range(40)]
    rows += [("ok", "test", "p1"), ("nok", "train", "p2"), ("ok", "test", None)]
    split = split_dl_dataset(grouped(rows))
    assert sizes(split) == (38, 0, 3)
    assert any(
        "2 training images belong to a group of the test images" in w and "0001.png" in w
        for w in division(split).warnings
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
    assert "max_train 40 leaves 0 training images" in message
    assert "the smallest one has 50 images; raise it" in message


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
