from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.datasets import by_name, masks_of, read, refusal, refused
from tests.pictures import mask, picture
from trainer.dataset.read import read_dl_dataset_anomaly
from trainer.errors import DatasetError
from trainer.listing.folders import DatasetParam


def test_several_folders_are_labelled_by_their_own_names(tmp_path: Path) -> None:
    for name in ("good/a.png", "good/b.png", "crack/a.png"):
        picture(tmp_path / "parts" / name)
    picture(tmp_path / "elsewhere/OK/c.png")
    dataset = read_dl_dataset_anomaly(
        [tmp_path / "parts/good", tmp_path / "parts/crack", tmp_path / "elsewhere/OK"],
    )
    assert dataset.image_dir == tmp_path
    assert by_name(dataset) == {
        "parts/good/a.png": ("ok", None, None),
        "parts/good/b.png": ("ok", None, None),
        "parts/crack/a.png": ("nok", None, "crack"),
        "elsewhere/OK/c.png": ("ok", None, None),
    }
    assert all(dataset.image_path(sample).is_file() for sample in dataset.samples)


def test_several_folders_that_hold_labelled_folders(tmp_path: Path) -> None:
    for name in ("monday/good/a.png", "tuesday/good/a.png", "tuesday/dent/a.png"):
        picture(tmp_path / name)
    mask(tmp_path / "tuesday/ground_truth/dent/a_mask.png")
    dataset = read_dl_dataset_anomaly([tmp_path / "monday", tmp_path / "tuesday"])
    assert by_name(dataset)["tuesday/dent/a.png"] == ("nok", None, "dent")
    (nok,) = [s for s in dataset.samples if s.image_label == "nok"]
    assert dataset.mask_path(nok) == tmp_path / "tuesday/ground_truth/dent/a_mask.png"


def test_train_and_test_given_as_two_folders_keep_their_meaning(mvtec: Path) -> None:
    both = read_dl_dataset_anomaly([mvtec / "train", mvtec / "test"])
    assert both.layout == "mvtec"
    assert by_name(both) == by_name(read_dl_dataset_anomaly(mvtec))
    assert {s.anomaly_file_name for s in both.samples} == {None, "ground_truth/crack/000_mask.png"}


def test_folders_that_cannot_be_one_set(mvtec: Path, tmp_path: Path) -> None:
    picture(tmp_path / "other/good/a.png")
    assert "read them separately" in refusal([mvtec, tmp_path / "other"])
    assert "would count twice" in refusal([mvtec, mvtec / "train"])
    assert "would count twice" in refusal([mvtec, mvtec])
    assert "no folder of images was given" in refusal([])
    picture(tmp_path / "monday/a.png")
    picture(tmp_path / "tuesday/a.png")
    assert "named ok or good" in refusal([tmp_path / "monday", tmp_path / "tuesday"])


def test_lists_name_images_and_their_masks(mvtec: Path, tmp_path: Path) -> None:
    mask(tmp_path / "labels/any name.png")
    dataset = read(
        mvtec,
        tmp_path / "labels",
        image_list=("train/good/000.png", "test/dent/000.png", "test/crack/000.png"),
        anomaly_list=(None, "any name.png", None),
    )
    assert by_name(dataset) == {
        "train/good/000.png": ("ok", "train", None),
        "test/dent/000.png": ("nok", "test", "dent"),
        "test/crack/000.png": ("nok", "test", "crack"),
    }
    assert masks_of(dataset) == {"test/dent/000.png": "any name.png", "test/crack/000.png": None}


def test_a_list_of_images_alone_still_matches_masks_by_name(mvtec: Path) -> None:
    dataset = read(mvtec, image_list=("train/good/000.png", "test/crack/000.png"))
    assert masks_of(dataset) == {"test/crack/000.png": "crack/000_mask.png"}


def test_sub_folders_restrict_images_and_masks(tmp_path: Path) -> None:
    for name in ("good/a.png", "crack/a.png", "to do/a.png", "stray.png"):
        picture(tmp_path / "parts" / name)
    mask(tmp_path / "masks/first/a.png")
    mask(tmp_path / "masks/second/a.png")
    dataset = read(
        tmp_path / "parts",
        tmp_path / "masks",
        image_sub_dirs=("good", "crack"),
        anomaly_sub_dirs=("second",),
    )
    assert set(by_name(dataset)) == {"good/a.png", "crack/a.png"}
    assert masks_of(dataset) == {"crack/a.png": "second/a.png"}


def test_groups_come_from_a_pattern_on_the_name(tmp_path: Path) -> None:
    for name in ("good/kos01_Part1.png", "good/kos01_Part2.png", "good/kos02_Part1.png", "crack/kos02_Part5.png"):
        picture(tmp_path / name)
    dataset = read(tmp_path, group_pattern=r"(kos\d+)_Part")
    assert {s.image_file_name: s.group for s in dataset.samples} == {
        "good/kos01_Part1.png": "kos01",
        "good/kos01_Part2.png": "kos01",
        "good/kos02_Part1.png": "kos02",
        "crack/kos02_Part5.png": "kos02",
    }
    assert {s.group for s in read(tmp_path).samples} == {None}


def test_a_pattern_sees_folders(tmp_path: Path) -> None:
    for name in ("good/0017/left.png", "part 2/good/left.png"):
        picture(tmp_path / name)
    assert [s.group for s in read(tmp_path, group_pattern="(0017|part 2)/").samples] == ["0017", "part 2"]


@pytest.mark.parametrize(
    ("param", "words"),
    [
        ({"image_lists": ("a",)}, "unknown parameter image_lists; DatasetParam knows image_list,"),
        ({"ignore_unmatched_images": "perhaps"}, "ignore_unmatched_images: .*got 'perhaps'"),
        ({"image_list": ("a.png", "b.png"), "anomaly_list": (None,)}, "image_list has 2 names, but anomaly_list has 1"),
        ({"anomaly_list": (None,)}, "give both or neither"),
        ({"image_list": ()}, "image_list is empty"),
        ({"image_list": ("a.png",), "image_sub_dirs": ("good",)}, "leave one of them out"),
        ({"image_list": ("a.png", "./a.png")}, "image_list contains a.png more than once"),
        (
            {"image_list": ("a.png", "b.png"), "anomaly_list": ("m.png", "m.png")},
            "anomaly_list contains m.png more than",
        ),
        ({"image_list": ("../a.png",)}, "stay inside it, unlike '../a.png'"),
        ({"group_pattern": "("}, "is not a regular expression"),
        ({"group_pattern": "part"}, "captures nothing"),
    ],
)
def test_parameters_that_cannot_be_meant(param: dict[str, Any], words: str) -> None:
    with pytest.raises(DatasetError, match=words):
        DatasetParam(**param)


def test_listed_files_that_are_missing(mvtec: Path, tmp_path: Path) -> None:
    images = ("train/good/000.png", "test/crack/000.png")
    assert "train/good/9.png of image_list does not exist" in refused(mvtec, image_list=("train/good/9.png", *images))
    assert "anomaly_dir, which is None" in refused(mvtec, image_list=images, anomaly_list=(None, "a.png"))
    message = refused(mvtec, mvtec / "ground_truth", image_list=images, anomaly_list=(None, "crack/9.png"))
    assert "crack/9.png of anomaly_list does not exist" in message
    assert "is relative to one folder, but 2 were given" in refused([mvtec, tmp_path], image_list=images)
    assert "is not a folder" in refused(tmp_path / "nowhere", image_list=images)


def test_missing_sub_folders(mvtec: Path) -> None:
    assert "has no sub-folder trian; correct image_sub_dirs" in refused(mvtec, image_sub_dirs=("trian",))
    assert "correct anomaly_sub_dirs" in refused(mvtec, mvtec / "ground_truth", anomaly_sub_dirs=("crak",))
    (mvtec / "empty").mkdir()
    assert "only empty are searched" in refused(mvtec, image_sub_dirs=("empty",))


def test_images_without_a_group_are_refused(tmp_path: Path) -> None:
    picture(tmp_path / "kos01_Part1.png")
    picture(tmp_path / "overview.png")
    assert "finds no group in overview.png" in refused(tmp_path, group_pattern=r"(kos\d+)")


def test_a_mask_that_marks_an_ok_image_is_refused(mvtec: Path, tmp_path: Path) -> None:
    mask(tmp_path / "masks/m.png")
    images = ("train/good/000.png", "train/good/001.png")
    lists: dict[str, Any] = {"image_list": images, "anomaly_list": ("m.png", None)}
    assert "marks pixels of train/good/000.png, which is labelled ok" in refused(mvtec, tmp_path / "masks", **lists)
    mask(tmp_path / "masks/m.png", value=0)
    assert len(read(mvtec, tmp_path / "masks", **lists).samples) == 2
