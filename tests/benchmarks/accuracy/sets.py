"""The development sets as data sets: those of ../shared/data, and elpv_poly, which comes in a package."""

from __future__ import annotations

import importlib
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2

from inspector.anomaly.choices import GeometryRule
from trainer.dataset.dataset import DLDataset
from trainer.dataset.read import read_dl_dataset_anomaly
from trainer.errors import DatasetError
from trainer.prepare.split import split_dl_dataset

DATA = Path(__file__).parents[4] / "shared" / "data"
TEST_EVERY = 5
"""Every fifth ok cell of elpv_poly is tested."""


def geometry_rule(name: str) -> GeometryRule:
    """What `--geometry` has to say for a set: magnetic_tile's parts are cropped to their own size, which nothing else takes."""
    return "any" if name == "magnetic_tile" else "one-camera"


@lru_cache(maxsize=8)
def divided(name: str, seed: int) -> DLDataset:
    """The set, divided as its folders say.

    Raises:
        DatasetError: It is not there.
    """
    folder = _elpv_poly() if name == "elpv_poly" else DATA / name
    read = read_dl_dataset_anomaly(folder, geometry_rule=geometry_rule(name))
    return split_dl_dataset(read, seed=seed)


@lru_cache(maxsize=1)
def _elpv_poly() -> Path:
    """Polycrystalline solar cells of the package elpv-dataset as folders: ok is probability 0, nok is 1; those between are left out."""
    try:
        utils: Any = importlib.import_module("elpv_dataset.utils")
    except ModuleNotFoundError as error:
        raise DatasetError("the set elpv_poly comes with a package: pip install elpv-dataset") from error
    images, probabilities, types = utils.load_dataset()
    root = Path(tempfile.mkdtemp(prefix="elpv_poly-"))
    for folder in ("train/good", "test/good", "test/defect"):
        (root / folder).mkdir(parents=True)
    num_ok = 0
    for number, (image, probability, kind) in enumerate(zip(images, probabilities, types, strict=True)):
        if kind != "poly" or probability not in (0.0, 1.0):
            continue
        folder = "test/defect"
        if probability == 0:
            folder = "test/good" if num_ok % TEST_EVERY == TEST_EVERY - 1 else "train/good"
            num_ok += 1
        cv2.imwrite(str(root / folder / f"cell{number:04}.png"), image)
    return root
