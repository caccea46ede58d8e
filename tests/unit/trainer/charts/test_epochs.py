from __future__ import annotations

import math
import re

import pytest

from tests.unit.trainer.charts.marks import marks, wide, words
from trainer.charts.epochs import least_epoch
from trainer.charts.inline import training_curve
from trainer.errors import SettingsError


def test_training_curve_marks_the_best_epoch() -> None:
    errors = [0.5, 0.2, 0.1, 0.3]
    svg = training_curve(errors)
    assert "best: 0.1 in epoch 3" in words(svg)
    (curve,), (best,) = marks(svg, "curve error"), marks(svg, "best")
    assert best.title == "best: 0.1 in epoch 3"
    circle = wide(svg).find("./g[@class='best']/circle")
    assert circle is not None
    assert (float(circle.get("cx", "")), float(circle.get("cy", ""))) == pytest.approx(curve.points[2], abs=0.02)
    assert max(y for _, y in curve.points) == curve.points[2][1], "the lowest point"
    assert "best: 0.2 in epoch 2" in words(training_curve(errors, best_epoch=2))


def test_an_error_that_is_no_number_leaves_a_gap() -> None:
    svg = training_curve([0.4, 0.3, math.nan, 0.2, 0.1])
    path = wide(svg).find("./g[@class='curve error']/path")
    assert path is not None
    assert path.get("d", "").count("M") == 2
    assert len(wide(svg).findall("./g[@class='curve error']/circle")) == 4


@pytest.mark.parametrize("errors", [[0.4], [0.0, 0.0], [0.2, math.inf, 0.1], [1.0 / (i + 1) for i in range(3000)]])
def test_training_of_any_length_has_a_curve_of_bounded_size(errors: list[float]) -> None:
    svg = training_curve(errors)
    assert len(svg) < 60_000
    assert re.search(r"nan|inf(?!o)", svg) is None


@pytest.mark.parametrize(
    ("errors", "best"), [([], None), ([math.nan], None), ([0.1], 2), ([0.1, math.nan], 2), ([0.1], 0)]
)
def test_epochs_that_are_none_are_refused(errors: list[float], best: int | None) -> None:
    with pytest.raises(SettingsError, match="no finite"):
        least_epoch(errors, best)
