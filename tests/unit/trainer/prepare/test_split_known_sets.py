from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from tests.splits import division, names
from trainer.dataset.read import read_dl_dataset_anomaly
from trainer.prepare.split import split_dl_dataset

DATA = Path(__file__).parents[3] / "data"


SHARED = Path(__file__).parents[5] / "shared" / "data"


@pytest.mark.parametrize(
    ("folder", "digest"),
    [
        pytest.param(DATA / "aws_alien", "b6f3474e0e4e9c16", id="aws_alien"),
        pytest.param(DATA / "aws_cookie", "e63d83950c000f1c", id="aws_cookie"),
        pytest.param(SHARED / "kolektorsdd", "9a2114475ec35bec", id="kolektorsdd"),
        pytest.param(SHARED / "elpv_mono", "1810ccce5ce73010", id="elpv_mono"),
        pytest.param(SHARED / "mvtec_toothbrush", "39edd99a4a9886c6", id="mvtec_toothbrush"),
    ],
)
def test_the_division_of_known_sets_stays(folder: Path, digest: str) -> None:
    """Figures of the README and of the benchmarks were measured on these very divisions."""
    if not folder.is_dir():
        pytest.skip(f"{folder} is not here")
    split = split_dl_dataset(read_dl_dataset_anomaly(folder), seed=0)
    folds = sorted((s.image_file_name, s.fold) for s in split.train)
    known = json.dumps([*names(split), folds, division(split).method])
    assert hashlib.sha256(known.encode()).hexdigest()[:16] == digest
