from __future__ import annotations

import csv
from pathlib import Path

import pytest

from inspector.anomaly.types import RegionComponent
from trainer.apply import verdict as module
from trainer.apply.verdict import CSV_COLUMNS, ImageVerdict, check_csv, write_csv
from trainer.errors import OutputError
from trainer.listing.tally import LeftOut


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def test_a_table_has_a_row_for_each_file(tmp_path: Path) -> None:
    box = RegionComponent(x=1, y=2, width=3, height=4, area=5, max_score=0.9)
    scored = ImageVerdict(Path("a,b.png"), 0.75, 0.5, "nok", (box,), 1, Path("out/a,b.png"))
    failed = ImageVerdict(Path("c\nd.png"), error='is "broken"', reason="unreadable")
    write_csv(tmp_path / "t.csv", [scored, failed], [LeftOut("e.txt", "hidden")])
    rows = read(tmp_path / "t.csv")
    assert tuple(rows[0]) == CSV_COLUMNS
    assert list(rows[0].values()) == ["a,b.png", "0.75", "0.5", "nok", "1", "1", "2", "3", "4", "out/a,b.png", "", ""]
    assert (rows[1]["image"], rows[1]["reason"], rows[1]["error"]) == ("c\nd.png", "unreadable", 'is "broken"')
    assert (rows[2]["image"], rows[2]["reason"], rows[2]["anomaly_class"]) == ("e.txt", "hidden", "")
    assert len(rows) == 3


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\uff1d"])
def test_no_cell_is_taken_for_a_formula(tmp_path: Path, start: str) -> None:
    name = f"{start}cmd|' /C calc'!A0.png"
    write_csv(tmp_path / "t.csv", [ImageVerdict(Path(name), 0.1, 0.5, "ok")], [LeftOut(name, "hidden")])
    assert [row["image"] for row in read(tmp_path / "t.csv")] == [f"'{name}"] * 2


def test_a_name_that_is_no_utf_8_is_escaped(tmp_path: Path) -> None:
    write_csv(tmp_path / "t.csv", [ImageVerdict(Path("\udcff.png"), 0.1, 0.5, "ok")], [])
    assert read(tmp_path / "t.csv")[0]["image"] == "\\udcff.png"


def test_a_table_is_written_as_a_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, content: bytes) -> None:
        raise OSError(28, "No space left on device")

    (tmp_path / "t.csv").write_text("old")
    monkeypatch.setattr(module, "write_file", full)
    with pytest.raises(OutputError, match="cannot be written: No space left on device; give another file to --csv"):
        write_csv(tmp_path / "t.csv", [], [])
    assert (tmp_path / "t.csv").read_text() == "old"


def test_places_that_will_not_do_are_refused_beforehand(tmp_path: Path) -> None:
    image = tmp_path / "a.png"
    image.write_bytes(b"")
    (tmp_path / "link.csv").symlink_to(image)
    for target, message in (
        (tmp_path, "is not a regular file"),
        (Path("/dev/null"), "is not a regular file"),
        (tmp_path / "none/t.csv", "does not exist; create it"),
        (tmp_path / "link.csv", "would overwrite an image"),
    ):
        with pytest.raises(OutputError, match=message):
            check_csv(target, [image])
    check_csv(tmp_path / "t.csv", [image])
