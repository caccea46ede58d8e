from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.pictures import mask, picture
from trainer.dataset.dataset import DLDataset
from trainer.dataset.manifest import read_dl_dataset_manifest
from trainer.errors import DatasetError

Rows = list[dict[str, object]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two ok images, two nok ones, a mask for the first of those."""
    for name in ("a.png", "b, left.png", "sub/c.png", "sub/d.png"):
        picture(tmp_path / "set" / name)
    mask(tmp_path / "set/masks/c.png")
    return tmp_path / "set"


HEAD = "path,image_label,anomaly_file_name,group,split\n"
GOOD = (
    HEAD + 'a.png,ok,,p1,train\n"b, left.png",OK,,p2,train\n./sub/c.png,nok,masks/c.png,p2,test\nsub/d.png,nok,,,test\n'
)


def read(folder: Path, text: str, encoding: str = "utf-8") -> DLDataset:
    path = folder / "set.csv"
    path.write_text(text, encoding=encoding)
    return read_dl_dataset_manifest(path)


def refusal(folder: Path, text: str) -> str:
    with pytest.raises(DatasetError) as caught:
        read(folder, text)
    assert str(folder / "set.csv") in str(caught.value)
    return str(caught.value)


def rows_of(dataset: DLDataset) -> list[tuple[str, str, str | None, str | None, str | None]]:
    return [(s.image_file_name, s.image_label, s.anomaly_file_name, s.group, s.split) for s in dataset.samples]


EXPECTED = [
    ("a.png", "ok", None, "p1", "train"),
    ("b, left.png", "ok", None, "p2", "train"),
    ("sub/c.png", "nok", "masks/c.png", "p2", "test"),
    ("sub/d.png", "nok", None, None, "test"),
]


def test_all_columns_are_read(folder: Path) -> None:
    dataset = read(folder, GOOD)
    assert rows_of(dataset) == EXPECTED
    assert (dataset.layout, dataset.image_dir, dataset.notes) == ("manifest", folder, ())
    masks = [dataset.read_mask(sample) for sample in dataset.samples]
    assert [None if m is None else int(m.sum()) for m in masks] == [0, 0, 8, None]


def test_halcons_column_names_and_the_least_columns_will_do(folder: Path) -> None:
    dataset = read(folder, "image_file_name,anomaly_label\na.png,ok\nsub/c.png,nok\n")
    assert rows_of(dataset) == [("a.png", "ok", None, None, None), ("sub/c.png", "nok", None, None, None)]


def test_both_names_of_a_column_may_stand_where_they_agree(folder: Path) -> None:
    dataset = read(folder, "path,image_label,anomaly_label\na.png,ok,OK\nsub/c.png,,nok\n")
    assert [s.image_label for s in dataset.samples] == ["ok", "nok"]


def test_what_spreadsheets_write_is_read(folder: Path) -> None:
    text = ",path , image_label,operator\n0, a.png , ok ,Kim\n\n1,sub/c.png,NOK,Lee\n".replace("\n", "\r\n")
    dataset = read(folder, text, encoding="utf-8-sig")
    assert [row[:2] for row in rows_of(dataset)] == [("a.png", "ok"), ("sub/c.png", "nok")]
    assert any("operator" in note for note in dataset.notes)


def test_splits_are_read_in_any_case_as_labels_are(folder: Path) -> None:
    dataset = read(folder, "path,image_label,split\na.png,OK,Train\nsub/c.png,Nok, TEST \n")
    assert [s.split for s in dataset.samples] == ["train", "test"]


def test_absolute_paths_and_paths_elsewhere(folder: Path) -> None:
    outside = picture(folder.parent / "elsewhere/e.png")
    text = f"path,image_label\n{folder / 'a.png'},ok\n../elsewhere/e.png,nok\n"
    dataset = read(folder, text)
    assert [s.image_file_name for s in dataset.samples] == ["a.png", str(outside)]
    assert dataset.image_path(dataset.samples[1]).samefile(outside)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (",ok,,,train", "line 3: column path: no path; name the image or delete the row"),
        (
            "b.png,crack,,,train",
            "line 3: column image_label: 'crack' is not a known word for ok or nok; write ok or nok",
        ),
        ("b.png,,,,train", "line 3: column image_label: no label; write ok or nok"),
        ("sub/c.png,nok,,,holdout", "line 3: column split: 'holdout' is not a split; write train, validation or test"),
        ("sub/x.png,nok,,,test", "line 3: column path: {folder}/sub/x.png does not exist; correct the name"),
        ("sub/c.png,nok,masks/x.png,,test", "line 3: column anomaly_file_name: {folder}/masks/x.png does not exist"),
        ("./sub/../a.png,ok,,,train", "line 3: column path: ./sub/../a.png is already named in line 2"),
        ("b, left.png,ok,,,train", "line 3: 6 cells for 5 columns; put cells that hold a comma into double quotes"),
        ("sub/c.png,nok", "line 3: 2 cells for 5 columns"),
        ("sub/c.png,nok,,,", "sub/c.png have no split, but others do; fill in the column or remove it"),
    ],
)
def test_a_bad_row_is_named_with_its_line(folder: Path, row: str, words: str) -> None:
    assert words.format(folder=folder) in refusal(folder, f"{HEAD}a.png,ok,,,train\n{row}\n")


def test_all_bad_rows_are_named_at_once(folder: Path) -> None:
    message = refusal(folder, "path,image_label\na.png,ok\n" + "".join(f"{i}.png,ok\n" for i in range(7)))
    assert "line 3: " in message
    assert "line 7: " in message
    assert "and 2 more rows" in message


def test_lines_are_counted_as_an_editor_does(folder: Path) -> None:
    assert "line 5: column image_label: 'crack' is no" in refusal(
        folder, 'path,image_label,note\na.png,ok,"two\nlines"\n\nsub/c.png,crack,\n'
    )


def test_labels_that_contradict(folder: Path) -> None:
    message = refusal(folder, "path,image_label,anomaly_label\na.png,ok,nok\n")
    assert "line 2: columns image_label = ok and anomaly_label = nok contradict each other; keep one" in message
    message = refusal(folder, "path,image_file_name,image_label\na.png,sub/c.png,ok\n")
    assert "contradict" in message


def test_one_mask_for_two_images(folder: Path) -> None:
    message = refusal(folder, f"{HEAD}a.png,ok,,,\nsub/c.png,nok,masks/c.png,,\nsub/d.png,nok,masks/c.png,,\n")
    assert "line 4: column anomaly_file_name: masks/c.png is already named in line 3" in message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty; write a header"),
        ("path,image_label\n", "has a header but no rows"),
        ("image_label\nok\n", "has no column path or image_file_name, only 'image_label'; add it or rename a column"),
        ("path|image_label\na.png|ok\n", "separate the columns of a CSV file by commas, semicolons or tabs"),
        ("path\na.png\n", "has no column image_label or anomaly_label"),
        ("path,image_label,image_label\na.png,ok,nok\n", "more than one column named image_label; rename"),
        ('path,image_label\n"a.png,ok\n', "cannot be read as CSV"),
    ],
)
def test_tables_that_are_none(folder: Path, text: str, words: str) -> None:
    assert words in refusal(folder, text)


def test_other_encodings_and_files(folder: Path) -> None:
    path = folder / "set.csv"
    path.write_bytes("path,image_label\nb\xe4.png,ok\n".encode("latin-1"))
    with pytest.raises(DatasetError, match="is not UTF-8"):
        read_dl_dataset_manifest(path)
    with pytest.raises(DatasetError, match="is not a file"):
        read_dl_dataset_manifest(folder)
    path.rename(folder / "set.xlsx")
    with pytest.raises(DatasetError, match=r"neither a \.csv nor a \.parquet file"):
        read_dl_dataset_manifest(folder / "set.xlsx")


def test_no_ok_image_to_learn_from(folder: Path) -> None:
    with pytest.raises(DatasetError, match=r"no ok image to train on .* label images ok in"):
        read(folder, "path,image_label,split\na.png,ok,test\nsub/c.png,nok,test\n")


def test_a_mask_that_marks_an_ok_image(folder: Path) -> None:
    with pytest.raises(DatasetError, match=r"marks pixels of a\.png, which is labelled ok"):
        read(folder, f"{HEAD}a.png,ok,masks/c.png,,\n")


# ------------------------------------------------------------------------------------------------------------- as written


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_delimiter_and_encoding_are_recognised(folder: Path, delimiter: str, encoding: str) -> None:
    text = '"Path";"Image Label";"Note"\r\n"a.png";"ok";"ä; ""x"", y"\r\n"b, left.png";"OK";""\r\nsub/c.png;nok;\r\n'
    quoted = text.replace('ä; ""x"", y', "ä").replace(";", delimiter) if delimiter != ";" else text
    dataset = read(folder, quoted, encoding=encoding)
    assert [row[:2] for row in rows_of(dataset)] == [("a.png", "ok"), ("b, left.png", "ok"), ("sub/c.png", "nok")]


def test_excels_line_that_names_the_delimiter_is_taken(folder: Path) -> None:
    dataset = read(folder, "sep=;\npath;image_label\na.png;ok\n")
    assert rows_of(dataset)[0][:2] == ("a.png", "ok")
    assert "line 3: column image_label" in refusal(folder, "sep=;\npath;image_label\na.png;crack\n"), "and is counted"


@pytest.mark.parametrize(
    ("column", "ok", "nok"),
    [
        ("label", "good", "bad"),
        ("Label", "0", "1"),
        ("VERDICT", "Pass", "FAIL"),
        ("urteil", "gut", "n.i.O."),
        ("class", "normal", "anomaly"),
        ("is_ok", "1", "0"),
        ("ok", "yes", "no"),
        ("defect", "False", "True"),
        ("anomaly_label", "合格", "不良"),
    ],
)
def test_usual_words_for_columns_and_labels(folder: Path, column: str, ok: str, nok: str) -> None:
    dataset = read(folder, f"File Name,{column}\na.png,{ok}\nsub/c.png,{nok}\n")
    assert [row[:2] for row in rows_of(dataset)] == [("a.png", "ok"), ("sub/c.png", "nok")]
    assert any("'File Name' as the path" in note for note in dataset.notes)
    assert any("0 as " in note for note in dataset.notes) == (ok in "01"), "what digits mean is told"


def test_usual_words_for_the_other_columns(folder: Path) -> None:
    dataset = read(folder, "image,label,mask,subset\na.png,ok,,Training\nsub/c.png,nok,masks/c.png,testing\n")
    assert rows_of(dataset) == [("a.png", "ok", None, None, "train"), ("sub/c.png", "nok", "masks/c.png", None, "test")]


def test_a_usual_word_beside_the_columns_own_name_is_left_alone(folder: Path) -> None:
    dataset = read(folder, "path,image_label,status\na.png,ok,done\n")
    assert any("not used: status" in note for note in dataset.notes)


def test_two_usual_words_for_one_column(folder: Path) -> None:
    message = refusal(folder, "path,Label,result\na.png,ok,7\n")
    assert (
        "each of the columns 'Label' and 'result' may hold the label; rename the one that does to image_label"
        in message
    )


def test_paths_of_windows(folder: Path) -> None:
    dataset = read(folder, "path,image_label,anomaly_file_name\n.\\a.png,ok,\nsub\\c.png,nok,masks\\c.png\n")
    assert [row[:3] for row in rows_of(dataset)] == [("a.png", "ok", None), ("sub/c.png", "nok", "masks/c.png")]
    for name in ("C:\\data\\a.png", "C:/data/a.png", "\\\\server\\share\\a.png"):
        message = refusal(folder, f"path,image_label\n{name},ok\n")
        assert f"line 2: column path: {name} is a path on another machine; write it relative to" in message
    assert f"column path: {folder}/sub/x.png does not exist" in refusal(folder, "path,image_label\nsub\\x.png,ok\n")


def test_a_name_that_holds_a_backslash_is_one(folder: Path) -> None:
    picture(folder / "a\\b.png")
    assert rows_of(read(folder, "path,image_label\na\\b.png,ok\n"))[0][0] == "a\\b.png"


def test_a_folder_of_masks_is_one_mask(folder: Path) -> None:
    mask(folder / "masks/d/000.png")
    mask(folder / "masks/d/001.png")
    dataset = read(folder, "path,image_label,mask\na.png,ok,\nsub/d.png,nok,masks/d\n")
    found = dataset.read_mask(dataset.samples[1])
    assert found is not None
    assert found.sum() == 8


# ------------------------------------------------------------------------------------------------------------- Parquet


def parquet(folder: Path, columns: dict[str, list[object]]) -> Path:
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet as pq

    pq.write_table(pa.table(columns), folder / "set.parquet")
    return folder / "set.parquet"


def test_parquet_reads_as_csv_does(folder: Path) -> None:
    path = parquet(
        folder,
        {
            "image_file_name": [row[0] for row in EXPECTED],
            "anomaly_label": [row[1] for row in EXPECTED],
            "anomaly_file_name": [row[2] for row in EXPECTED],
            "group": [row[3] for row in EXPECTED],
            "split": [row[4] for row in EXPECTED],
            "weight": [0.5, 1.0, 2.0, 3.0],
        },
    )
    dataset = read_dl_dataset_manifest(path)
    assert rows_of(dataset) == EXPECTED
    assert any("weight" in note for note in dataset.notes)


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        ([17, 17, 4, None], ["17", "17", "4", None]),
        # What pandas makes of whole numbers with gaps.
        ([17.0, 17.0, 4.0, float("nan")], ["17", "17", "4", None]),
        ([0, -3, 10**15, 1], ["0", "-3", "1000000000000000", "1"]),
    ],
)
def test_whole_numbers_are_groups(folder: Path, groups: list[object], expected: list[str | None]) -> None:
    names = [row[0] for row in EXPECTED]
    path = parquet(folder, {"path": [*names], "image_label": ["ok", "ok", "nok", "nok"], "group": groups})
    assert [s.group for s in read_dl_dataset_manifest(path).samples] == expected


def test_a_column_without_any_value_is_empty(folder: Path) -> None:
    """As pandas writes one: numbers, all NaN."""
    empty = [float("nan")] * 2
    columns: dict[str, list[object]] = {"path": ["a.png", "sub/c.png"], "image_label": ["ok", "nok"]}
    path = parquet(folder, columns | {"anomaly_file_name": [*empty], "split": [*empty], "group": [*empty]})
    found = read_dl_dataset_manifest(str(path)).samples
    assert [(s.anomaly_file_name, s.split, s.group) for s in found] == [(None, None, None)] * 2
    path = parquet(folder, columns | {"path": [*empty]})
    with pytest.raises(DatasetError, match="row 1: column path: no path"):
        read_dl_dataset_manifest(path)


@pytest.mark.parametrize("group", [1.5, True, b"p1", float("inf")])
def test_groups_that_are_neither_text_nor_whole_numbers_are_refused(folder: Path, group: object) -> None:
    path = parquet(folder, {"path": ["a.png"], "image_label": ["ok"], "group": [group]})
    with pytest.raises(DatasetError, match=r"row 1: column group: .* is not text; write it as text"):
        read_dl_dataset_manifest(path)


def test_parquet_rows_are_refused_by_number(folder: Path) -> None:
    path = parquet(folder, {"path": ["a.png", "sub/c.png"], "image_label": [0, 7]})
    with pytest.raises(DatasetError, match="row 2: column image_label: '7' is not a known word"):
        read_dl_dataset_manifest(path)


def test_numbers_and_truths_are_labels_in_parquet(folder: Path) -> None:
    for column, values in (
        ("image_label", [0, 1]),
        ("is_ok", [True, False]),
        ("anomaly", [False, True]),
        ("label", [0.0, 1.0]),
    ):
        path = parquet(folder, {"path": ["a.png", "sub/c.png"], column: [*values]})
        assert [s.image_label for s in read_dl_dataset_manifest(path).samples] == ["ok", "nok"]


def test_a_file_that_is_no_parquet(folder: Path) -> None:
    pytest.importorskip("pyarrow")
    (folder / "set.parquet").write_text("path,image_label\n")
    with pytest.raises(DatasetError, match=r"set\.parquet cannot be read as Parquet"):
        read_dl_dataset_manifest(folder / "set.parquet")


def test_without_pyarrow_the_extra_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "set.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(DatasetError, match=r"pip install '\.\[parquet\]'"):
        read_dl_dataset_manifest(folder / "set.parquet")


def test_images_of_any_size_are_taken_where_that_is_asked_for(folder: Path) -> None:
    picture(folder / "b, left.png", size=(40, 90))
    with pytest.raises(DatasetError, match=r"b, left\.png \(40x90\); .* --geometry any"):
        read(folder, GOOD)
    found = read_dl_dataset_manifest(folder / "set.csv", geometry_rule="any")
    assert found.geometry_rule == "any"
    assert (found.samples[1].width, found.samples[1].height) == (40, 90)
