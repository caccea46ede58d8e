from __future__ import annotations

import numpy as np
import pytest

from tests.models import ok_image
from trainer.dataset.dataset import DLDataset
from trainer.dataset.read import read_dl_dataset_anomaly
from trainer.prepare.split import split_dl_dataset

IMAGES = 15


@pytest.fixture(scope="package")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> DLDataset:
    """Ok images alone, all of them to learn from."""
    root, random = tmp_path_factory.mktemp("striped"), np.random.default_rng(5)
    for index in range(IMAGES):
        (root / f"{index:02}.png").write_bytes(ok_image(random))
    return split_dl_dataset(read_dl_dataset_anomaly(root, all_ok=True))
