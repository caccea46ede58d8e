from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.datasets import by_name, refusal
from tests.pictures import mask, picture
from trainer.dataset.read import read_dl_dataset_anomaly
from trainer.errors import DatasetError


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
        assert "scaled up" in note


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


def test_nok_images_of_the_train_folder_keep_their_label(mvtec: Path) -> None:
    picture(mvtec / "train/crack/007.png")
    assert by_name(read_dl_dataset_anomaly(mvtec))["train/crack/007.png"] == ("nok", "train", "crack")


def test_hidden_files_are_left_out_and_strangers_noted(mvtec: Path) -> None:
    (mvtec / "train/good/._000.png").write_bytes(b"metadata of another system")
    (mvtec / ".cache").mkdir()
    (mvtec / ".cache/x.png").write_bytes(b"")
    picture(mvtec / "overview.png")
    (mvtec / "train/good/003.gif").write_bytes(b"GIF89a")
    dataset = read_dl_dataset_anomaly(mvtec)
    assert len(dataset.samples) == 6
    assert any("overview.png" in note for note in dataset.notes)
    assert any("003.gif" in note for note in dataset.notes)


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
    assert "--geometry any" in refusal(tmp_path)


def test_images_of_any_size_are_read_with_masks_of_their_own_size(tmp_path: Path) -> None:
    picture(tmp_path / "good/0.png", size=(200, 100))
    picture(tmp_path / "good/1.png", size=(30, 70))
    picture(tmp_path / "crack/0.png", size=(50, 20))
    mask(tmp_path / "ground_truth/crack/0.png", size=(50, 20))
    dataset = read_dl_dataset_anomaly(tmp_path, geometry_rule="any")
    assert dataset.geometry_rule == "any"
    assert [(s.width, s.height) for s in dataset.samples] == [(50, 20), (200, 100), (30, 70)]
    marked = dataset.read_mask(dataset.samples[0])
    assert marked is not None
    assert marked.shape == (20, 50)
    assert "from 50x20 to 200x100 pixels, are resized to one input" in dataset.notes[0]


def test_a_word_that_is_no_geometry_is_refused_before_an_image_is_opened(tmp_path: Path) -> None:
    word: Any = "all"
    (tmp_path / "a.png").write_bytes(b"no image")
    with pytest.raises(DatasetError, match="geometry_rule is 'all'; give one-camera or any"):
        read_dl_dataset_anomaly(tmp_path, geometry_rule=word)


def test_other_size_of_the_same_aspect_is_accepted(tmp_path: Path) -> None:
    picture(tmp_path / "a.png", size=(40, 20))
    picture(tmp_path / "b.png", size=(80, 40))
    assert len(read_dl_dataset_anomaly(tmp_path).samples) == 2


def test_one_picture_with_two_labels(mvtec: Path) -> None:
    (mvtec / "test/crack/001.png").write_bytes((mvtec / "train/good/001.png").read_bytes())
    message = refusal(mvtec)
    assert "test/crack/001.png (nok)" in message
    assert "train/good/001.png (ok)" in message


def test_labels_have_both_names_and_a_number(mvtec: Path) -> None:
    samples = read_dl_dataset_anomaly(mvtec).samples
    assert [s.anomaly_label for s in samples] == [s.image_label for s in samples]
    assert {(s.anomaly_label, s.anomaly_label_id) for s in samples} == {("ok", 0), ("nok", 1)}
