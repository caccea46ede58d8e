from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.archive.layout import (
    SUFFIXES,
    ArchivedImage,
    archive_name,
    day_folder,
    day_of,
    mask_name,
    parse_archive_name,
    relabelled_name,
)
from schemas.base import MAX_CAPTURED_AT, MAX_INTEGER
from schemas.identity import result_id_of_frame
from trainer.formats.known import IMAGE_SUFFIXES

NOON_US = 1_772_366_400_000_000
IDS = st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True)


def archived(part_id: str = "p1", *, minutes: float = 0, **others: Any) -> ArchivedImage:
    captured_at = NOON_US + round(minutes * 60e6)
    fields = {"line_id": "line-1", "camera_id": "top", "seq": 7, "label": "ok", "suffix": "png", **others}
    return ArchivedImage(part_id=part_id, captured_at=captured_at, **fields)


def test_a_name_is_as_documented() -> None:
    name = archive_name(archived("part_1-2", label="nok", suffix="jpg"))
    assert str(name) == "line-1/top/2026-03-01/nok/1772366400000000_7_part_1-2.jpg"
    assert str(mask_name(name)) == "line-1/top/2026-03-01/nok/1772366400000000_7_part_1-2.mask.png"


@given(
    st.builds(
        ArchivedImage,
        line_id=IDS,
        camera_id=IDS,
        part_id=IDS,
        seq=st.integers(0, MAX_INTEGER),
        captured_at=st.integers(0, MAX_CAPTURED_AT),
        label=st.sampled_from(["ok", "nok"]),
        suffix=st.sampled_from(["jpg", "png"]),
    )
)
def test_what_is_written_is_read(image: ArchivedImage) -> None:
    name = archive_name(image)
    assert parse_archive_name(name) == image
    assert parse_archive_name(mask_name(name)) is None, "a mask is no image"


@pytest.mark.parametrize(
    "name",
    [
        "line-1/top/2026-03-02/ok/1772366400000000_7_p1.jpg",  # the day before
        "line-1/top/2026-03-01/good/1772366400000000_7_p1.jpg",
        "line-1/top/2026-03-01/ok/01772366400000000_7_p1.jpg",
        "line-1/top/2026-03-01/ok/1772366400000000_7_p1.gif",
        "line-1/top/2026-03-01/ok/1772366400000000_7_p 1.jpg",
        "line-1/top/2026-03-01/ok/1772366400000000_7_.jpg",
        "line-1/top/2026-03-01/ok/1772366400000000_7.jpg",
        "line-1/top/2026-03-01/ok/9999999999999999_7_p1.jpg",
        "top/2026-03-01/ok/1772366400000000_7_p1.jpg",
        "line-1/top/2026-03-01/ok/sub/1772366400000000_7_p1.jpg",
    ],
)
def test_names_that_do_not_fit(name: str) -> None:
    assert parse_archive_name(PurePosixPath(name)) is None


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"line_id": "a/b"}, "line_id is 'a/b'; use 1 to 64"),
        ({"camera_id": ""}, "camera_id is ''"),
        ({"part_id": "p\n"}, "part_id is"),
        ({"seq": -1}, "seq is -1; it lies between 0"),
        ({"minutes": 1e12}, "captured_at is"),
        ({"label": "good"}, "label is 'good'; use ok or nok"),
        ({"suffix": "gif"}, "suffix is 'gif'; use one of bmp, "),
    ],
)
def test_what_no_name_may_hold_is_refused(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        archived(**fields)


def test_every_format_that_the_trainer_reads_may_be_archived_and_no_other() -> None:
    assert {f".{suffix}" for suffix in SUFFIXES} == IMAGE_SUFFIXES


def test_an_image_knows_the_id_of_its_results() -> None:
    assert archived().result_id == result_id_of_frame("line-1", "top", "p1", 7, NOON_US)


def test_a_picture_that_no_model_judged_is_no_image_of_the_archive() -> None:
    name = archive_name(archived(label="nok"), is_inspected=False)
    assert str(name) == "line-1/top/2026-03-01/.uninspected/1772366400000000_7_p1.png"
    assert parse_archive_name(name) is None
    assert relabelled_name(name) is None


def test_a_corrected_label_is_the_other_folder() -> None:
    name = archive_name(archived())
    other = relabelled_name(name)
    assert other == archive_name(archived(label="nok"))
    assert relabelled_name(other) == name


@pytest.mark.parametrize(("field", "largest"), [("seq", MAX_INTEGER), ("captured_at", MAX_CAPTURED_AT)])
def test_numbers_of_a_name_go_from_0_to_the_largest_of_a_frame(field: str, largest: int) -> None:
    numbers: dict[str, Any] = {"seq": 7, "captured_at": NOON_US}
    for value in (0, largest):
        image = ArchivedImage("line-1", "top", "p1", **numbers | {field: value}, label="ok")
        assert parse_archive_name(archive_name(image)) == image
    for value in (-1, largest + 1):
        with pytest.raises(ValueError, match=f"{field} is {value}; it lies between 0 and {largest}"):
            ArchivedImage("line-1", "top", "p1", **numbers | {field: value}, label="ok")


def test_a_day_begins_at_midnight_in_utc() -> None:
    assert (day_of(0), day_of(86_400_000_000 - 1), day_of(86_400_000_000)) == ("1970-01-01", "1970-01-01", "1970-01-02")
    assert str(day_folder("line-1", "top", "1970-01-01")) == "line-1/top/1970-01-01"
