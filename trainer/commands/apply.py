"""Score image files with a bundle, without a broker: the same decoder, model and threshold as the service."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from inspector.anomaly.model.bundle import read_dl_model
from inspector.anomaly.types import RegionComponent
from inspector.anomaly.verdict.draw import draw_region_outlines, heat_map_overlay
from trainer.dataset.files import whole_picture
from trainer.display.picture import write_png
from trainer.errors import DatasetError, OutputError
from trainer.evaluation.scoring import ScoredImage, score_images
from trainer.formats.known import IMAGE_SUFFIXES, READABLE
from trainer.progress import StageProgress
from trainer.settings.commands import ApplySettings


@dataclass(frozen=True, slots=True)
class ImageVerdict:
    """What the model says of one file, or why it says nothing."""

    path: Path
    anomaly_score: float = math.nan
    threshold: float = math.nan
    anomaly_class: str | None = None
    boxes: tuple[RegionComponent, ...] = ()
    """The largest regions, in pixels of the image."""
    num_regions: int = 0
    picture: Path | None = None
    is_orientation_ignored: bool = False
    """Whether an EXIF flag asks for the picture to be turned, which the model does not."""
    error: str | None = None


def run_apply(settings: ApplySettings, progress: StageProgress) -> list[ImageVerdict]:
    """Score every image of the command line, in its order.

    An image that cannot be scored does not keep the others from being scored.

    Raises:
        AnomalyError: The bundle cannot be read, or has no thresholds.
        DatasetError: A path does not exist, or a folder has no image.
        OutputError: A picture cannot be written.
    """
    paths = find_paths(settings.images)
    pictures = {} if settings.pictures is None else picture_paths(settings.pictures, paths)
    model = read_dl_model(settings.bundle, device=settings.device)
    verdicts = []
    for scored in score_images(model, paths):
        verdict = _verdict(scored)
        picture = pictures.get(scored.path)
        if picture is not None and scored.result is not None:
            write_picture(picture, scored)
            verdict = replace(verdict, picture=picture)
        verdicts.append(verdict)
        progress("scoring", len(verdicts), len(paths))
    return verdicts


def find_paths(given: Sequence[Path]) -> list[Path]:
    """The images that are named, and those in the folders that are named; each once.

    Raises:
        DatasetError: A path does not exist, or a folder has no image.
    """
    found: dict[Path, None] = {}
    for path in given:
        if path.is_dir():
            inside = sorted(
                p for p in path.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES and not _is_hidden(p, path)
            )
            if not inside:
                raise DatasetError(f"no image in {path}; what is read is {READABLE}")
            found.update(dict.fromkeys(inside))
        elif path.exists():
            found[path] = None
        else:
            raise DatasetError(f"{path} does not exist")
    return list(found)


def _is_hidden(path: Path, root: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(root).parts)


def picture_paths(folder: Path, paths: Sequence[Path]) -> dict[Path, Path]:
    """Where each image's picture goes: the folders that tell the images apart are kept.

    Raises:
        OutputError: A picture would replace an image.
    """
    resolved = {path: path.resolve() for path in paths}
    base = os.path.commonpath([path.parent for path in resolved.values()])
    plain = {path: folder / whole.relative_to(base).with_suffix(".png") for path, whole in resolved.items()}
    uses = Counter(plain.values())
    targets = {p: t if uses[t] == 1 else t.with_name(f"{p.name}.png") for p, t in plain.items()}
    for target in targets.values():
        if target.resolve() in resolved.values():
            raise OutputError(f"the picture {target} would replace an image; give another folder to --pictures")
    return targets


def _verdict(scored: ScoredImage) -> ImageVerdict:
    result = scored.result
    if result is None:
        return ImageVerdict(scored.path, error=scored.error)
    region, threshold = result.anomaly_region, result.classification_threshold
    return ImageVerdict(
        path=scored.path,
        anomaly_score=result.anomaly_score,
        threshold=math.nan if threshold is None else threshold,
        anomaly_class=result.anomaly_class,
        boxes=region.components if region else (),
        num_regions=region.num_components if region else 0,
        is_orientation_ignored=scored.is_orientation_ignored,
    )


def write_picture(target: Path, scored: ScoredImage) -> None:
    """Write the heat map over the image, with the outlines of its regions, as PNG in the image's own size; nothing if unscored.

    Raises:
        UnreadableImageError: The image cannot be read any more.
        OutputError: The file cannot be written.
    """
    if scored.sample is None or scored.result is None:
        return
    image, result = whole_picture(scored.path, scored.sample), scored.result
    picture = heat_map_overlay(image, result.anomaly_image, threshold=result.segmentation_threshold, view=result.view)
    if result.anomaly_region is not None:
        picture = draw_region_outlines(picture, result.anomaly_region)
    write_png(target, picture)


def verdicts_as_json(bundle: Path, verdicts: Sequence[ImageVerdict]) -> dict[str, Any]:
    """What `trainer apply --json` prints; a value that is not finite becomes null."""
    return {"bundle": str(bundle), "images": [_as_json(verdict) for verdict in verdicts]}


def _as_json(verdict: ImageVerdict) -> dict[str, Any]:
    return {
        "image": str(verdict.path),
        "anomaly_score": verdict.anomaly_score if math.isfinite(verdict.anomaly_score) else None,
        "classification_threshold": verdict.threshold if math.isfinite(verdict.threshold) else None,
        "anomaly_class": verdict.anomaly_class,
        "regions": [
            {"x": b.x, "y": b.y, "width": b.width, "height": b.height, "area": b.area, "max_score": b.max_score}
            for b in verdict.boxes
        ],
        "num_regions": verdict.num_regions,
        "picture": None if verdict.picture is None else str(verdict.picture),
        "error": verdict.error,
    }
