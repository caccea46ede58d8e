"""Reads a window of the archive's index, scores its images with a bundle, and draws where the verdicts differ."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import cast

from inspector.anomaly.choices import AnomalyClass
from inspector.anomaly.model.bundle import read_dl_model
from inspector.anomaly.model.model import AnomalyModel
from schemas.archive.layout import day_of, parse_archive_name, relabelled_name
from schemas.archive.row import ArchiveRow
from schemas.base import MAX_CAPTURED_AT
from trainer.apply.run import write_picture
from trainer.archives.opened import open_archive
from trainer.archives.place import ArchivePlace
from trainer.backtest.result import BacktestResult, Judged
from trainer.dataset.archive import camera_of
from trainer.dataset.index import read_index
from trainer.display.names import picture_names
from trainer.errors import DatasetError
from trainer.evaluation.scoring import ScoredImage, score_images
from trainer.progress import StageProgress
from trainer.settings.backtest import BacktestSettings


def run_backtest(settings: BacktestSettings, progress: StageProgress) -> BacktestResult:
    """Judge the window again.

    Raises:
        DatasetError: No such camera, no index, no judged image in the window, or the archive's store cannot be read.
        AnomalyError: The bundle cannot be read, or has no thresholds.
        OutputError: A picture or a copy cannot be written.
    """
    archive = open_archive(settings.archive, settings.archive_cache, settings.config)
    images, gone = window_of(settings, archive)
    archive.bring([PurePosixPath(one.name) for one in images], progress)
    model = read_dl_model(settings.bundle, device=settings.device)
    judged: list[Judged] = []
    for done, scored in enumerate(_scored(model, archive.root, images), start=1):
        judged.append(_with_verdict(images[len(judged)], scored))
        progress("scoring", done, len(images))
    result = BacktestResult(f"{model.name} {model.version}", tuple(judged), gone)
    if settings.out is not None:
        draw_differences(model, archive.root, result, settings.out, settings.pictures)
    return result


def window_of(settings: BacktestSettings, archive: ArchivePlace) -> tuple[list[Judged], int]:
    """The images of the window that a model has judged and whose files are there, as they were judged; and how many are gone.

    Raises:
        DatasetError: There is none.
    """
    camera = camera_of(archive, *settings.ids)
    first, last = settings.window_us
    archive.bring_index(camera, day_of(first or 0), day_of(MAX_CAPTURED_AT if last is None else last))
    index = read_index(archive.root / camera)
    if not len(index):
        raise DatasetError(
            f"{archive.where}/{camera} has no index, so the recorded verdicts are not known; only images kept by `inspector "
            "archive` can be judged again"
        )
    rows = [
        row
        for row in sorted(index.rows(), key=lambda row: (row.captured_at, row.file))
        if row.status == "inspected" and (first or 0) <= row.captured_at and (last is None or row.captured_at < last)
    ]
    found = [one for row in rows if (one := _image(archive, row)) is not None]
    if not found:
        raise DatasetError(
            f"none of the {len(index)} images of {archive.where}/{camera} was judged within the time window and still exists; "
            "widen the window"
        )
    return found, len(rows) - len(found)


def draw_differences(model: AnomalyModel, root: Path, result: BacktestResult, out: Path, most: int) -> None:
    """Draw what the model tried sees, of the images whose verdicts differ most.

    Raises:
        OutputError: A picture cannot be written.
    """
    shown = [one for one in result.differences if one.error is None][:most]
    names = picture_names([Path(one.change) / PurePosixPath(one.name).name for one in shown])
    for name, scored in zip(names, _scored(model, root, shown), strict=True):
        write_picture(out / name, scored)


def _scored(model: AnomalyModel, root: Path, images: list[Judged]) -> Iterator[ScoredImage]:
    with closing(score_images(model, [root / one.name for one in images])) as scored:
        yield from scored


def _image(archive: ArchivePlace, row: ArchiveRow) -> Judged | None:
    """The image of a row, wherever its label has brought it; None where it is gone."""
    name = PurePosixPath(row.file)
    if not archive.holds(name):
        name = relabelled_name(name) or name
    archived = parse_archive_name(name)
    if archived is None or not archive.holds(name):
        return None
    score, threshold = row.anomaly_score, row.classification_threshold
    return Judged(
        name=str(name),
        label=archived.label,
        recorded=cast("AnomalyClass", row.anomaly_class),
        recorded_ratio=score / threshold if score is not None and threshold else 0.0,
        model=f"{row.model_name} {row.model_version}",
        is_sample=row.is_sample,
    )


def _with_verdict(image: Judged, scored: ScoredImage) -> Judged:
    result = scored.result
    if result is None:
        return replace(image, error=scored.error)
    threshold = result.classification_threshold
    return replace(
        image,
        verdict=result.anomaly_class,
        ratio=result.anomaly_score / threshold if threshold else None,
    )
