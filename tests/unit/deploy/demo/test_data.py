"""The images that the project ships: what their README says of them is so, and they are small."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from deploy.demo.prepare_data import MAX_SIDE, main

DATA = Path(__file__).resolve().parents[3] / "data"
SETS = ("aws_cookie", "aws_alien")


def read(path: Path) -> np.ndarray:
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert image is not None, path
    return np.asarray(image)


@pytest.mark.parametrize("name", SETS)
def test_the_readme_tells_the_numbers_of_images(name: str) -> None:
    root = DATA / name
    counts = [len(list((root / part).rglob("*.*"))) for part in ("train/good", "test/good", "ground_truth")]
    num_defects = len(list((root / "test").rglob("*.jpg"))) - counts[1]
    row = next(line for line in (DATA / "README.md").read_text().splitlines() if f"`{name}`" in line)

    assert [int(n) for n in re.findall(r"\d+", row.rpartition("|")[0].rpartition("|")[0])] == [
        counts[0],
        counts[1],
        num_defects,
        *([counts[2]] if counts[2] else []),
    ]


@pytest.mark.parametrize("name", SETS)
def test_images_are_small_and_of_one_size(name: str) -> None:
    shapes = {read(path).shape for part in ("train", "test") for path in (DATA / name / part).rglob("*.jpg")}

    assert len(shapes) == 1
    height, width, channels = shapes.pop()
    assert (max(height, width), channels) == (MAX_SIDE, 3)


def test_each_mask_fits_its_image_and_marks_something() -> None:
    masks = sorted((DATA / "aws_cookie" / "ground_truth").rglob("*.png"))
    for path in masks:
        mask = read(path)
        image = DATA / "aws_cookie" / "test" / path.parent.name / f"{path.stem.removesuffix('_mask')}.jpg"
        assert mask.shape == read(image).shape[:2]
        assert set(np.unique(mask)) == {0, 255}
    assert len(masks) == 32


def test_the_sets_are_small_enough_to_ship() -> None:
    assert sum(path.stat().st_size for path in DATA.rglob("*") if path.is_file()) < 8_000_000


def test_attribution_licence_and_changes_are_stated() -> None:
    text = (DATA / "README.md").read_text()
    for words in (
        "Amazon.com, Inc. or its affiliates",
        "https://github.com/aws-samples/amazon-lookout-for-vision",
        "CC BY-SA 4.0",
        "**Changes:**",
        "LICENSE.txt",
    ):
        assert words in text
    assert (DATA / "LICENSE.txt").read_text().startswith("Attribution-ShareAlike 4.0 International")


@pytest.fixture
def large_set(tmp_path: Path) -> Path:
    """One image of 1,200 x 600 with a mask, and one that is small already."""
    rng = np.random.default_rng(0)
    root = tmp_path / "large"
    for name, width in (("test/crack/a", 1200), ("train/good/b", 300)):
        path = root / f"{name}.png"
        path.parent.mkdir(parents=True)
        cv2.imwrite(str(path), rng.integers(0, 255, (width // 2, width, 3), dtype=np.uint8))
    mask = np.zeros((600, 1200), np.uint8)
    mask[100:300, 200:500] = 255
    (root / "ground_truth/crack").mkdir(parents=True)
    cv2.imwrite(str(root / "ground_truth/crack/a_mask.png"), mask)
    return root


def test_images_are_made_smaller_and_masks_stay_masks(large_set: Path, tmp_path: Path) -> None:
    target = tmp_path / "small"

    assert main([str(large_set), str(target)]) == 0

    assert read(target / "test/crack/a.jpg").shape == (256, 512, 3)
    assert read(target / "train/good/b.jpg").shape == (150, 300, 3)
    mask = read(target / "ground_truth/crack/a_mask.png")
    assert mask.shape == (256, 512)
    assert set(np.unique(mask)) == {0, 255}


def test_nothing_is_overwritten(large_set: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "small").mkdir()
    assert main([str(large_set), str(tmp_path / "small")]) == 1
    assert "small exists already; remove it first" in capsys.readouterr().err


@pytest.mark.parametrize(("content", "complaint"), [(None, "no image below"), (b"no image", "cannot be read")])
def test_a_folder_without_readable_images_is_refused(
    content: bytes | None, complaint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    if content is not None:
        (source / "a.jpg").write_bytes(content)
    assert main([str(source), str(tmp_path / "small")]) == 1
    assert complaint in capsys.readouterr().err
