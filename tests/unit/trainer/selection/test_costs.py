"""Costs are reckoned: the same on every machine, in the order of the measured table."""

from __future__ import annotations

from typing import Any

import pytest

from inspector.anomaly.model.param import DLModelParam
from trainer.selection.costs import nominal_cost_ms


def cost(**values: Any) -> float:
    return nominal_cost_ms(DLModelParam(**values))


def test_larger_networks_inputs_and_banks_cost_more() -> None:
    names = [f"efficientnet_lite{number}" for number in range(3)]
    by_backbone = [cost(detector="padim", backbone=name) for name in names]
    assert by_backbone == sorted(set(by_backbone))
    assert cost(image_width=512, image_height=256) == pytest.approx(2 * cost())
    assert cost(detector="patchcore", coreset=8000) > cost(detector="patchcore", coreset=1000) + 7
    assert cost(detector="fused") > cost(detector="patchcore")
    # A grid of half the resolution has a quarter of the positions.
    assert cost(detector="fused", grid_level=3) < cost(detector="fused") - 3


def test_nothing_is_known_of_another_backbone() -> None:
    with pytest.raises(ValueError, match="nothing is known of the speed of timm:resnet18"):
        cost(backbone="timm:resnet18")
