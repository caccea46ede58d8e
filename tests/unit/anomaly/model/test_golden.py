from __future__ import annotations

import numpy as np
import pytest

from inspector.anomaly.model.golden import GOLDEN_SIDE, golden_image
from inspector.anomaly.preprocess.param import DLPreprocessParam, PreprocessStep

STEP = PreprocessStep(name="acme.step", version="1")


@pytest.mark.parametrize(
    ("shape", "side", "expected"),
    [
        ((200, 300, 3), 64, (200, 300, 3)),
        ((1000, 2000, 3), 64, (GOLDEN_SIDE // 2, GOLDEN_SIDE, 3)),
        ((2000, 1000), 64, (GOLDEN_SIDE, GOLDEN_SIDE // 2)),
        ((1000, 2000), 1024, (512, 1024)),
        ((1, 4000), 64, (1, GOLDEN_SIDE)),
    ],
)
def test_a_picture_is_no_larger_than_the_model_needs(
    shape: tuple[int, ...], side: int, expected: tuple[int, ...]
) -> None:
    image = np.full(shape, 7, np.uint8)
    kept = golden_image(image, DLPreprocessParam(image_width=side, image_height=side))
    assert kept.shape == expected
    assert (kept == 7).all()
    assert not np.shares_memory(kept, image), "whoever gave it may go on with it"


def test_own_steps_see_the_full_scale() -> None:
    param = DLPreprocessParam(image_width=64, image_height=64, preprocess_steps=(STEP,))
    assert golden_image(np.zeros((1000, 2000), np.uint8), param).shape == (1000, 2000)
