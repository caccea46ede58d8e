"""dev_display_dl_data: an image, its ground truth and the model's result, as pictures."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from inspector.anomaly.preprocess.samples import name_of
from inspector.anomaly.types import DLResult, DLSample, Thresholds
from inspector.anomaly.verdict.draw import Colour, draw_region_outlines, verdict_frame
from inspector.anomaly.verdict.threshold import threshold_dl_anomaly_results
from trainer.display.heat_map import HeatmapScheme, heat_map
from trainer.display.legend import Legend, add_legend
from trainer.display.picture import outline_mask
from trainer.errors import SettingsError
from trainer.parameters import StageParameters

DisplayKey = Literal["image", "anomaly_ground_truth", "anomaly_result", "anomaly_both", "anomaly_image"]
DISPLAY_KEYS: tuple[DisplayKey, ...] = (
    "image",
    "anomaly_ground_truth",
    "anomaly_result",
    "anomaly_both",
    "anomaly_image",
)

WINDOW = 800
"""Longest side of a picture at `scale_windows` 1, pixels."""

_COLOUR = re.compile(r"#[0-9a-fA-F]{6}([0-9a-fA-F]{2})?")
_OPAQUE = 255
_RGBA_LENGTH = 9
_GRAY_DIMENSIONS = 2


class DisplayParam(StageParameters):
    """How pictures are drawn; the names are HALCON's.

    Attributes:
        heatmap_color_scheme: "threshold" is the project's own, the others are HALCON's (whose default is "jet").
        anomaly_region_threshold: Tried out instead of the result's segmentation threshold; nothing is scored again.
        anomaly_classification_threshold: Tried out instead of the result's.
        min_area: Smaller parts of a region are left out when a threshold is tried out, original pixels.
        anomaly_region_result_color: #rrggbb or #rrggbbaa, of the region found.
        anomaly_region_label_color: The same, of the region labelled.
        line_width: Of outlines, pixels; None suits the size of the picture.
        display_legend: Class, score and thresholds beside the picture.
        display_bottom_desc: What is shown, below it.
        display_ground_truth_anomaly_regions: Whether "anomaly_both" shows the label.
        scale_windows: 1 is a longest side of 800 pixels.
        font_size: Of the letters, pixels.
    """

    refusal: ClassVar[type[SettingsError]] = SettingsError

    heatmap_color_scheme: HeatmapScheme = "threshold"
    anomaly_region_threshold: float | None = Field(default=None, gt=0, lt=1)
    anomaly_classification_threshold: float | None = Field(default=None, gt=0, lt=1)
    min_area: int = Field(default=1, ge=1)
    anomaly_region_result_color: str = "#ff2d2d"
    anomaly_region_label_color: str = "#40e0d0"
    line_width: int | None = Field(default=None, ge=1, le=50)
    display_legend: bool = True
    display_bottom_desc: bool = True
    display_ground_truth_anomaly_regions: bool = True
    scale_windows: float = Field(default=0.8, gt=0, le=5)
    font_size: int = Field(default=14, ge=6, le=72)

    @field_validator("anomaly_region_result_color", "anomaly_region_label_color")
    @classmethod
    def _is_colour(cls, value: str) -> str:
        if not _COLOUR.fullmatch(value):
            raise ValueError(f"a colour is #rrggbb or #rrggbbaa, got {value!r}")
        return value


def dev_display_dl_data(
    sample: DLSample,
    result: DLResult | None = None,
    ground_truth: NDArray[np.bool_] | None = None,
    *,
    keys: Sequence[DisplayKey] = ("anomaly_both", "anomaly_image"),
    param: DisplayParam | None = None,
) -> dict[DisplayKey, NDArray[np.uint8]]:
    """Draw a picture for each key.

    "anomaly_both" has a green frame where verdict and `sample.image_label` agree, a red one where they do not, and none
    where a label or a verdict is missing.

    Args:
        sample: The picture, with its label where it is known.
        result: What the model says; with thresholds, unless they are tried out here.
        ground_truth: (H, W) of the original picture, True where labelled anomalous.
        keys: What to draw.
        param: The defaults where None.

    Returns:
        (H, W, 3) RGB uint8 for each key, legend and description included.

    Raises:
        SettingsError: A key is unknown, or needs a result or a ground truth that is not given, or the sample has no picture.
    """
    param = DisplayParam() if param is None else param
    if not sample.image.size:
        raise SettingsError(
            f"{name_of(sample)} was read from a cache, which does not contain its picture; to draw it, create the "
            "sample from its file"
        )
    _check(keys, result, ground_truth)
    judged = None if result is None else _tried_out(sample, result, param)
    window = _fit_window(sample.image, param.scale_windows)
    pictures: dict[DisplayKey, NDArray[np.uint8]] = {}
    for key in keys:
        drawn = _draw(key, window, judged, ground_truth, param)
        if key == "anomaly_both" and judged is not None:
            drawn = _framed(drawn, sample, judged)
        legend = _legend(key, sample, judged, ground_truth, param)
        pictures[key] = add_legend(drawn, legend, font_size=param.font_size)
    return pictures


def is_correct(sample: DLSample, result: DLResult) -> bool | None:
    """Whether verdict and label agree; None where one is missing."""
    if sample.image_label is None or result.anomaly_class is None:
        return None
    return result.anomaly_class == sample.image_label


def _check(keys: Sequence[DisplayKey], result: DLResult | None, ground_truth: NDArray[np.bool_] | None) -> None:
    for key in keys:
        if key not in DISPLAY_KEYS:
            raise SettingsError(f"{key!r} cannot be shown; choose from {', '.join(DISPLAY_KEYS)}")
        if key in {"anomaly_result", "anomaly_both", "anomaly_image"} and result is None:
            raise SettingsError(f"{key} needs a result; apply the model to the sample, or show 'image'")
        if key == "anomaly_ground_truth" and ground_truth is None:
            raise SettingsError(
                "anomaly_ground_truth needs the labelled mask, which this sample does not have; show 'image'"
            )


def _tried_out(sample: DLSample, result: DLResult, param: DisplayParam) -> DLResult:
    """The result with the verdict of the thresholds tried out; the one given stays as it is."""
    classification = param.anomaly_classification_threshold
    segmentation = param.anomaly_region_threshold
    if classification is None and segmentation is None:
        return result
    classification = result.classification_threshold if classification is None else classification
    segmentation = result.segmentation_threshold if segmentation is None else segmentation
    # One alone can be tried out where the result had none: it then stands for both.
    one = classification if segmentation is None else segmentation
    two = segmentation if classification is None else classification
    if one is None or two is None:
        return result
    thresholds = Thresholds(classification=two, segmentation=one, min_area=param.min_area)
    return threshold_dl_anomaly_results(thresholds, sample, replace(result))


def _fit_window(image: NDArray[np.uint8], scale: float) -> NDArray[np.uint8]:
    """The image in display size, so that lines and letters are the same in all pictures."""
    factor = WINDOW * scale / max(image.shape[:2])
    size = (max(1, round(image.shape[1] * factor)), max(1, round(image.shape[0] * factor)))
    method = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, size, interpolation=method), dtype=np.uint8)


def _draw(
    key: DisplayKey,
    window: NDArray[np.uint8],
    result: DLResult | None,
    truth: NDArray[np.bool_] | None,
    param: DisplayParam,
) -> NDArray[np.uint8]:
    picture = np.repeat(window[..., None], 3, axis=2) if window.ndim == _GRAY_DIMENSIONS else window
    if key == "anomaly_image" and result is not None:
        threshold, view = result.segmentation_threshold, result.view
        return heat_map(picture, result.anomaly_image, param.heatmap_color_scheme, threshold=threshold, view=view)
    if truth is not None and truth.any() and _shows_truth(key, param):
        colour, opacity = _parse(param.anomaly_region_label_color)
        picture = _blend(picture, outline_mask(picture, truth, colour, param.line_width), opacity)
    if key in {"anomaly_result", "anomaly_both"} and result is not None and result.anomaly_region is not None:
        colour, opacity = _parse(param.anomaly_region_result_color)
        outlined = draw_region_outlines(picture, result.anomaly_region, colour, param.line_width)
        picture = _blend(picture, outlined, opacity)
    return picture


def _framed(picture: NDArray[np.uint8], sample: DLSample, result: DLResult) -> NDArray[np.uint8]:
    correct = is_correct(sample, result)
    return picture if correct is None else verdict_frame(picture, "ok" if correct else "nok")


def _blend(below: NDArray[np.uint8], above: NDArray[np.uint8], opacity: float) -> NDArray[np.uint8]:
    if opacity == 1:
        return above
    return np.asarray(cv2.addWeighted(above, opacity, below, 1 - opacity, 0), dtype=np.uint8)


def _parse(colour: str) -> tuple[Colour, float]:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return (red, green, blue), int(colour[7:9], 16) / _OPAQUE if len(colour) == _RGBA_LENGTH else 1.0


def _legend(
    key: DisplayKey,
    sample: DLSample,
    result: DLResult | None,
    truth: NDArray[np.bool_] | None,
    param: DisplayParam,
) -> Legend:
    name = sample.image_file_name or ("" if sample.image_id is None else f"image {sample.image_id}")
    description = " \u00b7 ".join(part for part in (key, name) if part)
    legend = Legend(description if param.display_bottom_desc else "")
    if not param.display_legend:
        return legend
    if sample.image_label is not None:
        legend.facts.append(("labelled", sample.image_label))
    if result is not None and key not in {"image", "anomaly_ground_truth"}:
        legend.facts += _verdict_facts(result)
        legend.is_correct = is_correct(sample, result)
    if key == "anomaly_image" and result is not None:
        legend.scheme, legend.threshold = param.heatmap_color_scheme, result.segmentation_threshold
    if key in {"anomaly_result", "anomaly_both"}:
        legend.swatches.append(("found", _parse(param.anomaly_region_result_color)[0]))
    if truth is not None and _shows_truth(key, param):
        legend.swatches.append(("labelled", _parse(param.anomaly_region_label_color)[0]))
    return legend


def _verdict_facts(result: DLResult) -> list[tuple[str, str]]:
    facts = [] if result.anomaly_class is None else [("called", str(result.anomaly_class))]
    facts.append(("score", f"{result.anomaly_score:.4f}"))
    named = (("image threshold", result.classification_threshold), ("pixel threshold", result.segmentation_threshold))
    return facts + [(name, f"{value:.4f}") for name, value in named if value is not None]


def _shows_truth(key: DisplayKey, param: DisplayParam) -> bool:
    return key == "anomaly_ground_truth" or (key == "anomaly_both" and param.display_ground_truth_anomaly_regions)
