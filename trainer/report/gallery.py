"""Which images the report shows, and how they are drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inspector.anomaly.types import DLResult
from inspector.anomaly.verdict.draw import REGION_COLOUR, draw_region_outlines, heat_map_overlay
from trainer.dataset.dataset import DLDatasetSample
from trainer.display.picture import outline_mask, shrink
from trainer.report.page import InspectedImage, PictureRow
from trainer.report.shown import PICTURES_AT_A_GLANCE, PICTURES_IN_A_ROW, evenly_of_each_class


@dataclass(frozen=True, slots=True)
class ScoredSample:
    """A sample and what the model made of it."""

    sample: DLDatasetSample
    anomaly_score: float


Draw = Callable[[ScoredSample], InspectedImage]


def gallery(
    test: Sequence[ScoredSample], held_out: Sequence[ScoredSample], draw: Draw, *, count: int = PICTURES_IN_A_ROW
) -> list[PictureRow]:
    """Choose the telling images and draw them; each image is drawn once.

    Args:
        test: Scored test images.
        held_out: Scored ok images that the model was not fitted on, shown where no ok image is tested.
        draw: Makes the picture of a sample.
        count: Most pictures in a row.
    """
    ok = _highest([s for s in test if s.sample.image_label == "ok"])
    nok = _highest([s for s in test if s.sample.image_label == "nok"])
    hardest = nok[::-1][:count]
    clearest = [s for s in nok[:count] if s not in hardest]
    source = "test" if ok else "validation"
    rows = [
        (
            "Ok images with the highest scores",
            f"The ok {source} images that are rejected or come closest to it.",
            (ok or _highest(held_out))[:count],
        ),
        (
            "Nok images with the lowest scores",
            "The defects that are hardest for this model; missed ones come first.",
            hardest,
        ),
        ("Nok images with the highest scores", "The defects that stand out most.", clearest),
    ]
    return [PictureRow(title, text, [draw(s) for s in chosen]) for title, text, chosen in rows if chosen]


def unseen_rows(unseen: Sequence[ScoredSample], draw: Draw, *, count: int = PICTURES_IN_A_ROW) -> list[PictureRow]:
    """Draw ok images that the thresholds come from, the highest score first; for a page that has no test images to show.

    Args:
        unseen: Scored by models that had not seen them; without those that other rows show.
        draw: Makes the picture of a sample, with the score given.
        count: Most pictures in a row.
    """
    text = (
        "Of the ok images used to set the threshold, those just below it. Their scores come from models that had not "
        "seen them; the heat maps come from the final model, which may have been trained on them."
    )
    chosen = _highest(unseen)[:count]
    return [PictureRow("Ok images with the highest scores", text, [draw(one) for one in chosen])] if chosen else []


def painted_rows(pictures: Sequence[InspectedImage], *, has_seen: bool) -> list[PictureRow]:
    """Show synthetic defects, for a page that has no real ones.

    Args:
        pictures: Of ok images with a defect painted in, as the model that ships sees them.
        has_seen: Whether that model has learnt from the images, before the defects were painted in.
    """
    known = (
        " It was trained on these images, without the painted defects."
        if has_seen
        else " It has not seen these images."
    )
    text = (
        "There are no test images with real defects, so synthetic ones were painted into ok images. This is what the "
        f"final model finds.{known} The pictures show where it looks; they do not tell how many real defects it will "
        "find."
    )
    return [PictureRow("Synthetic defects", text, pictures)] if pictures else []


def above_rows(above: Sequence[ScoredSample], draw: Draw, *, count: int = PICTURES_IN_A_ROW) -> list[PictureRow]:
    """Draw the ok images that laid the threshold and lie above it, the highest score first.

    Args:
        above: Scored by models that had not seen them; without suspects.
        draw: Makes the picture of a sample, with the score given.
        count: Most pictures in a row.
    """
    text = (
        "These images were used to set the threshold, and parts like them will be rejected. If that is wrong, add "
        "more images like them. Scores come from models that had not seen the images; the heat maps come from the "
        "final model."
    )
    if not above:
        return []
    title = "Ok images used to set the threshold that lie above it"
    return [PictureRow(title, text + _how_many(len(above), count), [draw(scored) for scored in above[:count]])]


def suspect_rows(
    suspects: Sequence[ScoredSample],
    dropped: Sequence[ScoredSample],
    draw: Draw,
    *,
    count: int = PICTURES_IN_A_ROW,
) -> list[PictureRow]:
    """Draw the ok images that look unlike the others, and those that were left out for that.

    Args:
        suspects: Scored by models that had not seen them, the most suspicious first.
        dropped: The same of images that were left out.
        draw: Makes the picture of a sample, with the score given.
        count: Most pictures in a row.
    """
    looks_odd = (
        "Perhaps they are not ok: look at them. Their scores come from models that had not seen them; the heat maps "
        "come from the final model, which may have been trained on them."
    )
    left_out = (
        "The most suspicious images, left out because of --drop-suspects. Their scores come from models of a first "
        "training, which had not seen them; the heat maps come from the final model, which has not seen them either."
    )
    rows = [
        ("Ok images that look unlike the others", looks_odd, suspects),
        ("Ok images that were left out", left_out, dropped),
    ]
    return [
        PictureRow(title, text + _how_many(len(images), count), [draw(image) for image in images[:count]])
        for title, text, images in rows
        if images
    ]


def _how_many(total: int, count: int) -> str:
    return f" These are the first {count} of {total}; the others are named on this page too." if total > count else ""


def glance(test: Sequence[ScoredSample], draw: Draw, *, count: int = PICTURES_AT_A_GLANCE) -> list[InspectedImage]:
    """Draw test images from the lowest score to the highest; if there are more than `count`, evenly spaced ones of each class."""
    chosen = {sample.image_id for sample in evenly_of_each_class([s.sample for s in test], count)}
    return [draw(scored) for scored in _highest(test)[::-1] if scored.sample.image_id in chosen]


def _highest(samples: Sequence[ScoredSample]) -> list[ScoredSample]:
    """From the highest score to the lowest; what has no finite score comes first, as it is nok."""
    return sorted(samples, key=lambda s: s.anomaly_score if np.isfinite(s.anomaly_score) else np.inf, reverse=True)


def draw_picture(
    scored: ScoredSample, image: NDArray[np.uint8], result: DLResult, mask: NDArray[np.bool_] | None
) -> InspectedImage:
    """Draw a sample for the report.

    Args:
        scored: The sample.
        image: (H, W) gray or (H, W, 3) RGB uint8 in original size.
        result: The thresholded result.
        mask: (H, W), True where labelled anomalous; None where unknown.
    """
    # Shrunk first: a line drawn on the original would be lost in the small picture.
    small = shrink(image)
    outlined = small
    if mask is not None and mask.any():
        outlined = outline_mask(outlined, mask)
    if result.anomaly_region is not None:
        outlined = draw_region_outlines(outlined, result.anomaly_region, REGION_COLOUR)
    return InspectedImage(
        name=scored.sample.image_file_name,
        label=scored.sample.image_label,
        anomaly_score=result.anomaly_score,
        is_rejected=result.anomaly_class != "ok",
        outlined=outlined,
        heat_map=heat_map_overlay(
            small, result.anomaly_image, threshold=result.segmentation_threshold, view=result.view
        ),
    )
