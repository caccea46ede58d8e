from __future__ import annotations

from typing import Literal

import numpy as np
import pytest

from inspector.anomaly.domain.domain import DomainView
from inspector.anomaly.domain.mask import pixels_inside
from inspector.anomaly.verdict.upsample import resize_anomaly_image
from tests.domains import BOX, HEIGHT, RECTANGLE, TRIANGLE, WIDTH

Shape = Literal["rectangle", "triangle"]


@pytest.mark.parametrize("shape", ["rectangle", "triangle"])
@pytest.mark.parametrize("is_crop", [True, False])
def test_a_map_lies_where_the_model_looked_and_nothing_counts_around(shape: Shape, *, is_crop: bool) -> None:
    domain = RECTANGLE if shape == "rectangle" else TRIANGLE
    scores = np.random.default_rng(1).uniform(0.1, 0.9, (8, 12)).astype(np.float32)
    placed = resize_anomaly_image(scores, width=WIDTH, height=HEIGHT, view=DomainView(domain, is_crop=is_crop))
    expected = np.zeros((HEIGHT, WIDTH), np.float32)
    x, y, width, height = BOX if is_crop else (0, 0, WIDTH, HEIGHT)
    expected[y : y + height, x : x + width] = resize_anomaly_image(scores, width=width, height=height)
    expected[~pixels_inside(domain, WIDTH, HEIGHT)] = 0
    assert placed.shape == (HEIGHT, WIDTH)
    assert placed.dtype == np.float32
    np.testing.assert_array_equal(placed, expected)
