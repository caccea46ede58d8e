"""Score image files with a bundle, without a broker: the same decoder, model and threshold as the service."""

from __future__ import annotations

import math
import os
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from inspector.anomaly.model.bundle import read_dl_model
from inspector.anomaly.verdict.draw import draw_region_outlines, heat_map_overlay
from trainer.apply.verdict import ImageVerdict, check_csv
from trainer.display.names import picture_names
from trainer.display.picture import write_png
from trainer.errors import DatasetError, OutputError
from trainer.evaluation.scoring import ScoredImage, score_images
from trainer.formats.known import READABLE
from trainer.listing.search import is_folder, search_folder
from trainer.listing.tally import LeftOut
from trainer.pictures.files import whole_picture
from trainer.progress import StageProgress
from trainer.settings.commands import ApplySettings


@dataclass(frozen=True, slots=True)
class ApplyPlan:
    """What is to be scored, before any image is opened.

    Attributes:
        settings: What was asked for.
        paths: The images that are named, and those in the folders that are named; each once.
        left_out: What else lies in the folders.
        pictures: Where each image's picture goes; empty where none are asked for.
    """

    settings: ApplySettings
    paths: list[Path]
    left_out: list[LeftOut]
    pictures: dict[Path, Path]


def plan_apply(settings: ApplySettings) -> ApplyPlan:
    """Find the images, and refuse what cannot be done before the model is read.

    Raises:
        DatasetError: A path does not exist, or a folder cannot be read or has no image.
        OutputError: A picture or the table would replace an image, or the table cannot be written.
    """
    paths, left_out = find_images(settings.images)
    if settings.csv is not None:
        check_csv(settings.csv, paths)
    pictures = {} if settings.pictures is None else picture_paths(settings.pictures, paths)
    return ApplyPlan(settings, paths, left_out, pictures)


def run_apply(plan: ApplyPlan, progress: StageProgress) -> Generator[ImageVerdict]:
    """Score every image of a plan, in its order; each verdict is there as soon as its batch is scored.

    An image that cannot be scored does not keep the others from being scored. Whoever stops early closes the generator.

    Raises:
        AnomalyError: The bundle cannot be read, or has no thresholds.
        OutputError: A picture cannot be written.
    """
    settings = plan.settings
    model = read_dl_model(settings.bundle, device=settings.device)
    if settings.threshold is not None and model.thresholds is not None:
        model.thresholds = model.thresholds.model_copy(update={"classification": settings.threshold})
    with closing(score_images(model, plan.paths)) as images:
        for done, scored in enumerate(images, start=1):
            verdict = _verdict(scored)
            picture = plan.pictures.get(scored.path)
            if picture is not None and scored.result is not None:
                write_picture(picture, scored)
                verdict = replace(verdict, picture=picture)
            progress("scoring", done, len(plan.paths))
            yield verdict


def find_images(given: Sequence[Path]) -> tuple[list[Path], list[LeftOut]]:
    """The images that are named, and those in the folders that are named, each once; and what else was seen.

    Raises:
        DatasetError: A path does not exist, or a folder cannot be read or has no image.
    """
    found: dict[str, Path] = {}
    left_out: dict[str, LeftOut] = {}
    for path in given:
        if is_folder(path):
            inside = search_folder(path)
            if not inside.taken:
                raise DatasetError(f"there is no image in {path}; give a folder that contains images ({READABLE})")
            images = [path / name for name in inside.taken]
            others = [LeftOut(str(path / name), reason) for name, reason in inside.left_out.items()]
            left_out |= {os.path.abspath(one.name): one for one in others}  # noqa: PTH100 - links keep their names
        elif path.exists():
            images = [path]
        else:
            raise DatasetError(f"{path} does not exist; correct the name")
        for image in images:
            found.setdefault(os.path.abspath(image), image)  # noqa: PTH100 - links keep their names
    # What is named itself is scored, whatever a folder that is named as well would leave out.
    return list(found.values()), [one for key, one in left_out.items() if key not in found]


def picture_paths(folder: Path, paths: Sequence[Path]) -> dict[Path, Path]:
    """Where each image's picture goes: the folders that tell the images apart are kept.

    Raises:
        OutputError: A picture would replace an image.
    """
    resolved = [path.resolve() for path in paths]
    base = os.path.commonpath([path.parent for path in resolved])
    names = picture_names([path.relative_to(base) for path in resolved])
    targets = {path: folder / name for path, name in zip(paths, names, strict=True)}
    images = set(resolved)
    for target in targets.values():
        if target.resolve() in images:
            raise OutputError(f"the picture {target} would overwrite an image; give another folder to --pictures")
    return targets


def _verdict(scored: ScoredImage) -> ImageVerdict:
    result = scored.result
    if result is None:
        return ImageVerdict(scored.path, error=scored.error, reason=scored.reason)
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
