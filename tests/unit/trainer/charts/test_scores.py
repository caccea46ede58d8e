from __future__ import annotations

import itertools
import math

import pytest

from tests.unit.trainer.charts.marks import marks, threshold_x, words
from trainer.charts.inline import score_curves
from trainer.errors import SettingsError
from trainer.evaluation.confusion import ScoreHistogram, anomaly_score_histogram
from trainer.evaluation.image_measures import class_scores

OK, NOK = [0.1, 0.2, 0.3, 0.55], [0.45, 0.6, 0.8]


def curves_of(ok: list[float], nok: list[float]) -> ScoreHistogram:
    return anomaly_score_histogram(class_scores(ok, nok))


def test_a_curve_with_scores_that_are_no_numbers_ends_short_of_its_goal() -> None:
    (flat,) = marks(score_curves(curves_of([0.1], [math.nan]), 0.5), "curve nok")
    assert len({y for _, y in flat.points}) == 1, "none of these is ever called ok"
    both, half = (
        marks(score_curves(curves_of([0.1], nok), 0.5), "curve nok")[0] for nok in ([0.2, 0.9], [0.2, math.nan])
    )
    (_, bottom), (_, top) = both.points[0], both.points[-1]
    assert half.points[-1][1] == pytest.approx((bottom + top) / 2, abs=0.1)


def test_ok_falls_and_nok_rises_over_the_whole_width() -> None:
    svg = score_curves(curves_of(OK, NOK), 0.5)
    (ok,), (nok,) = marks(svg, "curve ok"), marks(svg, "curve nok")
    assert all(b[1] >= a[1] for a, b in itertools.pairwise(ok.points)), "downwards is larger y"
    assert all(b[1] <= a[1] for a, b in itertools.pairwise(nok.points))
    assert (ok.left, ok.right) == (nok.left, nok.right)
    assert ok.left < threshold_x(svg) < ok.right
    assert "threshold 0.5" in words(svg)
    assert "100\u00a0%" in words(svg)


def test_steps_are_where_the_scores_are() -> None:
    (ok,) = marks(score_curves(curves_of([0.0, 1.0], [0.5]), 0.5), "curve ok")
    middle, half = (ok.left + ok.right) / 2, (ok.points[0][1] + ok.points[-1][1]) / 2
    assert any(x < middle and y == pytest.approx(half, abs=0.1) for x, y in ok.points)
    assert any(x > middle and y == pytest.approx(half, abs=0.1) for x, y in ok.points)


@pytest.mark.parametrize("scores", [[0.5], [0.0, 0.0]])
def test_one_value_has_a_curve(scores: list[float]) -> None:
    assert marks(score_curves(curves_of(scores, []), scores[0]), "curve ok")


def test_score_curves_of_nothing_are_refused() -> None:
    with pytest.raises(SettingsError, match="no finite score"):
        score_curves(curves_of([], [math.nan]), 0.5)


def test_a_chart_is_there_for_a_wide_screen_and_for_a_phone() -> None:
    svg = score_curves(curves_of(OK, NOK), 0.5)
    assert svg.count('class="chart wide" viewBox="0 0 960 320"') == 1
    assert svg.count('class="chart narrow" viewBox="0 0 400 320"') == 1
