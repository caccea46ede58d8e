"""Everything below a folder is taken or left out for a reason; what cannot be read is named."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.folders import lock
from tests.pictures import mask, picture
from trainer.dataset.archive import list_archive
from trainer.dataset.read import read_dl_dataset_anomaly
from trainer.errors import DatasetError
from trainer.listing.folders import DatasetParam, list_folders
from trainer.listing.search import is_folder, search_folder


@pytest.fixture
def messy(tmp_path: Path) -> Path:
    """Two ok pictures, two nok ones, and nine entries of every other kind."""
    root = tmp_path / "messy"
    for name in ("good/0.png", "good/1.JPG", "crack/0.png", "crack/1.png"):
        picture(root / name)
    picture(root / ".thumbs/0.png")
    picture(root / "good/.hidden.png")
    mask(root / "Ground_Truth/crack/0.png")
    (root / "notes.txt").write_text("mine")
    (root / "good/2.gif").write_bytes(b"GIF89a")
    (root / "good/README").write_text("a name without a suffix")
    os.mkfifo(root / "good/3.png")
    (root / "good/again").symlink_to(root, target_is_directory=True)
    (root / "lost.txt").symlink_to("nowhere")
    return root


def count(root: Path) -> int:
    """Files, and links to folders, which are not entered."""
    entries = [path for path in root.rglob("*") if path.is_symlink() or not path.is_dir()]
    return len(entries)


def test_every_file_is_accounted_for(messy: Path) -> None:
    found = search_folder(messy)
    assert [str(name) for name in found.taken] == ["crack/0.png", "crack/1.png", "good/0.png", "good/1.JPG"]
    assert {str(name): reason for name, reason in found.left_out.items()} == {
        ".thumbs/0.png": "hidden",
        "Ground_Truth/crack/0.png": "in the folder of masks",
        "good/.hidden.png": "hidden",
        "good/2.gif": "of a format that is not read",
        "good/3.png": "no regular file",
        "good/README": "not a picture by its name",
        "good/again": "a link to a folder that was read already",
        "lost.txt": "not a picture by its name",
        "notes.txt": "not a picture by its name",
    }
    assert len(found.taken) + len(found.left_out) == count(messy)


def test_the_data_set_says_the_same_and_the_sums_agree(messy: Path) -> None:
    tally = read_dl_dataset_anomaly(messy).tally
    assert tally is not None
    assert (tally.seen, tally.taken, len(tally.left_out)) == (count(messy), 4, 9)
    assert tally.pictures_left_out == 1
    assert tally.sentence.startswith("13 files seen, 4 taken, 9 left out: 3 not a picture by its name (good/README, ")


def test_what_layout_and_parameters_leave_out_is_accounted_for(tmp_path: Path) -> None:
    for name in ("train/good/0.png", "test/good/1.png", "test/crack/2.png", "test/crack/3.png", "other/4.png"):
        picture(tmp_path / name)
    mask(tmp_path / "ground_truth/crack/2.png")
    listing = list_folders([tmp_path], None, DatasetParam(ignore_unmatched_images=True), all_ok=False)
    assert listing.tally is not None
    assert {one.name: one.reason for one in listing.tally.left_out} == {
        "ground_truth/crack/2.png": "in the folder of masks",
        "other/4.png": "outside train/, validation/ and test/",
        "test/crack/3.png": "nok without a mask",
    }
    assert listing.tally.seen == count(tmp_path)
    listing = list_folders([tmp_path], None, DatasetParam(image_sub_dirs=("train", "test/good")), all_ok=False)
    assert listing.tally is not None
    assert (listing.tally.taken, listing.tally.seen) == (2, count(tmp_path))


def test_an_archive_accounts_for_its_files_too(tmp_path: Path) -> None:
    camera = tmp_path / "line/top/1970-01-01/ok"
    for name in ("1_1_a.png", "2_2_b.png", "stranger.png", ".new.png"):
        picture(camera / name)
    listing = list_archive(tmp_path, "line", "top")
    assert listing.tally is not None
    assert (listing.tally.taken, listing.tally.seen) == (2, 4)
    assert set(listing.tally.by_reason) == {"not named as in the archive", "hidden"}


@pytest.fixture
def locked(monkeypatch: pytest.MonkeyPatch) -> str:
    """Folders of this name cannot be read, whoever runs the tests."""
    lock(monkeypatch, lambda folder: folder.name == "locked")
    return "locked"


@pytest.mark.parametrize("place", ["locked", "good/locked", "../second/locked"])
def test_a_folder_that_cannot_be_read_is_named(messy: Path, locked: str, place: str) -> None:
    picture(messy / "good/0.png")
    (messy / place).mkdir(parents=True)
    folders = [messy, messy / "../second/locked"] if place.startswith("..") else [messy]
    with pytest.raises(DatasetError, match=r"locked cannot be read \(Permission denied\); grant yourself the right"):
        list_folders(folders, None, DatasetParam(), all_ok=True)


def test_a_hidden_folder_need_not_be_readable(messy: Path, locked: str) -> None:
    (messy / ".git/locked").mkdir(parents=True)
    found = search_folder(messy)
    assert {str(name) for name in found.left_out if "locked" in name.parts} == {".git/locked"}


def test_a_link_that_may_have_led_to_a_folder_is_refused(messy: Path) -> None:
    (messy / "nok").symlink_to("/mnt/share/that/is/not/there")
    with pytest.raises(DatasetError, match="nok is a broken link, perhaps to a folder of images"):
        search_folder(messy)
    (messy / "nok").unlink()
    (messy / "nok").symlink_to("nok")
    with pytest.raises(DatasetError, match="nok is a broken link"):
        search_folder(messy)


def test_a_link_in_a_hidden_folder_hides_nothing(messy: Path) -> None:
    before = search_folder(messy).taken
    (messy / ".snapshot").mkdir()
    (messy / ".snapshot/current").symlink_to("../good")
    assert search_folder(messy).taken == before


def test_a_link_to_a_picture_that_is_gone_is_taken_and_found_unreadable(messy: Path) -> None:
    (messy / "good/gone.png").symlink_to("nowhere.png")
    assert any(name.name == "gone.png" for name in search_folder(messy).taken)
    with pytest.raises(DatasetError, match=r"gone\.png cannot be read"):
        read_dl_dataset_anomaly(messy)


def test_a_named_folder_without_pictures_is_refused_though_another_has_some(messy: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match=r"no image below .*empty; .*give the folder that holds them"):
        list_folders([messy, tmp_path / "empty"], None, DatasetParam(), all_ok=True)


def test_what_cannot_even_be_looked_at_is_named(tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to("loop")
    with pytest.raises(DatasetError, match="loop cannot be read"):
        is_folder(loop)
    assert not is_folder(tmp_path / "none")
    assert is_folder(tmp_path)
