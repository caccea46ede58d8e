"""The workflow of a fit, procedure by procedure: read > split > preprocess > train > threshold > evaluate.

`trainer fit` and `trainer workflow` both run it; the first writes its report, the second prints the name of each step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from inspector.anomaly.model.access import get_dl_model_param
from inspector.anomaly.model.model import AnomalyModel, ModelIdentity
from inspector.anomaly.model.param import InitialModel
from inspector.anomaly.preprocess.file import write_dl_preprocess_param
from inspector.anomaly.types import ImageGeometry
from trainer.calibration.calibration import Calibration, calibration_of
from trainer.calibration.compute import compute_dl_anomaly_thresholds
from trainer.calibration.cost import ThresholdCost, threshold_cost
from trainer.calibration.folds import train_and_score_folds
from trainer.calibration.suspects import Suspect, check_droppable, drop_dl_dataset_suspects
from trainer.dataset.dataset import DLDataset, trained_geometry
from trainer.display.files import show_evaluation, show_training
from trainer.errors import CalibrationError, SplitError
from trainer.evaluation.evaluate import evaluate_dl_model
from trainer.evaluation.param import GenParamEval
from trainer.evaluation.result import EvaluationResult
from trainer.prepare.preprocess import preprocess_dl_dataset
from trainer.prepare.split import is_given, split_dl_dataset
from trainer.progress import StageProgress
from trainer.report.shown import KeptPictures, ShownImages
from trainer.selection.choose import choose_dl_model_param
from trainer.selection.result import ModelSelection
from trainer.settings.fit import FitSettings, LearningSettings
from trainer.thresholds.estimate import AnomalyThresholds
from trainer.thresholds.scores import CalibrationScores
from trainer.training.train import DLTrainResult
from trainer.training.train_param import DLTrainParam
from trainer.wording import as_figure, as_percent, some
from trainer.workflow.arguments import (
    candidate_params,
    initial_model,
    preprocessing,
    read_dataset,
    split_param,
    threshold_param,
    train_param,
)
from trainer.workflow.remarks import notes_of_reduction
from trainer.workflow.suspects import suspects_among
from trainer.workflow.synthetic import scores_of_defects

Train = Callable[[DLDataset, Path | None], tuple[DLTrainResult, CalibrationScores | None]]
"""`train_and_score_folds` of this fit, on a data set and with the folder of its checkpoint."""

Say = Callable[[str, str], None]
"""Called after each step with the procedure's name and a sentence about its outcome."""


def say_nothing(procedure: str, sentence: str) -> None:
    """Nobody listens."""


@dataclass(frozen=True, slots=True)
class Course:
    """What is done on the way besides the fit itself.

    Attributes:
        say: Told of each step.
        percents: Shares of the ok images to learn from and to calibrate with, where neither settings nor source say.
        is_test_needed: Whether a division without test images is refused.
        param_file: File to write the preprocessing parameters to.
        pictures: Folder to draw evaluation and training to.
    """

    say: Say = say_nothing
    percents: tuple[float | None, float | None] = (None, None)
    is_test_needed: bool = False
    param_file: Path | None = None
    pictures: Path | None = None


@dataclass(frozen=True, slots=True)
class Fitted:
    """The outcome of a fit, and what went into it.

    Attributes:
        dataset: Divided, and preprocessed where there is a cache.
        untrained: The initial model.
        train_param: How it was trained.
        result: The model, with its thresholds, and its training.
        thresholds: As they were found.
        calibration: What there is to say of them.
        evaluation: On the test images; None where there are none.
        cost: What the threshold finds and others would; None where there are no defects, real or synthetic.
        shown: What the report shows of them.
        pictures: Of training images.
        suspects: Images among those that the thresholds come from that look unlike the others, most suspicious first.
        dropped: What was left out of the training, as was asked for.
        selection: How the model was chosen; None where the settings say which.
    """

    dataset: DLDataset
    untrained: InitialModel
    train_param: DLTrainParam
    result: DLTrainResult
    thresholds: AnomalyThresholds
    calibration: Calibration
    evaluation: EvaluationResult | None
    cost: ThresholdCost | None
    shown: ShownImages
    pictures: KeptPictures
    suspects: tuple[Suspect, ...]
    dropped: tuple[Suspect, ...]
    selection: ModelSelection | None

    @property
    def model(self) -> AnomalyModel:
        """The trained model."""
        return self.result.model


def fit_model(settings: FitSettings, name: str, progress: StageProgress, course: Course) -> Fitted:
    """Run the procedures.

    Args:
        settings: What was asked for.
        name: Of the model.
        progress: Told of each stage.
        course: What is done on the way.

    Raises:
        TrainerError: An image or a setting is refused.
        AnomalyError: The weights are missing, a parameter does not fit, or a file cannot be written.
    """
    dataset = _divided(settings, course, progress)
    geometry = trained_geometry(dataset.samples, dataset.geometry_rule)
    untrained = initial_model(settings, geometry)
    selection = _selected(settings, dataset, geometry, course.say, progress)
    if selection is not None:
        untrained = InitialModel(selection.param)
    _say_initial(untrained, course.say)
    param = preprocessing(settings, untrained, geometry)
    chosen = f"{param.normalization_type}, {param.domain_handling}"
    course.say("create_dl_preprocess_param_from_model", "; ".join([chosen, *notes_of_reduction(param, geometry)]))
    if course.param_file is not None:
        write_dl_preprocess_param(course.param_file, param)
        course.say("write_dl_preprocess_param", f"kept in {course.param_file}, for the inference")
    if settings.cache is not None:
        dataset = preprocess_dl_dataset(
            dataset, settings.cache, param, overwrite_files=settings.overwrite_cache, progress=progress
        )
        course.say("preprocess_dl_dataset", f"{len(dataset.samples)} samples in {settings.cache}")
    training = train_param(settings, untrained)
    course.say("create_dl_train_param", _set_values(training.model_dump(exclude_none=True)))

    pictures = KeptPictures()

    def train(images: DLDataset, checkpoint: Path | None) -> tuple[DLTrainResult, CalibrationScores | None]:
        return train_and_score_folds(
            images,
            untrained,
            training,
            preprocess_param=param,
            progress=progress,
            checkpoint=checkpoint,
            on_read=pictures.add,
        )

    dropped: tuple[Suspect, ...] = ()
    if settings.drop_suspects:
        dataset, dropped = _without_suspects(settings, dataset, train, course.say)
    result, unseen = train(dataset, settings.checkpoint)
    model, epochs = result.model, len(result.errors)
    model.identity = ModelIdentity(name, f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}", "")
    course.say("train_dl_model", f"best error {result.best_error:.4f} in epoch {result.best_epoch} of {epochs}")
    wanted = threshold_param(settings)
    found = compute_dl_anomaly_thresholds(model, dataset, wanted, unseen=unseen, progress=progress)
    _say_thresholds(dataset, found, course.say)
    shown = ShownImages(dataset.test)
    evaluation = _evaluated(model, dataset, shown, course, progress)
    if course.pictures is not None and epochs > 1:
        show_training(course.pictures, result.errors, best_epoch=result.best_epoch)
    calibration = calibration_of(dataset, model, found, wanted)
    cost = _cost(dataset, found, evaluation, selection)
    suspects = suspects_among(dataset, found)
    if suspects:
        course.say("find_dl_dataset_suspects", some(suspect.sample.image_file_name for suspect in suspects))
    return Fitted(
        dataset,
        untrained,
        training,
        result,
        found,
        calibration,
        evaluation,
        cost,
        shown,
        pictures,
        suspects,
        dropped,
        selection,
    )


def _cost(
    dataset: DLDataset, found: AnomalyThresholds, evaluation: EvaluationResult | None, selection: ModelSelection | None
) -> ThresholdCost | None:
    """What the threshold finds of the nok test images; without any, of the synthetic defects where some were made."""
    if evaluation is not None and (nok := evaluation.scores_of("nok")):
        return threshold_cost(found, nok, evaluation.scores_of("ok"))
    if selection is None:
        return None
    return threshold_cost(found, scores_of_defects(dataset, found, selection), (), "synthetic")


def _without_suspects(
    settings: FitSettings, dataset: DLDataset, train: Train, say: Say
) -> tuple[DLDataset, tuple[Suspect, ...]]:
    """The data set without the images that a first training finds most suspicious, as many as were asked for."""
    check_droppable(dataset, settings.drop_suspects)
    # A checkpoint is of one training: the second one's images are others.
    checkpoint = settings.checkpoint
    _, unseen = train(dataset, None if checkpoint is None else checkpoint / "with-suspects")
    rest, dropped = drop_dl_dataset_suspects(dataset, unseen, settings.drop_suspects)
    say("drop_dl_dataset_suspects", some(suspect.sample.image_file_name for suspect in dropped))
    return rest, dropped


def _divided(settings: FitSettings, course: Course, progress: StageProgress) -> DLDataset:
    """As the source divides it, its validation images included; else, or where that is asked for, by percentages."""
    dataset = read_dataset(settings, progress, settings.geometry, apply_exif=settings.apply_exif)
    counts = [sum(s.image_label == label for s in dataset.samples) for label in dataset.class_names]
    images = f"{counts[0]} ok and {counts[1]} nok images in {settings.source}"
    seen = [] if dataset.tally is None else [dataset.tally.sentence]
    course.say("read_dl_dataset_anomaly", "; ".join([images, *seen, *dataset.notes]))
    percents: Iterable[float | None] = (settings.training_percent, settings.validation_percent)
    is_kept = is_given(dataset, overwrite_split=settings.overwrite_split)
    if not is_kept:
        percents = (
            given if given is not None else usual for given, usual in zip(percents, course.percents, strict=True)
        )
    training, validation = percents
    dataset = divided(settings, dataset, training, validation)
    if course.is_test_needed and not dataset.test:
        raise SplitError(
            f"no image of {settings.source} is left to evaluate on; pass --overwrite-split to divide again, or lower "
            "the percentages"
        )
    parts = f"{len(dataset.train)} train, {len(dataset.validation)} validation, {len(dataset.test)} test"
    shares = [f"{share:g}" for share in (training, validation) if share is not None]
    by = "as folders or manifest divide them" if is_kept else f"by {' and '.join(shares) or 'the usual'} percent"
    warnings = dataset.division.warnings if dataset.division else ()
    course.say("split_dl_dataset", "; ".join([f"{parts}, {by}", "all nok images are test images", *warnings]))
    return dataset


def divided(
    settings: LearningSettings, dataset: DLDataset, training: float | None, validation: float | None
) -> DLDataset:
    """The data set, divided as the settings say.

    Raises:
        SplitError: See `split_dl_dataset`.
    """
    return split_dl_dataset(
        dataset,
        training,
        validation,
        seed=settings.seed,
        overwrite_split=settings.overwrite_split,
        param=split_param(settings),
    )


def _selected(
    settings: FitSettings, dataset: DLDataset, geometry: ImageGeometry, say: Say, progress: StageProgress
) -> ModelSelection | None:
    """The model that `--quality auto` chooses; None where the settings say which."""
    if not settings.is_auto:
        return None
    found = choose_dl_model_param(
        dataset,
        candidate_params(settings, geometry),
        preprocessing=lambda model: preprocessing(settings, model, geometry),
        camera_tolerance=settings.camera_tolerance,
        min_fps=settings.min_fps,
        seed=settings.seed,
        progress=progress,
    )
    say("choose_dl_model_param", found.sentence)
    return found


def _say_initial(model: InitialModel, say: Say) -> None:
    detector, backbone = model.param.detector, model.param.backbone
    say("read_dl_model", f"the initial model of detector {detector}: parameters only, not trained yet")
    width, height, channels, low, high = (
        get_dl_model_param(model, f"image_{name}")
        for name in ("width", "height", "num_channels", "range_min", "range_max")
    )
    say("set_dl_model_param", f"backbone {backbone}; image_width {width} and image_height {height} suit the images")
    say("get_dl_model_param", f"the model asks for {channels} channels in the range {low:.3g} to {high:.3g}")


def _say_thresholds(dataset: DLDataset, found: AnomalyThresholds, say: Say) -> None:
    by = f"from {found.n_ok} ok images, {_judges(dataset)}{_stated(found)}"
    say("compute_dl_anomaly_thresholds", "; ".join([by, *found.warnings]))


def _stated(found: AnomalyThresholds) -> str:
    """What the thresholds promise, where they promise anything."""
    if (estimate := found.estimate) is None:
        return ""
    average = (
        "" if estimate.false_rejects is None else f"{as_percent(estimate.false_rejects)} false rejects on average, "
    )
    return f": {average}at most {as_percent(estimate.false_reject_bound)} with {as_percent(estimate.confidence)} confidence"


def _judges(dataset: DLDataset) -> str:
    """Which models scored the images that the threshold comes from."""
    if not dataset.folds:
        return "that the model had not seen"
    folds = f"judged by a model of the other {dataset.num_folds - 1} folds"
    held = len(dataset.validation)
    return f"{held} that the model had not seen and {len(dataset.train)} each {folds}" if held else f"each {folds}"


def _evaluated(
    model: AnomalyModel, dataset: DLDataset, shown: ShownImages, course: Course, progress: StageProgress
) -> EvaluationResult | None:
    """Measure the model on the test images; None without any."""
    if not dataset.test:
        return None
    if model.thresholds is None:
        raise CalibrationError("the model has no thresholds to evaluate")
    wanted = GenParamEval(measures="all", anomaly_classification_thresholds=(model.thresholds.classification,))
    found = evaluate_dl_model(dataset, model, "split", "test", wanted, progress=progress, on_scored=shown.add)
    figures = {"image AUROC": found.image_auroc, "pixel AUROC": found.pixel_auroc, "AUPRO": found.aupro}
    known = [f"{name} {as_figure(value)}" for name, value in figures.items() if value is not None]
    counts = f"{found.found.count} of {found.found.total} nok found, {found.false_rejects.count} of "
    course.say("evaluate_dl_model", ", ".join([*known, f"{counts}{found.false_rejects.total} ok rejected"]))
    if course.pictures is not None:
        show_evaluation(course.pictures, found)
        sentence = f"histogram, confusion matrices and pie charts in {course.pictures}"
        course.say("dev_display_anomaly_detection_evaluation", sentence)
    return found


def _set_values(values: dict[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())
