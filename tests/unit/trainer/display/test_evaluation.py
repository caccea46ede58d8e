from __future__ import annotations

import itertools
import math
import re
from pathlib import Path
from xml.etree import ElementTree as ET

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from trainer.display.evaluation import (
    DISPLAY_MODES,
    EvaluationDisplayParam,
    EvaluationFigures,
    dev_display_anomaly_detection_evaluation,
    training_error_curve,
)
from trainer.display.files import show_evaluation, show_training
from trainer.display.plots import least_epoch
from trainer.errors import SettingsError
from trainer.evaluation.confusion import (
    Matrix,
    ScoreHistogram,
    Share,
    anomaly_score_histogram,
    precision_shares,
    recall_shares,
    step_curve,
)
from trainer.evaluation.image_measures import class_scores
from trainer.report.curves import score_curves, training_curve
from trainer.report.pies import pie_charts
from trainer.report.ticks import nice_ticks

OK, NOK = [0.1, 0.2, 0.3, 0.55], [0.45, 0.6, 0.8]
MATRIX: Matrix = ((3, 1), (1, 2))
FIGURES = EvaluationFigures(OK, NOK, [0.5], [MATRIX], [0.55, 0.45, 0.52])
GREEN, ORANGE = (18, 128, 111), (194, 65, 12)


def drawn(picture: NDArray[np.uint8], colour: tuple[int, int, int]) -> int:
    return int((np.abs(picture.astype(int) - colour) <= 8).all(axis=2).sum())


def figures(
    ok: list[float], nok: list[float], matrix: Matrix = MATRIX, *, estimated: tuple[float, ...] = ()
) -> EvaluationFigures:
    return EvaluationFigures(ok, nok, [0.5], [matrix], estimated)


def test_every_mode_is_a_file_that_can_be_read(tmp_path: Path) -> None:
    written = show_evaluation(tmp_path, FIGURES, param=EvaluationDisplayParam(display_mode=("all",)))
    assert [path.stem for path in written] == list(DISPLAY_MODES)
    for path in written:
        picture = cv2.imread(str(path))
        assert picture is not None
        assert min(picture.shape[:2]) > 400
        assert 0.02 < (picture < 250).any(axis=2).mean() < 0.9, "neither empty nor full"


def test_histogram_and_legend_are_the_default() -> None:
    assert set(dev_display_anomaly_detection_evaluation(FIGURES)) == {"score_histogram", "score_legend"}


def test_a_faultless_matrix_has_nothing_in_orange() -> None:
    param = EvaluationDisplayParam(display_mode=("absolute_confusion_matrix",))
    (right,) = dev_display_anomaly_detection_evaluation(figures(OK, NOK, ((4, 0), (0, 3))), param=param).values()
    (wrong,) = dev_display_anomaly_detection_evaluation(figures(OK, NOK, ((3, 1), (1, 2))), param=param).values()
    assert drawn(right, ORANGE) == 0
    assert drawn(right, GREEN) > 100
    assert drawn(wrong, ORANGE) > 100


def test_the_slice_of_a_pie_is_as_large_as_its_share() -> None:
    param = EvaluationDisplayParam(display_mode=("pie_charts_recall",))

    def green(ok_right: int) -> int:
        shown = figures(OK, NOK, ((ok_right, 1), (8 - ok_right, 2)))
        (picture,) = dev_display_anomaly_detection_evaluation(shown, param=param).values()
        return drawn(picture, GREEN)

    assert green(4) / green(8) == pytest.approx(0.5, abs=0.04)
    assert green(2) / green(8) == pytest.approx(0.25, abs=0.04)


@pytest.mark.parametrize(("ok", "nok"), [(OK, []), ([], NOK), ([0.0], [0.0]), ([math.nan, 0.2], [math.inf])])
def test_classes_without_scores_are_drawn_too(ok: list[float], nok: list[float]) -> None:
    empty: Matrix = ((len(ok), 0), (0, len(nok)))
    param = EvaluationDisplayParam(display_mode=("all",))
    assert len(dev_display_anomaly_detection_evaluation(figures(ok, nok, empty), param=param)) == len(DISPLAY_MODES)


def test_the_range_of_the_histogram_is_cut_as_asked() -> None:
    (whole,) = dev_display_anomaly_detection_evaluation(
        figures(OK, NOK), param=EvaluationDisplayParam(display_mode=("score_histogram",))
    ).values()
    cut_param = EvaluationDisplayParam(display_mode=("score_histogram",), histogram_min=0.4, histogram_max=0.5)
    (cut,) = dev_display_anomaly_detection_evaluation(figures(OK, NOK), param=cut_param).values()
    assert cut.shape == whole.shape
    assert (cut != whole).any()
    with pytest.raises(SettingsError, match="histogram_max must exceed histogram_min"):
        EvaluationDisplayParam(histogram_min=0.5, histogram_max=0.5)


def test_numbers_that_do_not_belong_together_are_refused() -> None:
    show = dev_display_anomaly_detection_evaluation
    with pytest.raises(SettingsError, match="no finite score to draw"):
        show(figures([math.nan], []))
    with pytest.raises(SettingsError, match="at most 3 estimated thresholds can be shown, got 4"):
        show(figures(OK, NOK, estimated=(0.1, 0.2, 0.3, 0.4)))
    with pytest.raises(SettingsError, match="got 1 thresholds and 0 matrices"):
        show(EvaluationFigures(OK, NOK, [0.5], []))
    with pytest.raises(SettingsError, match="classification_threshold_index is 1, and 1 thresholds were judged"):
        show(FIGURES, param=EvaluationDisplayParam(display_mode=("all",), classification_threshold_index=1))
    with pytest.raises(SettingsError, match="counts of 0 and more"):
        show(figures(OK, NOK, ((-1, 0), (0, 0))))


def test_training_curve_as_file(tmp_path: Path) -> None:
    path = show_training(tmp_path, [0.5, 0.2, math.nan, 0.3])
    picture = cv2.imread(str(path))
    assert picture is not None
    assert drawn(np.ascontiguousarray(picture[..., ::-1], dtype=np.uint8), GREEN) > 50, "the best epoch is marked"
    assert training_error_curve([0.1]).shape == picture.shape


# ---------------------------------------------------------------------------------------------------------------- svg


def points(svg: str, style: str) -> list[tuple[float, float]]:
    for line in ET.fromstring(svg).iter("polyline"):  # noqa: S314 - our own output
        if line.get("class") == f"curve {style}":
            return [(float(x), float(y)) for x, y in (pair.split(",") for pair in line.get("points", "").split())]
    raise AssertionError(f"no curve {style}")


def histogram(ok: list[float], nok: list[float]) -> ScoreHistogram:
    return anomaly_score_histogram(class_scores(ok, nok))


def test_step_curves_are_those_of_the_histogram() -> None:
    """Also where a score is no number: it is nok, at any threshold."""
    ok, nok = [0.3, 0.1, 0.3, 0.7, math.nan], [0.2, 0.9, math.nan]
    found = histogram(ok, nok)
    falling, rising = step_curve(found, "ok"), step_curve(found, "nok")
    for x in (0.1, 0.3, 0.7):
        assert max(y for px, y in falling if px == x) == found.ok_y[found.ok_x.index(x)]
        assert min(y for px, y in falling if px == x) == pytest.approx(sum(not s <= x for s in ok) / 5)
    for x in (0.2, 0.9):
        assert max(y for px, y in rising if px == x) == found.nok_y[found.nok_x.index(x)]
        assert max(y for px, y in rising if px == x) == pytest.approx(sum(s <= x for s in nok) / 3)
    assert [falling[0][1], falling[-1][1]] == pytest.approx([1.0, 1 / 5])
    assert [rising[0][1], rising[-1][1]] == pytest.approx([0.0, 2 / 3])
    assert step_curve(histogram([], nok), "ok") == []


def test_a_curve_with_scores_that_are_no_numbers_ends_short_of_its_goal() -> None:
    flat = points(score_curves(histogram([0.1], [math.nan]), []), "nok")
    assert {y for _, y in flat} == {max(y for _, y in flat)}, "none of these is ever called ok"
    both, half = (points(score_curves(histogram([0.1], nok), []), "nok") for nok in ([0.2, 0.9], [0.2, math.nan]))
    (_, bottom), (_, top) = both[0], both[-1]
    assert half[-1][1] == pytest.approx((bottom + top) / 2, abs=0.1)


def test_ok_falls_and_nok_rises_over_the_whole_width() -> None:
    svg = score_curves(histogram(OK, NOK), [0.5])
    ok, nok = points(svg, "ok"), points(svg, "nok")
    assert all(b[1] >= a[1] for a, b in itertools.pairwise(ok)), "downwards is larger y"
    assert all(b[1] <= a[1] for a, b in itertools.pairwise(nok))
    assert ok[0][0] == nok[0][0]
    assert ok[-1][0] == nok[-1][0]
    assert "threshold 0.5" in svg


@pytest.mark.parametrize("scores", [[0.5], [0.0, 0.0]])
def test_one_value_has_a_curve(scores: list[float]) -> None:
    assert points(score_curves(histogram(scores, []), [scores[0]]), "ok")


def test_score_curves_of_nothing_are_refused() -> None:
    with pytest.raises(SettingsError, match="no finite score"):
        score_curves(histogram([], [math.nan]), [0.5])


def test_training_curve_marks_the_best_epoch() -> None:
    errors = [0.5, 0.2, 0.1, 0.3]
    svg = training_curve(errors)
    assert "best: 0.1 in epoch 3" in svg
    curve = points(svg, "error")
    circle = next(ET.fromstring(svg).iter("circle"))  # noqa: S314 - our own output
    assert (float(circle.get("cx", "")), float(circle.get("cy", ""))) == pytest.approx(curve[2], abs=0.2)
    assert max(y for _, y in curve) == pytest.approx(curve[2][1]), "the lowest point"
    assert "best: 0.2 in epoch 2" in training_curve(errors, best_epoch=2)


@pytest.mark.parametrize("errors", [[0.4], [0.0, 0.0], [0.2, math.inf, 0.1], [1.0 / (i + 1) for i in range(3000)]])
def test_training_of_any_length_has_a_curve_of_bounded_size(errors: list[float]) -> None:
    svg = training_curve(errors)
    assert len(svg) < 30_000
    assert re.search(r"nan|inf(?!o)", svg) is None


@pytest.mark.parametrize(
    ("errors", "best"), [([], None), ([math.nan], None), ([0.1], 2), ([0.1, math.nan], 2), ([0.1], 0)]
)
def test_epochs_that_are_none_are_refused(errors: list[float], best: int | None) -> None:
    with pytest.raises(SettingsError, match="no finite"):
        least_epoch(errors, best)


def test_pies_say_precision_and_recall() -> None:
    assert precision_shares(MATRIX) == (Share("ok", 3, 4), Share("nok", 2, 3))
    assert recall_shares(MATRIX) == (Share("ok", 3, 4), Share("nok", 2, 3))
    assert recall_shares(((3, 2), (1, 8))) == (Share("ok", 3, 4), Share("nok", 8, 10))
    assert precision_shares(((3, 2), (1, 8))) == (Share("ok", 3, 5), Share("nok", 8, 9))
    svg = pie_charts(precision_shares(((3, 1), (0, 0))), "Precision <of>")
    ET.fromstring(svg)  # noqa: S314 - our own output
    assert "75\u00a0% (3 of 4)" in svg
    assert "no image" in svg
    assert 'class="slice none"' in svg
    assert "&lt;of&gt;" in svg


@pytest.mark.parametrize(("right", "style"), [(0, "wrong"), (5, "ok")])
def test_a_whole_pie_is_a_circle(right: int, style: str) -> None:
    svg = pie_charts((Share("ok", right, 5), Share("nok", 1, 2)), "Recall")
    assert f'<circle class="slice {style}" cx="110.0"' in svg


def test_ticks_are_round() -> None:
    assert [text for _, text in nice_ticks(0.0, 1.0, count=5)] == ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]
    assert [text for _, text in nice_ticks(3.0, 31.0)] == ["5", "10", "15", "20", "25", "30"]
