from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.datasets import by_name, read, refusal, refused
from tests.pictures import picture
from trainer.dataset.read import read_dl_dataset_anomaly
from trainer.errors import DatasetError
from trainer.listing.folders import DatasetParam


def pictures(root: Path, *names: str) -> Path:
    for name in names:
        picture(root / name)
    return root


@pytest.mark.parametrize("ok", ["normal", "pass", "gut", "OK_2024", "良品", "i.O."])
def test_common_words_and_dates_beside_them_are_known(tmp_path: Path, ok: str) -> None:
    root = pictures(tmp_path, f"{ok}/a.png", "crack/b.png")
    assert by_name(read(root)) == {f"{ok}/a.png": ("ok", None, None), "crack/b.png": ("nok", None, "crack")}
    root = pictures(tmp_path / "mvtec", f"train/{ok}/a.png", f"test/{ok}/b.png", "test/crack/c.png")
    assert sorted(s.image_label for s in read(root).samples) == ["nok", "ok", "ok"]


@pytest.mark.parametrize("ok", ["0", "A", "Teile Typ 3", "nok"])
def test_a_folder_that_the_user_names_is_ok(tmp_path: Path, ok: str) -> None:
    root = pictures(tmp_path, f"{ok}/a.png", "1/b.png", "good/c.png")
    found = {s.image_file_name: s.image_label for s in read(root, ok_folders=(ok.lower(),)).samples}
    assert found == {f"{ok}/a.png": "ok", "1/b.png": "nok", "good/c.png": "ok"}
    assert read(root / ok, ok_folders=(f"{ok}/",)).samples[0].image_label == "ok", (
        "the folder itself, as a shell completes it"
    )


def test_a_named_folder_inside_an_ok_one_is_no_doubt_any_more(tmp_path: Path) -> None:
    root = pictures(tmp_path, "good/monday/a.png", "good/crack/b.png")
    assert "--ok-folder 'monday'" in refused(root, ok_folders=("crack",))
    assert {s.image_label for s in read(root, ok_folders=("monday", "crack")).samples} == {"ok"}


@pytest.mark.parametrize(
    ("param", "words"),
    [
        ({"ok_folders": ("pas",)}, "--ok-folder 'pas' is not the name of a folder with images; there are"),
        (
            {"ok_folders": ("a/pass",)},
            "ok_folders takes names of folders, not paths such as 'a/pass'; give only the last part",
        ),
        ({"ok_folders": ("",)}, "ok_folders takes names of folders"),
        ({"ok_folders": ("pass",), "label_pattern": "(ok)"}, "ok_folders and label_pattern both say what is ok"),
    ],
)
def test_names_of_folders_that_are_refused(tmp_path: Path, param: dict[str, Any], words: str) -> None:
    assert words in refused(pictures(tmp_path, "pass/a.png"), **param)


@pytest.mark.parametrize("param", [{"ok_folders": ("pass",)}, {"label_pattern": "(ok)"}])
def test_all_ok_leaves_no_room_for_other_rules(tmp_path: Path, param: dict[str, object]) -> None:
    with pytest.raises(DatasetError, match="all_ok treats every image as ok"):
        read_dl_dataset_anomaly(pictures(tmp_path, "pass/a.png"), all_ok=True, param=DatasetParam.model_validate(param))


def test_file_names_that_speak_of_nok_are_never_all_ok(tmp_path: Path) -> None:
    root = pictures(tmp_path / "set", "part1_OK.png", "part2_OK.png", "part3_NOK.png")
    message = refusal(root)
    assert "1 of 3 images that would be taken as ok have names that say nok: part3_NOK.png" in message
    assert "--label-pattern '(OK|NOK)'" in message
    assert "--all-ok" in message
    assert [s.image_label for s in read(root, label_pattern="(OK|NOK)").samples] == ["ok", "ok", "nok"], (
        "the mend mends"
    )
    assert {s.image_label for s in read_dl_dataset_anomaly(root, all_ok=True).samples} == {"ok"}


def test_nor_in_a_folder_that_says_ok_unless_the_user_names_it(tmp_path: Path) -> None:
    root = pictures(tmp_path / "set", "good/1.png", "good/defect_2.png", "crack/3.png")
    message = refusal(root)
    assert "1 of 2 images that would be taken as ok have names that say nok: good/defect_2.png" in message
    assert "--ok-folder 'good'" in message
    assert "--label-pattern" not in message, "not all names have a label"
    assert (
        read(root, ok_folders=("good",)).samples[1].image_label
        != read(root, ok_folders=("good",)).samples[0].image_label
    )
    root = pictures(tmp_path / "mvtec", "train/1.png", "train/NG_2.png")
    assert "have names that say nok: train/NG_2.png" in refusal(root)


def test_names_that_hold_no_word_of_it_do_not_mislead(tmp_path: Path) -> None:
    root = pictures(tmp_path / "set", "token.png", "Nokia_ok.png", "goods_3.png")
    assert {s.image_label for s in read(root).samples} == {"ok"}


@pytest.mark.parametrize("name", ["nok/2024-05-01", "Ausschuss 2024", "ok und nok", "不良品"])
def test_a_lone_folder_whose_name_or_place_speaks_of_nok(tmp_path: Path, name: str) -> None:
    pictures(tmp_path / name, "a.png")
    assert "that its images are nok, which cannot be used for training" in refusal(tmp_path / name)


def test_ok_beside_other_words_in_a_folders_name_is_asked_about(tmp_path: Path) -> None:
    root = pictures(tmp_path / "set", "good/1.png", "Nokia_ok/2.png")
    message = refusal(root)
    assert "Nokia_ok contains a word for ok among others" in message
    assert "pass --ok-folder 'Nokia_ok' if they are, rename the folder if they are not" in message
    assert {s.image_label for s in read(root, ok_folders=("Nokia_ok",)).samples} == {"ok"}


def test_where_no_folder_is_ok_the_options_are_named(tmp_path: Path) -> None:
    message = refusal(pictures(tmp_path / "set", "typ_a/1.png", "typ_b/2.png"))
    assert (
        "none of its folders (typ_a, typ_b) is named ok or good; rename the folder of ok images, name it with "
        "--ok-folder" in message
    )


def test_several_folders_and_a_list_are_labelled_alike(tmp_path: Path) -> None:
    pictures(tmp_path, "0/1.png", "1/2.png")
    found = read([tmp_path / "0", tmp_path / "1"], ok_folders=("0",))
    assert [s.image_label for s in found.samples] == ["ok", "nok"]
    found = read(tmp_path, image_list=("0/1.png", "1/2.png"), ok_folders=("0",))
    assert [s.image_label for s in found.samples] == ["ok", "nok"]
