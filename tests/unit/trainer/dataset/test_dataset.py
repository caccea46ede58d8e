from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.pictures import mask, picture
from trainer.dataset.dataset import DLDataset
from trainer.dataset.folders import DatasetParam
from trainer.dataset.labels import label_by_folders
from trainer.dataset.read import read_dl_dataset_anomaly
from trainer.errors import DatasetError


@pytest.fixture
def mvtec(tmp_path: Path) -> Path:
    """Three ok images to train on, one ok and two nok ones to test on, one of those with a mask."""
    root = tmp_path / "bottle"
    for name in ("train/good/000.png", "train/good/001.png", "train/good/002.JPG", "test/good/000.png"):
        picture(root / name)
    for name in ("test/crack/000.png", "test/dent/000.png"):
        picture(root / name)
    mask(root / "ground_truth/crack/000_mask.png")
    return root


def by_name(dataset: DLDataset) -> dict[str, tuple[str, str | None, str | None]]:
    return {s.image_file_name: (s.image_label, s.split, s.defect) for s in dataset.samples}


def test_mvtec_layout_gives_labels_splits_and_masks(mvtec: Path) -> None:
    dataset = read_dl_dataset_anomaly(mvtec)

    assert dataset.layout == "mvtec"
    assert by_name(dataset) == {
        "test/crack/000.png": ("nok", "test", "crack"),
        "test/dent/000.png": ("nok", "test", "dent"),
        "test/good/000.png": ("ok", "test", None),
        "train/good/000.png": ("ok", "train", None),
        "train/good/001.png": ("ok", "train", None),
        "train/good/002.JPG": ("ok", "train", None),
    }
    assert [s.image_id for s in dataset.samples] == list(range(6))
    assert {s.image_file_name: s.anomaly_file_name for s in dataset.samples if s.anomaly_file_name} == {
        "test/crack/000.png": "crack/000_mask.png"
    }
    assert (dataset.class_names, dataset.class_ids, dataset.notes) == (("ok", "nok"), (0, 1), ())


def test_folders_may_be_strings(mvtec: Path) -> None:
    masks = mvtec / "ground_truth"
    assert read_dl_dataset_anomaly(str(mvtec), str(masks)) == read_dl_dataset_anomaly(mvtec, masks)
    both = [str(mvtec / "train"), str(mvtec / "test")]
    assert read_dl_dataset_anomaly(both) == read_dl_dataset_anomaly([mvtec / "train", mvtec / "test"])


@pytest.mark.parametrize(("highest", "levels"), [(255, 1), (4095, 16), (4096, None), (65535, None)])
def test_images_of_16_bits_that_use_few_are_noted(tmp_path: Path, highest: int, levels: int | None) -> None:
    """What is read is the high byte: unshifted values of a 12-bit camera are nearly black."""
    pixels = np.full((8, 12), highest, dtype=np.uint16)
    assert cv2.imwrite(str(tmp_path / "a.png"), pixels)
    picture(tmp_path / "b.png", channels=1)
    notes = [note for note in read_dl_dataset_anomaly(tmp_path).notes if "16 bits" in note]
    assert len(notes) == (levels is not None)
    for note in notes:
        assert f"a.png has 16 bits, but no value above {highest}" in note
        assert f"leaves {levels} gray levels" in note
        assert "shifted up" in note


def test_masks_are_read_as_the_pixels_above_zero(mvtec: Path) -> None:
    mask(mvtec / "ground_truth/crack/000_mask.png", value=1)
    dataset = read_dl_dataset_anomaly(mvtec)
    masks = {s.image_file_name: dataset.read_mask(s) for s in dataset.samples}

    expected = np.zeros((8, 12), dtype=bool)
    expected[2:4, 5:9] = True
    np.testing.assert_array_equal(masks["test/crack/000.png"], expected)
    np.testing.assert_array_equal(masks["test/good/000.png"], np.zeros((8, 12), dtype=bool))
    assert masks["test/dent/000.png"] is None, "nok without a mask: unknown, not clean"


def test_mask_named_as_the_image_is_found_in_the_folder_of_its_own_defect(mvtec: Path) -> None:
    mask(mvtec / "ground_truth/dent/000.png")
    found = {s.image_file_name: s.anomaly_file_name for s in read_dl_dataset_anomaly(mvtec).samples}
    assert found["test/dent/000.png"] == "dent/000.png"
    assert found["test/crack/000.png"] == "crack/000_mask.png"


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
    assert any("1 images in good/2024-05-02/17/ are taken as ok" in note for note in dataset.notes)
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
        ("good/crack", "rename good/crack to crack/good if its images are ok, or move it out of good if they are not"),
        ("ok/rework/2024", "rename ok/rework/2024 to rework/2024/ok if"),
        ("line1/good/monday", "rename line1/good/monday to line1/monday/good if"),
        ("good/nok/monday", "rename good/nok/monday to nok/monday/good if"),
    ],
)
def test_a_folder_inside_an_ok_folder_that_may_name_a_defect_is_refused(tmp_path: Path, inside: str, mend: str) -> None:
    picture(tmp_path / "good/a.png")
    picture(tmp_path / inside / "a.png")
    message = refusal(tmp_path)
    assert f"{tmp_path / inside} lies inside a folder named ok or good, which does not say" in message
    assert mend in message
    assert "--all-ok" in message
    assert {s.image_label for s in read_dl_dataset_anomaly(tmp_path, all_ok=True).samples} == {"ok"}
    picture(tmp_path / "mvtec/train/good/a.png")
    picture(tmp_path / "mvtec/train" / inside / "a.png")
    assert "does not say" in refusal(tmp_path / "mvtec"), "nor in the other layout"


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
    assert "lies inside a folder named ok or good" in message
    assert "rename good/crack to crack/good" in message
    assert "lies inside a folder named ok or good" in refusal([tmp_path / "good", tmp_path / "nok"])


@pytest.mark.parametrize("inside", ["nok/ok", "Not_OK/monday/good", "rejected/good/01"])
def test_an_ok_folder_inside_one_that_says_nok_is_refused(tmp_path: Path, inside: str) -> None:
    picture(tmp_path / "good/a.png")
    picture(tmp_path / inside / "a.png")
    message = refusal(tmp_path)
    assert f"{tmp_path / inside} lies inside a folder that says nok" in message
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


def test_nok_images_of_the_train_folder_keep_their_label(mvtec: Path) -> None:
    picture(mvtec / "train/crack/007.png")
    assert by_name(read_dl_dataset_anomaly(mvtec))["train/crack/007.png"] == ("nok", "train", "crack")


def test_hidden_files_are_left_out_and_strangers_noted(mvtec: Path) -> None:
    (mvtec / "train/good/._000.png").write_bytes(b"metadata of another system")
    (mvtec / ".cache").mkdir()
    (mvtec / ".cache/x.png").write_bytes(b"")
    picture(mvtec / "overview.png")
    (mvtec / "train/good/003.bmp").write_bytes(b"BM")
    dataset = read_dl_dataset_anomaly(mvtec)
    assert len(dataset.samples) == 6
    assert any("overview.png" in note for note in dataset.notes)
    assert any("003.bmp" in note for note in dataset.notes)


def test_a_link_to_a_folder_above_ends(mvtec: Path) -> None:
    (mvtec / "train/good/loop").symlink_to(mvtec / "train", target_is_directory=True)
    assert len(read_dl_dataset_anomaly(mvtec).samples) == 6


def test_copies_have_one_pixel_digest_whatever_the_container_says(tmp_path: Path) -> None:
    source = picture(tmp_path / "a.png", seed=1)
    pixels = cv2.imread(str(source))
    assert pixels is not None
    assert cv2.imwrite(str(tmp_path / "b.png"), pixels, [cv2.IMWRITE_PNG_COMPRESSION, 9])
    picture(tmp_path / "c.png", seed=2)
    a, b, c = read_dl_dataset_anomaly(tmp_path).samples
    assert a.digest != b.digest
    assert a.pixel_digest == b.pixel_digest != c.pixel_digest


def test_digest_of_the_set_changes_with_content_and_label_only(mvtec: Path) -> None:
    before = read_dl_dataset_anomaly(mvtec).digest
    assert read_dl_dataset_anomaly(mvtec).digest == before
    picture(mvtec / "train/good/000.png")
    assert read_dl_dataset_anomaly(mvtec).digest != before


def test_progress_counts_every_image(mvtec: Path) -> None:
    calls: list[tuple[str, int, int]] = []
    read_dl_dataset_anomaly(mvtec, progress=lambda *said: calls.append(said))
    assert calls == [("read images", i, 6) for i in range(1, 7)]


# ----------------------------------------------------------------------------------------------------------- refusals


def refusal(root: Path | list[Path], anomaly_dir: Path | None = None) -> str:
    with pytest.raises(DatasetError) as caught:
        read_dl_dataset_anomaly(root, anomaly_dir)
    return str(caught.value)


def test_missing_folder(tmp_path: Path) -> None:
    assert "does not exist" in refusal(tmp_path / "nowhere")
    assert "is a file" in refusal(picture(tmp_path / "a.png"))


def test_no_images(tmp_path: Path) -> None:
    assert "no JPEG or PNG image" in refusal(tmp_path)
    (tmp_path / "a.tiff").write_bytes(b"II*")
    assert "convert a.tiff to PNG or JPEG" in refusal(tmp_path)


def test_no_ok_images_to_train_from(tmp_path: Path) -> None:
    picture(tmp_path / "test/good/0.png")
    picture(tmp_path / "test/crack/0.png")
    assert "train/good" in refusal(tmp_path), "images of the test set are never learnt from"


def test_folder_names_that_do_not_say_which_images_are_ok(tmp_path: Path) -> None:
    picture(tmp_path / "monday/a.png")
    message = refusal(tmp_path)
    assert "monday" in message
    assert "--all-ok" in message


def test_images_both_directly_and_in_folders(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    picture(tmp_path / "crack/a.png")
    assert "both directly (a.png) and in folders" in refusal(tmp_path)


def test_unlabelled_test_image(mvtec: Path) -> None:
    picture(mvtec / "test/003.png")
    assert "test/003.png lies directly in test/" in refusal(mvtec)


def test_folder_of_several_data_sets(mvtec: Path) -> None:
    message = refusal(mvtec.parent)
    assert "several data sets" in message
    assert str(mvtec) in message


def test_unreadable_images_are_all_named(mvtec: Path) -> None:
    (mvtec / "train/good/000.png").write_bytes(b"not an image")
    (mvtec / "test/good/000.png").write_bytes(b"")
    message = refusal(mvtec)
    assert "train/good/000.png" in message
    assert "test/good/000.png" in message
    assert "replace or remove them" in message


def test_truncated_image(tmp_path: Path) -> None:
    path = picture(tmp_path / "a.jpg", size=(120, 80))
    picture(tmp_path / "b.jpg", size=(120, 80))
    path.write_bytes(path.read_bytes()[:-200])
    message = refusal(tmp_path)
    assert "a.jpg is not a readable" in message
    assert "ends early" in message


def test_mask_of_another_size(mvtec: Path) -> None:
    mask(mvtec / "ground_truth/crack/000_mask.png", size=(24, 16))
    message = refusal(mvtec)
    assert "000_mask.png has 24x16 pixels, its image 12x8" in message


def test_unreadable_mask(mvtec: Path) -> None:
    (mvtec / "ground_truth/crack/000_mask.png").write_bytes(b"")
    assert "000_mask.png is not a readable PNG" in refusal(mvtec)


def test_lossy_mask(mvtec: Path) -> None:
    mask(mvtec / "ground_truth/dent/000_mask.jpg")
    assert "save it as PNG" in refusal(mvtec)


def test_two_masks_for_one_image(mvtec: Path) -> None:
    mask(mvtec / "ground_truth/crack/000.png")
    assert "several masks fit test/crack/000.png" in refusal(mvtec)


def test_two_images_for_one_mask(mvtec: Path) -> None:
    picture(mvtec / "test/crack/000.jpg")
    assert "fits both" in refusal(mvtec)


def test_masks_that_were_asked_for_but_fit_nothing(mvtec: Path, tmp_path: Path) -> None:
    assert "does not exist" in refusal(mvtec, tmp_path / "masks")
    mask(tmp_path / "masks/other/099_mask.png")
    assert "fits an image" in refusal(mvtec, tmp_path / "masks")


def test_masks_without_an_image_and_empty_masks_are_noted(mvtec: Path) -> None:
    mask(mvtec / "ground_truth/crack/099_mask.png")
    mask(mvtec / "ground_truth/dent/000_mask.png", value=0)
    notes = read_dl_dataset_anomaly(mvtec).notes
    assert any("099_mask.png" in note for note in notes)
    assert any("dent/000_mask.png marks no pixel" in note for note in notes)


def test_mixed_channels_name_the_few(mvtec: Path) -> None:
    picture(mvtec / "train/good/009.png", channels=1)
    assert "most ok images are colour, but these are not: train/good/009.png" in refusal(mvtec)


@pytest.mark.parametrize("width", [197, 203])
def test_aspect_within_two_percent_is_accepted(tmp_path: Path, width: int) -> None:
    for i in range(3):
        picture(tmp_path / "good" / f"{i}.png", size=(200, 100))
    picture(tmp_path / "crack/0.png", size=(width, 100))
    assert len(read_dl_dataset_anomaly(tmp_path).samples) == 4


@pytest.mark.parametrize("width", [195, 205])
def test_aspect_beyond_two_percent_is_refused(tmp_path: Path, width: int) -> None:
    for i in range(3):
        picture(tmp_path / "good" / f"{i}.png", size=(200, 100))
    picture(tmp_path / "crack/0.png", size=(width, 100))
    assert f"crack/0.png ({width}x100)" in refusal(tmp_path)


def test_other_size_of_the_same_aspect_is_accepted(tmp_path: Path) -> None:
    picture(tmp_path / "a.png", size=(40, 20))
    picture(tmp_path / "b.png", size=(80, 40))
    assert len(read_dl_dataset_anomaly(tmp_path).samples) == 2


def test_one_picture_with_two_labels(mvtec: Path) -> None:
    (mvtec / "test/crack/001.png").write_bytes((mvtec / "train/good/001.png").read_bytes())
    message = refusal(mvtec)
    assert "test/crack/001.png (nok)" in message
    assert "train/good/001.png (ok)" in message


# ------------------------------------------------------------------------------------------------ names of HALCON's keys


def test_labels_have_both_names_and_a_number(mvtec: Path) -> None:
    samples = read_dl_dataset_anomaly(mvtec).samples
    assert [s.anomaly_label for s in samples] == [s.image_label for s in samples]
    assert {(s.anomaly_label, s.anomaly_label_id) for s in samples} == {("ok", 0), ("nok", 1)}


# ------------------------------------------------------------------------------------------------------- several folders


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
    assert "one by one" in refusal([mvtec, tmp_path / "other"])
    assert "would count twice" in refusal([mvtec, mvtec / "train"])
    assert "would count twice" in refusal([mvtec, mvtec])
    assert "no folder of images was given" in refusal([])
    picture(tmp_path / "monday/a.png")
    picture(tmp_path / "tuesday/a.png")
    assert "named ok or good" in refusal([tmp_path / "monday", tmp_path / "tuesday"])


# ------------------------------------------------------------------------------------------------------------ parameters


def read(root: Path | list[Path], anomaly_dir: Path | None = None, **param: Any) -> DLDataset:
    return read_dl_dataset_anomaly(root, anomaly_dir, param=DatasetParam(**param))


def masks_of(dataset: DLDataset) -> dict[str, str | None]:
    return {s.image_file_name: s.anomaly_file_name for s in dataset.samples if s.image_label == "nok"}


def refused(root: Path | list[Path], anomaly_dir: Path | None = None, **param: Any) -> str:
    with pytest.raises(DatasetError) as caught:
        read(root, anomaly_dir, **param)
    return str(caught.value)


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


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    """One ok image, and three nok ones in two folders."""
    for name in ("good/1_image.png", "crack/1_image.png", "crack/2_image.png", "dent/3_image.png"):
        picture(tmp_path / "parts" / name)
    return tmp_path / "parts"


def test_parts_of_names_that_differ_are_removed_before_matching(parts: Path, tmp_path: Path) -> None:
    mask(tmp_path / "masks/crack/1_label.png")
    mask(tmp_path / "masks/dent/label_3.png")
    found = masks_of(read(parts, tmp_path / "masks", file_name_image_only="_image", file_name_anomaly_only="_label"))
    assert found["crack/1_image.png"] == "crack/1_label.png"
    assert found["crack/2_image.png"] is None
    found = masks_of(read(parts, tmp_path / "masks", file_name_image_only="_image", file_name_anomaly_only="label_"))
    assert found["dent/3_image.png"] == "dent/label_3.png", "the part may stand in front as well"


def test_masks_in_a_folder_of_their_own_are_matched_by_stem(parts: Path, tmp_path: Path) -> None:
    for name in ("2_image.png", "3_image_mask.png"):
        mask(tmp_path / "masks" / name)
    assert masks_of(read(parts, tmp_path / "masks")) == {
        "crack/1_image.png": None,
        "crack/2_image.png": "2_image.png",
        "dent/3_image.png": "3_image_mask.png",
    }


def test_a_stem_inside_one_mask_name_is_enough(parts: Path, tmp_path: Path) -> None:
    mask(tmp_path / "masks/annotation of 2_image.png")
    assert masks_of(read(parts, tmp_path / "masks"))["crack/2_image.png"] == "annotation of 2_image.png"


def test_an_exact_name_goes_before_a_part_of_one(tmp_path: Path) -> None:
    for name in ("good/a.png", "crack/1.png", "crack/11.png"):
        picture(tmp_path / "parts" / name)
    mask(tmp_path / "masks/11.png")
    assert masks_of(read(tmp_path / "parts", tmp_path / "masks")) == {"crack/1.png": None, "crack/11.png": "11.png"}


def test_among_several_the_folder_called_alike_decides(parts: Path, tmp_path: Path) -> None:
    mask(tmp_path / "masks/labels/crack/2_image.png")
    mask(tmp_path / "masks/labels/other/2_image.png")
    assert masks_of(read(parts, tmp_path / "masks"))["crack/2_image.png"] == "labels/crack/2_image.png"
    mask(tmp_path / "masks/more/crack/2_image.png")
    assert "several masks fit crack/2_image.png" in refused(parts, tmp_path / "masks")


def test_an_image_of_the_set_is_no_mask(parts: Path, tmp_path: Path) -> None:
    """It would mark nearly every pixel, and the pixel measures would be wrong without a word."""
    message = refused(parts, parts)
    assert "holds images of the data set, which are no masks: crack/1_image.png" in message
    assert "give a folder that holds masks only" in message
    (tmp_path / "linked").symlink_to(parts)
    assert "which are no masks" in refused(parts, tmp_path / "linked"), "under another path"
    (tmp_path / "linked").unlink()
    mask(tmp_path / "masks/crack/1_image.png")
    assert "which are no masks: parts/crack/1_image.png" in refused(parts, tmp_path), "beside the masks"
    found = masks_of(read(parts, tmp_path, anomaly_sub_dirs=("masks",)))
    assert found["crack/1_image.png"] == "masks/crack/1_image.png"


def test_a_list_of_masks_may_not_name_an_image(parts: Path, tmp_path: Path) -> None:
    names = ("good/1_image.png", "crack/1_image.png", "crack/2_image.png")
    listed = (None, "crack/2_image.png", None)
    assert "crack/2_image.png of anomaly_list is an image of the data set" in refused(
        parts, parts, image_list=names, anomaly_list=listed
    )
    mask(parts / "crack/1_mask.png")
    found = masks_of(read(parts, parts, image_list=names, anomaly_list=(None, "crack/1_mask.png", None)))
    assert found["crack/1_image.png"] == "crack/1_mask.png", "beside the images, where each is named"


def test_a_mask_of_another_defect_is_never_taken(parts: Path, tmp_path: Path) -> None:
    mask(tmp_path / "masks/crack/3_image.png")
    mask(tmp_path / "masks/crack/1_image.png")
    assert masks_of(read(parts, tmp_path / "masks"))["dent/3_image.png"] is None


def test_without_a_folder_named_only_the_strict_rule_counts(parts: Path) -> None:
    mask(parts / "ground_truth/2_image.png")
    assert set(masks_of(read(parts)).values()) == {None}


def test_one_mask_for_two_images_of_the_loose_rules(tmp_path: Path) -> None:
    for name in ("good/a.png", "crack/1.png", "dent/1.png"):
        picture(tmp_path / "parts" / name)
    mask(tmp_path / "masks/1.png")
    assert "mask 1.png fits both crack/1.png and dent/1.png" in refused(tmp_path / "parts", tmp_path / "masks")


def test_unmatched_images_stay_unless_asked(parts: Path, tmp_path: Path) -> None:
    mask(tmp_path / "masks/2_image.png")
    assert len(read(parts, tmp_path / "masks").samples) == 4
    fewer = read(parts, tmp_path / "masks", ignore_unmatched_images=True)
    assert set(by_name(fewer)) == {"good/1_image.png", "crack/2_image.png"}
    assert any("2 nok images without a mask are left out" in note for note in fewer.notes)
    none = read(parts, ignore_unmatched_images=True)
    assert set(by_name(none)) == {"good/1_image.png"}, "no mask at all"
    assert any("3 nok images without a mask are left out" in note for note in none.notes)


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
        ({"image_list": ("a.png", "b.png"), "anomaly_list": (None,)}, "image_list has 2 names, anomaly_list 1"),
        ({"anomaly_list": (None,)}, "give both or neither"),
        ({"image_list": ()}, "image_list is empty"),
        ({"image_list": ("a.png",), "image_sub_dirs": ("good",)}, "leave one of them out"),
        ({"image_list": ("a.png", "./a.png")}, "image_list names a.png more than once"),
        ({"image_list": ("a.png", "b.png"), "anomaly_list": ("m.png", "m.png")}, "anomaly_list names m.png more than"),
        ({"image_list": ("../a.png",)}, "stay inside it, unlike '../a.png'"),
        ({"group_pattern": "("}, "is no regular expression"),
        ({"group_pattern": "part"}, "captures nothing"),
    ],
)
def test_parameters_that_cannot_be_meant(param: dict[str, Any], words: str) -> None:
    with pytest.raises(DatasetError, match=words):
        DatasetParam(**param)


def test_listed_files_that_are_missing(mvtec: Path, tmp_path: Path) -> None:
    images = ("train/good/000.png", "test/crack/000.png")
    assert "train/good/9.png of image_list is missing" in refused(mvtec, image_list=("train/good/9.png", *images))
    assert "anomaly_dir, which is None" in refused(mvtec, image_list=images, anomaly_list=(None, "a.png"))
    message = refused(mvtec, mvtec / "ground_truth", image_list=images, anomaly_list=(None, "crack/9.png"))
    assert "crack/9.png of anomaly_list is missing" in message
    assert "counts from one folder, got 2" in refused([mvtec, tmp_path], image_list=images)
    assert "is no folder" in refused(tmp_path / "nowhere", image_list=images)


def test_missing_sub_folders(mvtec: Path) -> None:
    assert "has no sub-folder trian; correct image_sub_dirs" in refused(mvtec, image_sub_dirs=("trian",))
    assert "correct anomaly_sub_dirs" in refused(mvtec, mvtec / "ground_truth", anomaly_sub_dirs=("crak",))
    (mvtec / "empty").mkdir()
    assert "only empty are looked in" in refused(mvtec, image_sub_dirs=("empty",))


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


def test_halcons_region_files_are_named(mvtec: Path, tmp_path: Path) -> None:
    mask(tmp_path / "masks/crack/000.png")
    (tmp_path / "masks/crack/001.hobj").write_bytes(b"region")
    assert any("crack/001.hobj" in note for note in read(mvtec, tmp_path / "masks").notes)
