"""The report's section on how the model was chosen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from inspector.anomaly.model.param import DLModelParam
from tests.unit.trainer.report.test_page import plain_page, report
from trainer.report.page import render_report
from trainer.report.selection import selection_section
from trainer.selection.criterion import Gain, SyntheticScores
from trainer.selection.result import ModelSelection, ShownDefect, TriedModel

SCORES = SyntheticScores(np.array([1.0, 2.0]), np.array([[3.0], [1.5]]), np.zeros(2, np.int64), np.arange(2))
DEFAULT, OTHER, SLOW = (
    DLModelParam(detector="fused", feature_normalization=kind) for kind in ("both", "vector", "level")
)


def selection() -> ModelSelection:
    mask = np.zeros((40, 60), np.bool_)
    mask[10:20, 10:20] = True
    return ModelSelection(
        OTHER,
        (
            TriedModel(DEFAULT, 1.0, SCORES),
            TriedModel(OTHER, 1.0, SCORES, Gain(0.031, 0.006)),
            TriedModel(SLOW, 2.5, left_out="too slow: 2.5 times"),
        ),
        "it is better",
        image_ids=(3, 4),
        n_defects=2,
        fps=12.34,
        min_fps=5,
        shown=(ShownDefect("<a>.png", np.full((40, 60), 90, np.uint8), mask, "blot"),),
    )


def test_all_that_was_tried_is_listed_with_its_figures() -> None:
    section = selection_section(selection())
    assert [row.remark for row in section.rows] == ["", "chosen", "too slow: 2.5 times"]
    assert [row.gain for row in section.rows] == ["", "+0.031 \u00b1 0.006", ""]
    assert [row.auroc for row in section.rows] == ["0.750", "0.750", ""]
    assert section.text.startswith(
        "Chosen: fused (vector) on efficientnet_lite0, 256 x 256 px, of 2 models tried on 2 "
    )
    assert "painted into 2 of the ok images" in section.text
    assert "12.3 frames per second on one core" in section.text


def test_defects_are_shown_with_their_outlines() -> None:
    (picture,) = selection_section(selection()).pictures
    assert (picture.name, picture.kind, picture.picture.shape) == ("<a>.png", "blot", (40, 60, 3))
    assert (picture.picture != 90).any()


def test_the_page_has_the_section_only_where_something_was_chosen() -> None:
    page = render_report(replace(report(), selection=selection_section(selection())))
    assert "How the model was chosen" in page
    assert "&lt;a&gt;.png with a synthetic defect, blot" in page
    assert "How the model was chosen" not in plain_page()
