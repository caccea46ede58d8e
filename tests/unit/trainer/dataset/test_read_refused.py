from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.datasets import refusal
from tests.pictures import mask, picture, write
from trainer.dataset.read import read_dl_dataset_anomaly


def test_missing_folder(tmp_path: Path) -> None:
    assert "does not exist" in refusal(tmp_path / "nowhere")
    assert "is a file" in refusal(picture(tmp_path / "a.png"))


def test_no_images(tmp_path: Path) -> None:
    assert "no image below" in refusal(tmp_path)
    (tmp_path / "a.gif").write_bytes(b"GIF89a")
    assert "save a.gif in one of these formats" in refusal(tmp_path)


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
    assert "test/003.png is directly in test/" in refusal(mvtec)


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
    assert "000_mask.png is not a readable image" in refusal(mvtec)


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


def test_a_set_of_one_colour_is_not_learnt_from(tmp_path: Path) -> None:
    for i, value in enumerate((0, 0, 255)):
        write(tmp_path / f"set/good/{i}.png", np.full((8, 12, 3), value, np.uint8))
    picture(tmp_path / "set/crack/1.png")
    message = refusal(tmp_path / "set")
    assert "each of the 3 ok training images has a single colour (good/0.png, good/1.png, good/2.png)" in message
    assert "check the camera, the light and the export" in message


def test_a_few_pictures_of_one_colour_are_noted(tmp_path: Path) -> None:
    picture(tmp_path / "set/good/0.png")
    write(tmp_path / "set/good/1.png", np.full((8, 12, 3), (9, 8, 7), np.uint8))
    (note,) = [note for note in read_dl_dataset_anomaly(tmp_path / "set").notes if "colour" in note]
    assert note.startswith("1 image is of a single colour, as from a covered or failed camera: good/1.png")
