"""What of a map of distances counts under a domain."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from inspector.anomaly.domain.domain import DomainView
from inspector.anomaly.domain.mask import cells_inside, pixels_inside
from inspector.anomaly.model.pending import scores_of_pictures
from inspector.anomaly.preprocess.images import preprocess_images
from inspector.anomaly.types import DLResult, ScoreScale
from inspector.anomaly.verdict.region import find_anomaly_region
from inspector.anomaly.verdict.runs import decode_region
from inspector.anomaly.verdict.score import ScoreRule
from tests.domains import HEIGHT, RECTANGLE, TRIANGLE, WIDTH, Handling, a_param


def pending(distances: torch.Tensor, view: DomainView | None, rule: ScoreRule) -> DLResult:
    return scores_of_pictures(distances, ScoreScale(s=1.0), rule, (96, 64), view).finish()[0]


@pytest.mark.parametrize("outside", [0.0, 1e6, float("nan"), float("inf")])
def test_only_positions_inside_are_scored_and_shown(outside: float) -> None:
    view = DomainView(RECTANGLE, is_crop=False)
    cells = torch.from_numpy(cells_inside(view, 12, 8).copy())
    distances = torch.where(cells, 3.0, outside)[None]
    result = pending(distances, view, ScoreRule(top_share=1.0))
    assert result.anomaly_score == pytest.approx(0.75)
    counted = cells_inside(view, 96, 64)
    np.testing.assert_allclose(result.anomaly_image[counted], 0.75, rtol=1e-6)
    assert np.all(result.anomaly_image[~counted] == 0)


def test_the_share_of_the_highest_is_that_of_the_positions_inside() -> None:
    view = DomainView(RECTANGLE, is_crop=False)
    cells = torch.from_numpy(cells_inside(view, 12, 8).copy())
    distances = torch.zeros(1, 8, 12)
    distances[0][cells] = torch.arange(28, dtype=torch.float32)
    found = pending(distances, view, ScoreRule(top_share=0.5)).anomaly_score
    mean = np.arange(14, 28).mean()
    assert found == pytest.approx(mean / (mean + 1))


def test_a_distance_inside_that_is_not_finite_is_no_ok_and_stays_inside() -> None:
    view = DomainView(RECTANGLE, is_crop=False)
    distances = torch.zeros(1, 8, 12)
    distances[0, 1, 3] = float("nan")
    result = pending(distances, view, ScoreRule(top_share=0.1))
    assert not np.isfinite(result.anomaly_score)
    assert np.all(result.anomaly_image[~cells_inside(view, 96, 64)] == 0)


def test_a_region_of_a_broken_map_stays_inside() -> None:
    view = DomainView(TRIANGLE, is_crop=True)
    region = find_anomaly_region(
        np.full((64, 96), np.nan, np.float32), width=WIDTH, height=HEIGHT, threshold=0.5, view=view
    )
    assert region is not None
    np.testing.assert_array_equal(decode_region(region), pixels_inside(TRIANGLE, WIDTH, HEIGHT))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_a_gpu_sees_the_same(handling: Handling) -> None:
    image = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    param = a_param(handling, TRIANGLE, "all_channels")
    here, there = (preprocess_images([image], param, torch.device(name)).cpu() for name in ("cpu", "cuda"))
    torch.testing.assert_close(here, there, rtol=1e-4, atol=1e-4)
    distances = torch.rand(1, *((4, 6) if handling == "crop_domain" else (8, 12)))
    one, other = (pending(distances.to(name), param.view, ScoreRule(top_share=0.2)) for name in ("cpu", "cuda"))
    assert one.anomaly_score == pytest.approx(other.anomaly_score, rel=1e-5)
    np.testing.assert_allclose(one.anomaly_image, other.anomaly_image, rtol=1e-4)
