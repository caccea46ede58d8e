"""What the report says about how the model was chosen: what was tried, with figures, and pictures of synthetic defects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainer.display.picture import outline_mask, shrink
from trainer.selection.result import ModelSelection, TriedModel
from trainer.wording import as_figure


@dataclass(frozen=True, slots=True)
class TriedRow:
    """A row of the table of what was tried, as text."""

    name: str
    auroc: str
    gain: str
    cost: str
    remark: str


@dataclass(frozen=True, slots=True)
class DefectPicture:
    """A synthetic defect with its outline; `picture` is (H, W, 3) RGB uint8."""

    name: str
    kind: str
    picture: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class SelectionSection:
    """The section of the report."""

    text: str
    rows: Sequence[TriedRow]
    pictures: Sequence[DefectPicture]


def selection_section(selection: ModelSelection) -> SelectionSection:
    """Put a selection into words and pictures."""
    tried = (
        f" Small synthetic defects were painted into {selection.n_images} of the ok images. In turn, each model was "
        "trained on two thirds of these images and scored the others, with and without defects. No nok image and no "
        "test image was used."
    )
    speed = (
        ""
        if selection.fps is None
        else f" The first one computes {selection.fps:.1f} frames per second on one core of this machine."
    )
    return SelectionSection(
        text=f"Chosen: {selection.sentence}.{tried * bool(selection.n_images)}{speed}",
        rows=[_row(one, is_chosen=one.param == selection.param) for one in selection.tried],
        pictures=[
            DefectPicture(one.image_file_name, one.kind, outline_mask(shrink(one.picture), one.mask))
            for one in selection.shown
        ],
    )


def _row(one: TriedModel, *, is_chosen: bool) -> TriedRow:
    gain = "" if one.gain is None else f"{one.gain.difference:+.3f} \u00b1 {one.gain.error:.3f}"
    auroc = "" if one.scores is None else as_figure(one.scores.auroc)
    return TriedRow(one.name, auroc, gain, f"{one.cost:.2f}", "chosen" if is_chosen else one.left_out)
