"""The command `trainer check`: everything that can be said about images before a fit, with the code that the fit itself uses."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace

from inspector.anomaly.errors import AnomalyError
from inspector.anomaly.network.device import available_device
from trainer.calibration.compute import samples_to_score
from trainer.calibration.suspects import check_droppable
from trainer.check.facts import facts_of
from trainer.check.oddities import find_oddities
from trainer.check.result import CheckResult, Refusal
from trainer.dataset.dataset import DLDataset, trained_geometry
from trainer.dataset.read import OpenedListing, assemble, check_learnable, check_names, open_listing
from trainer.errors import DatasetError, TrainerError, UnreadableImagesError
from trainer.listing.folders import DatasetParam, list_folders
from trainer.listing.listing import Listing
from trainer.progress import StageProgress
from trainer.settings.check import CheckSettings
from trainer.settings.source import SourceSettings
from trainer.training.images import dataset_images
from trainer.wording import printable
from trainer.workflow.arguments import initial_model, list_source, preprocessing, threshold_param, train_param
from trainer.workflow.procedures import divided
from trainer.workflow.remarks import notes_of_reduction, warnings_of_constants


@dataclass(slots=True)
class _Found:
    """What was said so far; a sentence that two steps say is kept once."""

    refusals: dict[str, Refusal] = field(default_factory=dict)
    warnings: dict[str, None] = field(default_factory=dict)
    notes: dict[str, None] = field(default_factory=dict)

    def refuse(self, error: Exception) -> None:
        sentence = printable(error)
        summary = printable(error.summary) if isinstance(error, UnreadableImagesError) else sentence
        self.refusals[sentence] = Refusal(sentence, summary)

    def __enter__(self) -> None:
        """What refuses the fit inside is kept, and what stands behind goes on."""

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> bool:
        if not isinstance(error, TrainerError | AnomalyError):
            return False
        self.refuse(error)
        return True


@dataclass(frozen=True, slots=True)
class Checked:
    """What was found, and what the pictures of a sheet are read from."""

    result: CheckResult
    opened: OpenedListing | None
    dataset: DLDataset | None
    """As read; not divided where that was refused."""


def run_check(settings: CheckSettings, progress: StageProgress) -> Checked:
    """Look at the images of a source as a fit with the same settings would, and collect all that it would say.

    Nothing that refuses a fit is raised: it is among the refusals.
    """
    started = time.perf_counter()
    found = _Found()
    listing, is_labelled = _listing(settings, found, progress)
    result = CheckResult(str(settings.source))
    if listing is None:
        return Checked(_told(result, found, started), None, None)
    with found:
        check_names(listing)
    if is_labelled:
        with found:
            check_learnable(listing.images, listing)
    opened = open_listing(listing, progress, apply_exif=settings.apply_exif)
    facts = facts_of(opened, is_labelled=is_labelled)
    result = replace(result, tally=opened.tally, facts=facts, oddities=tuple(find_oddities(facts)))
    dataset = None
    with found:
        dataset = assemble(opened, settings.geometry, skip_unreadable=settings.skip_unreadable, refuse=found.refuse)
        found.notes |= dict.fromkeys(dataset.notes)
    if dataset is None:
        found.notes |= dict.fromkeys(listing.notes)
    elif is_labelled:
        result = replace(result, dataset=_divided(settings, dataset, found))
    return Checked(_told(result, found, started), opened, dataset if is_labelled else None)


def _told(result: CheckResult, found: _Found, started: float) -> CheckResult:
    return replace(
        result,
        refusals=tuple(found.refusals.values()),
        warnings=tuple(found.warnings),
        notes=tuple(map(printable, found.notes)),
        seconds=time.perf_counter() - started,
    )


def _listing(settings: SourceSettings, found: _Found, progress: StageProgress) -> tuple[Listing | None, bool]:
    """The images of the source, and whether their labels are known: files can be looked at without."""
    with found:
        return list_source(settings, progress), True
    if not settings.images or settings.all_ok:
        return None, False
    try:
        unlabelled = list_folders(settings.image_dirs, None, DatasetParam(), all_ok=True)
    except DatasetError:
        return None, False  # the first reason says it already
    return replace(unlabelled, notes=()), False


def _divided(settings: CheckSettings, dataset: DLDataset, found: _Found) -> DLDataset | None:
    """The data set as a fit would divide it, and whatever else would keep the fit from starting."""
    division = None
    with found:
        division = divided(settings, dataset, settings.training_percent, settings.validation_percent)
        found.warnings |= dict.fromkeys(division.division.warnings if division.division else ())
    with found:
        available_device(settings.device)
        geometry = trained_geometry(dataset.samples, dataset.geometry_rule)
        model = initial_model(settings, geometry)
        param = preprocessing(settings, model, geometry)
        train_param(settings, model)
        found.warnings |= dict.fromkeys(warnings_of_constants(param, model.param))
        found.notes |= dict.fromkeys(notes_of_reduction(param, geometry))
        if division is not None:
            dataset_images(division, param)
    if division is not None:
        with found:
            samples_to_score(division, threshold_param(settings), is_enough=division.num_folds > 0)
            if settings.drop_suspects:
                check_droppable(division, settings.drop_suspects)
    return division
