from __future__ import annotations

import math

import numpy as np
import pytest

from tests.unit.trainer.charts.marks import marks, threshold_x, wide, words
from trainer.charts.inline import score_histogram
from trainer.charts.rows import ScoreRow

OK, NOK = [0.1, 0.2, 0.3, 0.55], [0.45, 0.6, 0.8]


def bars(svg: str, kind: str) -> list[tuple[float, float, int]]:
    """Left, right and count of each bar of a row."""
    return [(bar.left, bar.right, int(bar.title.split(": ")[1].split()[0])) for bar in marks(svg, f"bar {kind}")]


def test_bars_count_every_image_on_its_side_of_the_threshold() -> None:
    ok, nok = [0.1, 0.2, 0.2, 0.499999], [0.5, 0.500001, 0.9]
    svg = score_histogram([ScoreRow("ok", "", "ok", ok), ScoreRow("nok", "", "nok", nok)], 0.5)
    line = threshold_x(svg)
    assert sum(count for _, right, count in bars(svg, "ok") if right <= line) == 4
    assert sum(count for left, _, count in bars(svg, "nok") if left >= line) == 3
    assert len(bars(svg, "ok")) == 3


def test_a_bar_is_as_high_as_its_count_and_says_its_scores() -> None:
    svg = score_histogram([ScoreRow("ok", "", "ok", [0.1, 0.1, 0.1, 0.1, 0.3])], 0.5)
    tall, small = marks(svg, "bar ok")
    heights = [max(y for _, y in bar.points) - min(y for _, y in bar.points) for bar in (tall, small)]
    assert heights[0] == pytest.approx(4 * heights[1], rel=0.01)
    assert (tall.title.split(": ")[1], small.title.split(": ")[1]) == ("4 images", "1 image")
    low, high = map(float, tall.title.split(":")[0].split(" to "))
    assert low <= 0.1 < high
    assert "4" in words(svg), "the count of the tallest"


def test_rows_say_what_they_are_and_the_threshold_what_it_does() -> None:
    rows = [ScoreRow("ok, test", "1 of 4 rejected", "ok", OK), ScoreRow("nok, test", "2 of 3 found", "nok", NOK)]
    said = words(score_histogram(rows, 0.5))
    for text in ("ok, test", "1 of 4 rejected", "nok, test", "2 of 3 found"):
        assert text in said
    for text in ("threshold 0.5", "\u2190 called ok", "called nok \u2192", "anomaly score"):
        assert text in said


def test_rows_have_the_colour_of_their_kind() -> None:
    svg = score_histogram([ScoreRow("held out", "", "calibration", OK), ScoreRow("nok", "", "nok", NOK)], 0.5)
    assert {bar.style for bar in marks(svg, "bar calibration")} == {"fill: var(--calibration)"}
    assert {bar.style for bar in marks(svg, "bar nok")} == {"fill: var(--nok)"}


def test_rows_without_scores_and_scores_without_value_are_left_out() -> None:
    rows = [ScoreRow("empty", "", "calibration", []), ScoreRow("nok", "", "nok", [0.7, math.nan, math.inf])]
    svg = score_histogram(rows, 0.5)
    assert "empty" not in svg
    assert [count for *_, count in bars(svg, "nok")] == [1]


@pytest.mark.parametrize("scores", [[0.5], [0.0], [0.5, 0.5]])
def test_histogram_of_one_value_is_drawn(scores: list[float]) -> None:
    svg = score_histogram([ScoreRow("ok", "", "ok", scores)], scores[0])
    assert sum(count for *_, count in bars(svg, "ok")) == len(scores)


def test_labels_are_shown_as_they_are() -> None:
    svg = score_histogram([ScoreRow("a<b", "$c$ & $d$", "ok", [0.1])], 0.5)
    assert "a&lt;b" in svg
    assert "$c$ & $d$" in words(svg)


@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.5, 1.0])
def test_nothing_is_written_outside_the_chart(threshold: float) -> None:
    """In letters as wide as any; where the line is at an edge, too."""
    rows = [ScoreRow("ok, cross-validated", "31 images", "ok", np.linspace(0.01, 0.99, 30).tolist())]
    for svg in score_histogram(rows, threshold).split("\n"):
        root = wide(svg)
        width = float(root.get("viewBox", "").split()[2])
        for text in root.iter("text"):
            x, style, letters = float(text.get("x", "0")), text.get("style", ""), len(text.text or "")
            before = {"end": 1.0, "middle": 0.5}.get(
                next((a for a in ("end", "middle") if f"anchor: {a}" in style), ""), 0
            )
            assert x - before * letters * 6.4 >= 0, text.text
            assert x + (1 - before) * letters * 6.4 <= width, text.text
