from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.datasets import masks_of, read, refused
from tests.pictures import mask, picture, write
from trainer.dataset.dataset import DLDataset
from trainer.errors import DatasetError
from trainer.pictures.marks import inversion_note, mask_files, read_marks


@pytest.fixture
def loco(tmp_path: Path) -> Path:
    """MVTec LOCO AD's layout: two masks for the logical anomaly, one for the structural one, with values of their own."""
    for name in ("train/good/000.png", "validation/good/000.png", "test/good/000.png"):
        picture(tmp_path / "loco" / name)
    for name in ("test/logical_anomalies/000.png", "test/structural_anomalies/000.png"):
        picture(tmp_path / "loco" / name)
    root = tmp_path / "loco/ground_truth"
    mask(root / "logical_anomalies/000/000.png", value=236)
    pixels = np.zeros((8, 12), np.uint8)
    pixels[6:8, 0:3] = 237
    write(root / "logical_anomalies/000/001.png", pixels)
    mask(root / "structural_anomalies/000/000.png", value=1)
    return tmp_path / "loco"


def marked(dataset: DLDataset) -> dict[str, int]:
    found = {sample.image_file_name: dataset.read_mask(sample) for sample in dataset.samples}
    return {name: int(pixels.sum()) for name, pixels in found.items() if pixels is not None and pixels.any()}


def test_masks_of_loco_are_united(loco: Path) -> None:
    dataset = read(loco)
    assert masks_of(dataset) == {
        "test/logical_anomalies/000.png": "logical_anomalies/000",
        "test/structural_anomalies/000.png": "structural_anomalies/000",
    }
    assert marked(dataset) == {"test/logical_anomalies/000.png": 8 + 6, "test/structural_anomalies/000.png": 8}
    assert not any("mask" in note for note in dataset.notes)
    assert marked(read(loco, loco / "ground_truth")) == marked(dataset), "where the user names the folder too"


def test_a_file_and_a_folder_for_one_image_are_refused(loco: Path) -> None:
    mask(loco / "ground_truth/logical_anomalies/000.png")
    assert "several masks fit test/logical_anomalies/000.png" in refused(loco)


def test_one_of_several_masks_is_refused_as_a_single_one_is(loco: Path) -> None:
    mask(loco / "ground_truth/logical_anomalies/000/002.png", size=(5, 5))
    assert "002.png has 5x5 pixels, its image 12x8" in refused(loco)


def test_a_folder_that_was_emptied(tmp_path: Path) -> None:
    (tmp_path / "000").mkdir()
    assert mask_files(tmp_path / "000") == []
    with pytest.raises(DatasetError, match="is a folder without any picture"):
        read_marks(tmp_path / "000", (8, 12))


@pytest.mark.parametrize("name", ["Ground_Truth", "GROUND_TRUTH", "GroundTruth", "ground-truth", "ground truth"])
def test_the_folder_of_masks_is_found_in_any_case(tmp_path: Path, name: str) -> None:
    for image in ("Train/Good/0.png", "Test/Good/1.png", "Test/Crack/2.png"):
        picture(tmp_path / "set" / image)
    mask(tmp_path / "set" / name / "Crack/2_mask.png")
    dataset = read(tmp_path / "set")
    assert masks_of(dataset) == {"Test/Crack/2.png": "Crack/2_mask.png"}
    assert len(dataset.samples) == 3, "masks are no images"
    both = read([tmp_path / "set/Train", tmp_path / "set/Test"])
    assert masks_of(both) == {"Test/Crack/2.png": f"{name}/Crack/2_mask.png"}


def test_two_folders_that_may_hold_the_masks(tmp_path: Path) -> None:
    picture(tmp_path / "set/good/1.png")
    mask(tmp_path / "set/ground_truth/2.png")
    mask(tmp_path / "set/ground-truth/2.png")
    message = refused(tmp_path / "set")
    assert "keep one, or name it with --anomaly-dir" in message


def test_inverted_masks_are_noted(tmp_path: Path) -> None:
    picture(tmp_path / "set/good/0.png")
    for i in range(3):
        picture(tmp_path / f"set/crack/{i}.png")
        pixels = np.full((8, 12), 255, np.uint8)
        pixels[2:4, 5:9] = 0
        write(tmp_path / f"set/ground_truth/crack/{i}.png", pixels)
    (note,) = [note for note in read(tmp_path / "set").notes if "mask" in note]
    assert "3 of 3 masks mark more than half of their picture (crack/0.png: 91.7\xa0%" in note
    assert "swap black and white" in note


def test_few_large_defects_are_no_inversion() -> None:
    assert inversion_note([]) is None
    assert inversion_note([("a", 0.9), ("b", 0.1)]) is None
    assert inversion_note([("a", 0.9), ("b", 0.9), ("c", 0.1)]) is not None
