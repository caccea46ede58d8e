from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.models import ok_image
from tests.pictures import mask, picture


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    """Pictures of different sizes, each to be told from the others by its width."""
    rng = np.random.default_rng(0)
    made = [tmp_path / f"{index}.png" for index in range(21)]
    for index, path in enumerate(made):
        path.write_bytes(ok_image(rng, width=64 + index, height=40))
    return made


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


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    """One ok image, and three nok ones in two folders."""
    for name in ("good/1_image.png", "crack/1_image.png", "crack/2_image.png", "dent/3_image.png"):
        picture(tmp_path / "parts" / name)
    return tmp_path / "parts"
