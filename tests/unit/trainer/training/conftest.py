from __future__ import annotations

import numpy as np
import pytest

from tests.models import ok_image
from tests.trainings import IMAGES
from trainer.dataset.dataset import DLDataset
from trainer.dataset.read import read_dl_dataset_anomaly
from trainer.prepare.split import split_dl_dataset


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> DLDataset:
    root, rng = tmp_path_factory.mktemp("striped"), np.random.default_rng(5)
    (root / "good").mkdir()
    (root / "spot").mkdir()
    for index in range(IMAGES + 3):
        (root / f"good/{index:02}.png").write_bytes(ok_image(rng))
    for index in range(2):
        (root / f"spot/{index}.png").write_bytes(ok_image(rng))
    percent = 100 * IMAGES / (IMAGES + 3)
    return split_dl_dataset(read_dl_dataset_anomaly(root), round(percent, 6))
