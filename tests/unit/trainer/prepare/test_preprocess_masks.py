from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from inspector.anomaly.preprocess.param import create_dl_preprocess_param
from tests.pictures import mask, picture
from trainer.dataset.read import read_dl_dataset_anomaly
from trainer.errors import OutputError
from trainer.prepare.preprocess import preprocess_dl_dataset, read_dl_samples

PARAM = create_dl_preprocess_param(image_width=64, image_height=64)


def test_several_masks_of_one_image_are_united_and_each_is_looked_at(tmp_path: Path) -> None:
    images = tmp_path / "images"
    picture(images / "good/1.png", size=(64, 64))
    picture(images / "crack/2.png", size=(64, 64))
    first = mask(images / "ground_truth/crack/2/000.png", size=(64, 64))
    pixels = cv2.imread(str(first), cv2.IMREAD_GRAYSCALE)
    assert pixels is not None
    second = first.with_name("001.png")
    cv2.imwrite(str(second), np.flipud(pixels))
    done = preprocess_dl_dataset(read_dl_dataset_anomaly(images), tmp_path / "cache", PARAM)
    (sample,) = read_dl_samples(done, [s for s in done.samples if s.anomaly_file_name])
    assert sample.anomaly_ground_truth is not None
    assert sample.anomaly_ground_truth.sum() == 16
    cv2.imwrite(str(second), pixels)
    with pytest.raises(OutputError, match="from another set of images"):
        preprocess_dl_dataset(read_dl_dataset_anomaly(images), tmp_path / "cache", PARAM)
