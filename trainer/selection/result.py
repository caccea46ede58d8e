"""The outcome of a selection: which models were tried, how each did, which one was chosen and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inspector.anomaly.model.param import DLModelParam
from trainer.selection.criterion import Gain, SyntheticScores
from trainer.synthesis.defects import Defect, DefectKind
from trainer.wording import as_figure


@dataclass(frozen=True, slots=True)
class TriedModel:
    """A candidate and how it did.

    Attributes:
        param: What it is made of.
        cost: Its cost per picture, relative to the default's; the same on every machine.
        scores: Of the held-out pictures and the defects in them; None where it was not tried.
        gain: Over the default; None for that itself, and where it was not tried.
        left_out: Why it was not tried; empty where it was.
    """

    param: DLModelParam
    cost: float
    scores: SyntheticScores | None = None
    gain: Gain | None = None
    left_out: str = ""

    @property
    def name(self) -> str:
        """Detector, backbone and input size."""
        return model_name(self.param)

    def as_json(self) -> dict[str, Any]:
        """For the bundle's record and `trainer fit --json`."""
        return {
            "name": self.name,
            "detector": self.param.detector,
            "backbone": self.param.backbone,
            "feature_normalization": self.param.feature_normalization,
            "image_width": self.param.image_width,
            "image_height": self.param.image_height,
            "relative_cost": round(self.cost, 3),
            "synthetic_auroc": None if self.scores is None else round(self.scores.auroc, 6),
            "gain": None if self.gain is None else round(self.gain.difference, 6),
            "gain_standard_error": None if self.gain is None else round(self.gain.error, 6),
            "left_out": self.left_out or None,
        }


@dataclass(frozen=True, slots=True)
class ShownDefect:
    """A synthetic defect for the report.

    Attributes:
        image_file_name: Of the ok image that it was painted into.
        picture: (H, W) gray or (H, W, 3) RGB uint8.
        mask: (H, W), True where the defect is.
        kind: Of the defect.
    """

    image_file_name: str
    picture: NDArray[np.uint8]
    mask: NDArray[np.bool_]
    kind: DefectKind

    @classmethod
    def of(cls, image_file_name: str, defect: Defect) -> ShownDefect:
        """The defect, with the image's name."""
        return cls(image_file_name, defect.picture, defect.mask, defect.kind)


@dataclass(frozen=True, slots=True)
class ModelSelection:
    """The outcome of a selection.

    Attributes:
        param: Of the chosen model.
        tried: All candidates, the default first.
        reason: Why that one was chosen, in a sentence.
        image_ids: The ok images that each candidate was tried on, those of each fold by a model of the other folds.
        n_defects: Synthetic defects that it was tried on.
        min_fps: Frames a second that were asked for; None where nothing was.
        fps: Frames a second that the default reached on one core of this machine; None where nothing was asked for.
        shown: Some of the defects.
        seconds: What the selection took.
    """

    param: DLModelParam
    tried: tuple[TriedModel, ...]
    reason: str
    image_ids: tuple[int, ...] = ()
    n_defects: int = 0
    min_fps: float | None = None
    fps: float | None = None
    shown: tuple[ShownDefect, ...] = ()
    seconds: float = 0.0

    @property
    def n_images(self) -> int:
        """Ok images that each candidate was tried on."""
        return len(self.image_ids)

    @property
    def chosen(self) -> TriedModel:
        """The chosen one among those that were tried."""
        return next(one for one in self.tried if one.param == self.param)

    @property
    def warning(self) -> str | None:
        """That no model is as fast as was asked for; None where one is, or nothing was asked for or tried."""
        if self.min_fps is None or not self.n_images or not self.chosen.left_out:
            return None
        return (
            f"no model that was considered reaches the {self.min_fps:g} frames/s of --min-fps on one core of this machine: {self.chosen.left_out}; "
            "lower --min-fps, or spread the cameras over more cores"
        )

    @property
    def sentence(self) -> str:
        """What was chosen, of how many, and why."""
        tried = sum(one.scores is not None for one in self.tried)
        of = f", of {tried} models tried on {self.n_defects} synthetic defects in {self.n_images} ok images" * bool(
            tried
        )
        return f"{model_name(self.param)}{of}: {self.reason}"

    def as_json(self) -> dict[str, Any]:
        """For the bundle's record and `trainer fit --json`."""
        return {
            "chosen": model_name(self.param),
            "reason": self.reason,
            "n_images": self.n_images,
            "n_defects": self.n_defects,
            "min_fps": self.min_fps,
            "measured_fps": None if self.fps is None else round(self.fps, 1),
            "tried": [one.as_json() for one in self.tried],
            "seconds": round(self.seconds, 3),
        }


def model_name(param: DLModelParam) -> str:
    """Detector, normalisation, backbone and input size, as in `fused (vector) on efficientnet_lite0, 256 x 256 px`."""
    return f"{param.detector} ({param.feature_normalization}) on {param.backbone}, {param.image_width} x {param.image_height} px"


def reason_for(chosen: TriedModel, default: TriedModel, first: TriedModel | None = None) -> str:
    """Why a candidate was chosen that was tried, or the default kept.

    Args:
        chosen: By the rule.
        default: The first candidate that may be chosen.
        first: The default, where it may not be chosen itself.
    """
    kept = "" if default.scores is None else as_figure(default.scores.auroc)
    beside, before = "the default", ""
    if first is not None and first.left_out:
        beside, before = default.name, f"the default is left out ({first.left_out}); "
    if chosen.gain is None or chosen.scores is None:
        return (
            f"{before}no other model separates synthetic defects from ok images significantly better than {beside} "
            f"(AUROC {kept})"
        )
    by, error = chosen.gain.difference, chosen.gain.error
    return (
        f"{before}it separates synthetic defects from ok images better than {beside}: AUROC "
        f"{as_figure(chosen.scores.auroc)} instead of {kept}, {by:.3f} more with a standard error of {error:.3f}"
    )
