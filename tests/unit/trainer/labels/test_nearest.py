from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.datasets import by_name, refusal
from tests.pictures import picture
from trainer.dataset.read import read_dl_dataset_anomaly
from trainer.labels.nearest import label_by_folders


def test_flat_folder_is_all_ok_and_says_so(tmp_path: Path) -> None:
    for i in range(3):
        picture(tmp_path / "images" / f"{i}.jpeg", channels=1)
    dataset = read_dl_dataset_anomaly(tmp_path / "images")
    assert {s.image_label for s in dataset.samples} == {"ok"}
    assert {(s.width, s.height, s.channels) for s in dataset.samples} == {(12, 8, 1)}
    assert dataset.layout == "all_ok"
    assert "all 3 images" in dataset.notes[0]


def test_folders_are_labelled_by_name_in_any_case(tmp_path: Path) -> None:
    for name in ("OK/a.png", "Good/b.png", "scratch/a.png"):
        picture(tmp_path / name)
    dataset = read_dl_dataset_anomaly(tmp_path)
    assert by_name(dataset) == {
        "Good/b.png": ("ok", None, None),
        "OK/a.png": ("ok", None, None),
        "scratch/a.png": ("nok", None, "scratch"),
    }


def test_dates_and_numbers_inside_an_ok_folder_are_ok_and_noted(tmp_path: Path) -> None:
    picture(tmp_path / "good/2024-05-01/a.png")
    picture(tmp_path / "good/2024-05-02/17/a.png")
    picture(tmp_path / "crack/2024-05-01/a.png")
    dataset = read_dl_dataset_anomaly(tmp_path)
    assert by_name(dataset) == {
        "crack/2024-05-01/a.png": ("nok", None, "crack"),
        "good/2024-05-01/a.png": ("ok", None, None),
        "good/2024-05-02/17/a.png": ("ok", None, None),
    }
    assert any("1 image in good/2024-05-02/17/ is taken as ok" in note for note in dataset.notes)
    assert {s.image_label for s in read_dl_dataset_anomaly(tmp_path / "good").samples} == {"ok"}


def test_the_nearest_folder_that_says_it_decides(tmp_path: Path) -> None:
    for name in ("monday/good/a.png", "line1/GOOD/01/a.png", "ok/nok/a.png", "good/NG/01/a.png", "monday/crack/a.png"):
        picture(tmp_path / name)
    assert by_name(read_dl_dataset_anomaly(tmp_path)) == {
        "good/NG/01/a.png": ("nok", None, "NG"),
        "line1/GOOD/01/a.png": ("ok", None, None),
        "monday/crack/a.png": ("nok", None, "monday"),
        "monday/good/a.png": ("ok", None, None),
        "ok/nok/a.png": ("nok", None, "nok"),
    }


@pytest.mark.parametrize(
    ("inside", "mend"),
    [
        (
            "good/crack",
            "rename good/crack to crack/good if its images are ok (or pass --ok-folder 'crack'), or move it",
        ),
        ("ok/rework/2024", "rename ok/rework/2024 to rework/2024/ok if"),
        ("line1/good/monday", "rename line1/good/monday to line1/monday/good if"),
        ("good/nok/monday", "rename good/nok/monday to nok/monday/good if"),
    ],
)
def test_a_folder_inside_an_ok_folder_that_may_name_a_defect_is_refused(tmp_path: Path, inside: str, mend: str) -> None:
    picture(tmp_path / "good/a.png")
    picture(tmp_path / inside / "a.png")
    message = refusal(tmp_path)
    ok = next(name for name in reversed(Path(inside).parts) if name in ("good", "ok"))
    assert f"{tmp_path / inside} is inside the ok folder {ok}, but it is not clear" in message
    assert mend in message
    assert "--all-ok" in message
    assert {s.image_label for s in read_dl_dataset_anomaly(tmp_path, all_ok=True).samples} == {"ok"}
    picture(tmp_path / "mvtec/train/good/a.png")
    picture(tmp_path / "mvtec/train" / inside / "a.png")
    assert "it is not clear" in refusal(tmp_path / "mvtec"), "nor in the other layout"


def test_all_folders_in_doubt_are_named_at_once(tmp_path: Path) -> None:
    for day in ("monday", "tuesday", "wednesday"):
        picture(tmp_path / "good" / day / "a.png")
    message = refusal(tmp_path)
    assert f"the same goes for {tmp_path / 'good/tuesday'}, {tmp_path / 'good/wednesday'}" in message


def test_an_ok_folder_that_is_given_itself_is_asked_the_same(tmp_path: Path) -> None:
    picture(tmp_path / "good/a.png")
    picture(tmp_path / "good/crack/a.png")
    picture(tmp_path / "nok/a.png")
    message = refusal(tmp_path / "good")
    assert "is inside the ok folder good" in message
    assert "rename good/crack to crack/good" in message
    assert "is inside the ok folder good" in refusal([tmp_path / "good", tmp_path / "nok"])


@pytest.mark.parametrize("inside", ["nok/ok", "Not_OK/monday/good", "rejected/good/01"])
def test_an_ok_folder_inside_one_that_says_nok_is_refused(tmp_path: Path, inside: str) -> None:
    picture(tmp_path / "good/a.png")
    picture(tmp_path / inside / "a.png")
    message = refusal(tmp_path)
    assert f"{tmp_path / inside} is inside a folder named as nok" in message
    assert "--all-ok" in message


@pytest.mark.parametrize("name", ["nok", "NG", "defect", "bad"])
def test_a_lone_folder_that_says_nok_is_not_learnt_from(tmp_path: Path, name: str) -> None:
    picture(tmp_path / name / "a.png")
    message = refusal(tmp_path / name)
    assert f"{tmp_path / name} says by its name that its images are nok" in message
    assert "--all-ok" in message
    assert {s.image_label for s in read_dl_dataset_anomaly(tmp_path / name, all_ok=True).samples} == {"ok"}


FOLDERS = st.lists(st.sampled_from(["ok", "Good", "nok", "crack", "monday", "2024-05-01", "17"]), max_size=4)


@given(FOLDERS)
def test_what_may_be_a_defect_is_never_ok_and_where_halcon_is_clear_it_is_followed(folders: list[str]) -> None:
    label = label_by_folders(tuple(folders))
    named = [folder.lower() for folder in folders if any(map(str.isalpha, folder))]
    last = named[-1] if named else ""
    if label == "ok":
        assert last in ("ok", "good")
        assert "nok" not in named
    elif label == "nok":
        assert last not in ("ok", "good")
    else:
        assert {"ok", "good"} & set(named), "without such a name there is no doubt"
    if not {"ok", "good"} & set(named[:-1]) and "nok" not in named[:-1]:
        assert label == ("ok" if last in ("ok", "good") else "nok"), "HALCON's rule"


def test_all_ok_labels_folders_whatever_their_name(tmp_path: Path) -> None:
    picture(tmp_path / "monday/a.png")
    picture(tmp_path / "tuesday/a.png")
    dataset = read_dl_dataset_anomaly(tmp_path, all_ok=True)
    assert [(s.image_label, s.split) for s in dataset.samples] == [("ok", None)] * 2
