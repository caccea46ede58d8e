from __future__ import annotations

import pytest

from tests.unit.trainer.charts.marks import marks, words
from trainer.charts.inline import pie_charts
from trainer.evaluation.confusion import Share, precision_shares


def test_pies_say_shares_and_counts() -> None:
    svg = pie_charts(precision_shares(((3, 1), (0, 0))), "Precision <of>")
    assert "75\u00a0% (3 of 4)" in words(svg)
    assert 'aria-label="Precision &lt;of&gt;"' in svg
    assert len(marks(svg, "slice ok")) == len(marks(svg, "slice wrong")) == 1
    assert marks(svg, "slice ok")[0].title == "ok: 75\u00a0% (3 of 4)"


def test_a_class_without_images_is_said_to_have_none() -> None:
    svg = pie_charts(precision_shares(((3, 1), (0, 0))), "Precision")
    assert words(svg) == ["ok", "75\u00a0% (3 of 4)", "nok", "no image"]
    (empty,) = marks(svg, "slice none")
    assert "stroke-dasharray" in empty.style
    assert not marks(svg, "slice nok")


def test_the_slice_of_a_pie_begins_at_the_top_and_goes_right() -> None:
    (right,) = marks(pie_charts((Share("ok", 1, 2), Share("nok", 1, 2)), "Recall"), "slice ok")[:1]
    middle = right.points[0][0]
    assert right.left == pytest.approx(middle, abs=0.02)
    assert right.right > middle + 50


@pytest.mark.parametrize(("right", "kind"), [(0, "wrong"), (5, "ok")])
def test_a_whole_pie_is_one_slice(right: int, kind: str) -> None:
    svg = pie_charts((Share("ok", right, 5), Share("nok", 1, 2)), "Recall")
    slices = [mark for k in ("ok", "wrong") for mark in marks(svg, f"slice {k}") if mark.title.startswith("ok: ")]
    assert slices == marks(svg, f"slice {kind}")[: len(slices)]
    assert len(slices) == 1
