from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from schemas.archive.layout import ArchivedImage, archive_name, mask_name
from tests.pictures import mask, picture
from trainer.dataset.archive import read_dl_dataset_archive
from trainer.errors import DatasetError

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
NOON_US = 1_772_366_400_000_000


def archived(part_id: str = "p1", *, minutes: float = 0, **others: Any) -> ArchivedImage:
    captured_at = NOON_US + round(minutes * 60e6)
    fields = {"line_id": "line-1", "camera_id": "top", "seq": 7, "label": "ok", "suffix": "png", **others}
    return ArchivedImage(part_id=part_id, captured_at=captured_at, **fields)


def store(root: Path, image: ArchivedImage) -> Path:
    return picture(root / archive_name(image))


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Three ok images and a nok one of one camera, around midnight, and one of another camera."""
    root = tmp_path / "archive"
    for image in (archived("p1"), archived("p1", seq=8, minutes=1), archived("p2", minutes=13 * 60)):
        store(root, image)
    nok = archived("p3", minutes=2, label="nok")
    store(root, nok)
    mask(root / mask_name(archive_name(nok)))
    store(root, archived("p9", camera_id="side"))
    return root


def test_one_camera_is_read_with_labels_parts_times_and_masks(archive: Path) -> None:
    dataset = read_dl_dataset_archive(archive, "line-1", "top")
    assert dataset.layout == "archive"
    assert dataset.image_dir == archive / "line-1/top"
    assert [(s.image_file_name, s.image_label, s.group) for s in dataset.samples] == [
        ("2026-03-01/ok/1772366400000000_7_p1.png", "ok", "p1"),
        ("2026-03-01/ok/1772366460000000_8_p1.png", "ok", "p1"),
        ("2026-03-01/nok/1772366520000000_7_p3.png", "nok", "p3"),
        ("2026-03-02/ok/1772413200000000_7_p2.png", "ok", "p2"),
    ]
    assert [s.captured_at for s in dataset.samples][:2] == [NOON_US, NOON_US + 60_000_000]
    assert [s.split for s in dataset.samples] == [None] * 4
    marked = dataset.read_mask(dataset.samples[2])
    assert marked is not None
    assert int(marked.sum()) == 8
    assert dataset.notes == ()


def test_a_time_window_includes_its_start_and_not_its_end(archive: Path) -> None:
    here = timezone(timedelta(hours=9))
    dataset = read_dl_dataset_archive(
        archive,
        "line-1",
        "top",
        captured_from=(NOON + timedelta(minutes=1)).astimezone(here),
        captured_to=NOON + timedelta(minutes=2),
    )
    assert [s.captured_at for s in dataset.samples] == [NOON_US + 60_000_000]


def test_what_does_not_fit_is_noted(archive: Path) -> None:
    picture(archive / "line-1/top/2026-03-01/ok/holiday.png")
    picture(archive / "line-1/top/overview.png")
    mask(archive / "line-1/top/2026-03-01/ok/5_5_lost.mask.png")
    picture(archive / "line-1/top/2026-03-01/ok/.1772366400000000_9_p1.png")
    picture(archive / "line-1/top/.trash/2026-03-01/ok/1772366400000000_9_p1.png")
    dataset = read_dl_dataset_archive(archive, "line-1", "top")
    assert len(dataset.samples) == 4
    assert "2 files are not named as in the archive" in dataset.notes[0]
    assert "holiday.png" in dataset.notes[0]
    assert "1 masks have no image" in dataset.notes[1]


def refusal(root: Path, line_id: str = "line-1", camera_id: str = "top", **window: Any) -> str:
    with pytest.raises(DatasetError) as caught:
        read_dl_dataset_archive(root, line_id, camera_id, **window)
    return str(caught.value)


def test_a_camera_that_is_not_there(archive: Path) -> None:
    message = refusal(archive, camera_id="bottom")
    assert "bottom does not exist; there are line-1/side, line-1/top" in message
    assert "give the root of the archive" in refusal(archive / "nowhere")
    assert "line_id is '../x'; it must have 1 to 64" in refusal(archive, line_id="../x")


def test_nothing_fits(tmp_path: Path) -> None:
    picture(tmp_path / "line-1/top/good/a.png")
    message = refusal(tmp_path)
    assert "no file below" in message
    assert "unlike line-1/top/good/a.png" in message
    assert "read the folder with --images" in message


def test_windows_that_hold_nothing(archive: Path) -> None:
    message = refusal(archive, captured_from=NOON + timedelta(days=7))
    assert "none of the 4 images" in message
    assert "from 2026-03-01T12:00:00+00:00 to 2026-03-02T01:00:00+00:00" in message
    assert "swap them" in refusal(archive, captured_from=NOON, captured_to=NOON)
    assert "captured_to 2026-03-01 12:00:00 has no time zone" in refusal(archive, captured_to=NOON.replace(tzinfo=None))


def test_no_ok_image_in_the_window(archive: Path) -> None:
    message = refusal(archive, captured_from=NOON + timedelta(minutes=2), captured_to=NOON + timedelta(minutes=3))
    assert "no ok image to train on" in message
    assert "widen the time window, or label images ok" in message


def test_images_of_any_size_are_taken_where_that_is_asked_for(archive: Path) -> None:
    store(archive, archived("p5", minutes=3))
    picture(archive / archive_name(archived("p5", minutes=3)), size=(40, 90))
    with pytest.raises(DatasetError, match=r"_p5\.png \(40x90\); .* --geometry any"):
        read_dl_dataset_archive(archive, "line-1", "top")
    found = read_dl_dataset_archive(archive, "line-1", "top", geometry_rule="any")
    assert found.geometry_rule == "any"
    assert (40, 90) in {(s.width, s.height) for s in found.samples}
