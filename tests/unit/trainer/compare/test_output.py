from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
from pycocotools import mask as coco
from rich.console import Console
from typing_extensions import override

from schemas import ComponentMessage, RegionMessage
from tests.frames import camera_frame, png
from tests.messages import message
from tests.unit.trainer.compare.test_pairing import paired
from trainer.archives.place import FolderArchive
from trainer.compare.output import print_comparison, write_comparison
from trainer.compare.pictures import (
    SHADOW_COLOUR,
    ShownPair,
    archived_file,
    bring_archived,
    draw_archived,
    draw_frame,
)
from trainer.compare.result import CompareResult, Opinion, Pair
from trainer.errors import OutputError
from trainer.progress import StageProgress


def result() -> CompareResult:
    return paired([(0.1, 0.2)] * 7 + [(0.1, 0.9), (0.9, 0.1), (0.2, None)]).result()


def test_the_tables_say_how_many_differ_with_the_interval(capsys: pytest.CaptureFixture[str]) -> None:
    print_comparison(result(), Console(width=200))
    said = capsys.readouterr().out
    assert "10 frames of L1/C1, also seen by tried 1 (bbbbbbbbbbbb)" in said
    assert (
        "the verdicts differ on 3 of 10 frames (30 %; 95 % interval 6.7 % to 65.2 %)".replace(" %", "\u00a0%") in said
    )
    assert "it could not score 1 frame: device" in said
    assert "device" in said
    assert "0.200 -> 1.800" in said


def test_the_page_shows_the_frames_that_differ_and_says_where_a_picture_is_gone(tmp_path: Path) -> None:
    found = result()
    shown = [ShownPair(found.differences[0], None), ShownPair(found.differences[1], np.zeros((8, 8, 3), np.uint8))]
    write_comparison(found, shown, tmp_path / "out")
    page = (tmp_path / "out/compare.html").read_text()
    assert page.count('src="data:image/jpeg;base64,') == 1
    assert "its picture is not there any more" in page
    assert "The 2 that differ most, of 3" in page
    assert "<script" not in page
    assert ".gallery" in page, "the same style as the training report"
    rows = list(csv.DictReader((tmp_path / "out/compare.csv").read_text().splitlines()))
    assert [row["change"] for row in rows].count("rejects") == 2
    assert json.loads((tmp_path / "out/compare.json").read_text())["differing"]["count"] == 3


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="give another folder to --out"):
        write_comparison(result(), [], tmp_path / "file")


def pair(region: RegionMessage | None = None) -> Pair:
    frame = camera_frame("a", 3, 1_700_000_000_000_000)
    judged = message()
    assert judged.model is not None
    return Pair(
        "id", frame.part_id, frame.seq, frame.captured_at, judged.source,
        Opinion(judged.model, "ok", 0.1, 0.5), Opinion(judged.model, "nok", 0.9, 0.5, region),
    )  # fmt: skip


def test_a_picture_comes_from_the_frame_with_what_the_model_on_trial_marks() -> None:
    mask = np.zeros((64, 64), np.uint8, order="F")
    mask[20:40, 10:30] = 1
    counts = coco.encode(mask)["counts"]
    part = ComponentMessage(x=10, y=20, width=20, height=20, area=400, max_score=0.9)
    region = RegionMessage(width=64, height=64, counts=counts, area=400, num_components=1, components=(part,))
    shown = draw_frame(camera_frame("a", 3, 1_700_000_000_000_000, image=png(200)), pair(region))
    assert shown.picture is not None
    assert shown.picture.shape == (64, 64, 3)
    assert (np.abs(shown.picture.astype(int) - np.array(SHADOW_COLOUR)).sum(axis=2) < 40).any()
    plain = draw_frame(camera_frame("a", 3, 1_700_000_000_000_000, image=png(200)), pair())
    assert plain.picture is not None
    assert (plain.picture == 200).all()


def test_a_frame_that_is_another_or_is_no_picture_is_not_shown() -> None:
    assert draw_frame(None, pair()).picture is None
    assert draw_frame(camera_frame("a", 4, 1_700_000_000_000_000), pair()).picture is None
    assert draw_frame(camera_frame("a", 3, 1_700_000_000_000_000, image=b"no picture"), pair()).picture is None


def test_a_picture_comes_from_the_archive_whatever_its_label_is_by_now(tmp_path: Path) -> None:
    folder = tmp_path / "line/a/2023-11-14/nok"
    folder.mkdir(parents=True)
    assert draw_archived(tmp_path, "line/a", pair()).picture is None
    file = folder / "1700000000000000_3_part-3.png"
    file.with_name("1700000000000000_3_part-3.mask.png").write_bytes(png())
    file.write_bytes(png(100))
    assert archived_file(tmp_path, "line/a", pair()) == file
    shown = draw_archived(tmp_path, "line/a", pair())
    assert shown.picture is not None
    assert (shown.picture == 100).all()
    file.write_bytes(b"spoilt")
    assert draw_archived(tmp_path, "line/a", pair()).picture is None


class AskedFor(FolderArchive):
    """Notes which files are to be brought."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.names: list[PurePosixPath] = []

    @override
    def bring(self, names: Iterable[PurePosixPath], progress: StageProgress | None = None) -> None:
        self.names += names


def test_of_an_archive_only_the_pictures_of_the_frames_shown_are_brought(tmp_path: Path) -> None:
    folder = tmp_path / "line/a/2023-11-14"
    for name in ("nok/1700000000000000_3_part-3.png", "ok/1700000000000001_4_part-4.png", "nok/strange.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    archive = AskedFor(tmp_path)
    bring_archived(archive, "line/a", [pair()])
    assert archive.names == [PurePosixPath("line/a/2023-11-14/nok/1700000000000000_3_part-3.png")]
    bring_archived(archive, "line/b", [pair()])
    bring_archived(archive, "line/a", [])
    assert len(archive.names) == 1, "no such camera, and no frames"
