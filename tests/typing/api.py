"""The public names as a user's program has them, for mypy (`make check`): what goes in, and of which type comes out.

Nothing here runs. Only `trainer` and `inspector.anomaly` are imported from; `tests/unit/test_public_names.py` sees to it that every
public function is used.
"""

from __future__ import annotations

from pathlib import Path
from typing import assert_type

import numpy as np
from numpy.typing import NDArray

import trainer
from inspector import anomaly
from inspector.anomaly import (
    AnomalyModel,
    AnomalyRegion,
    DLPreprocessParam,
    DLResult,
    DLSample,
    InitialModel,
    PreprocessStep,
    ScoreRule,
    Thresholds,
)
from trainer import AnomalyThresholds, DLDataset, DLTrainParam, DLTrainResult, EvaluationResult, ShownSample

Image = NDArray[np.uint8]


def read_and_divide(folder: Path) -> DLDataset:
    param = trainer.DatasetParam(image_sub_dirs=("good",))
    rule: anomaly.GeometryRule = "any"
    assert_type(trainer.read_dl_dataset_manifest("parts.csv", geometry_rule=rule), DLDataset)
    assert_type(trainer.read_dl_dataset_archive(folder, "line", "camera", geometry_rule=rule), DLDataset)
    dataset = trainer.read_dl_dataset_anomaly([folder, "more"], param=param, geometry_rule="one-camera")
    names: list[str] = [sample.image_file_name for sample in dataset.samples]
    split: list[trainer.SplitName | None] = [sample.split for sample in dataset.samples]
    assert len(names) == len(split)
    dataset = trainer.split_dl_dataset(dataset, 60, 20, seed=1, param=trainer.SplitParam(folds=3))
    return assert_type(dataset, DLDataset)


def prepare(dataset: DLDataset) -> tuple[InitialModel, DLDataset]:
    model = assert_type(anomaly.read_dl_model("initial_dl_anomaly_student"), InitialModel)
    anomaly.set_dl_model_param(model, "image_dimensions", (256, 192, 3))
    anomaly.set_dl_model_param(model, "score_rule", ScoreRule(top_share=0.02))
    width, height, _ = assert_type(anomaly.get_dl_model_param(model, "image_dimensions"), tuple[int, int, int])
    assert_type(anomaly.get_dl_model_param(model, "device"), str)
    assert_type(anomaly.query_available_dl_devices(), tuple[str, ...])
    step = PreprocessStep(name="acme.step", version="1")
    anomaly.register_preprocess_step("acme.step", "1")(lambda image, options: image)
    param = anomaly.create_dl_preprocess_param(image_width=width, image_height=height, preprocess_steps=(step,))
    domain = anomaly.ImageDomain.rectangle(0, 0, 64, 64, image_width=640, image_height=480)
    anomaly.create_dl_preprocess_param_from_model(model, domain_handling="keep_domain", domain=domain)
    anomaly.write_dl_preprocess_param("param.json", param)
    assert_type(anomaly.read_dl_preprocess_param("param.json"), DLPreprocessParam)
    dataset = trainer.preprocess_dl_dataset(dataset, "cache", param)
    for sample in trainer.read_dl_samples(dataset, dataset.samples):
        assert_type(sample, DLSample)
    return model, dataset


def choose(dataset: DLDataset, picture: Image) -> InitialModel:
    candidates = [anomaly.DLModelParam(detector="fused"), anomaly.DLModelParam(detector="padim")]
    found = assert_type(trainer.choose_dl_model_param(dataset, candidates, min_fps=20, seed=1), trainer.ModelSelection)
    gains: list[trainer.Gain | None] = [tried.gain for tried in found.tried]
    assert len(gains) == len(candidates)
    assert_type(trainer.add_defect(picture, "scar", seed=0, index=0), trainer.Defect)
    return InitialModel(found.param)


def train(model: InitialModel, dataset: DLDataset, images: list[Image]) -> AnomalyModel:
    augmentation = trainer.Augmentation(flip_horizontal=True)
    param = assert_type(trainer.create_dl_train_param(model, seed=1, augmentation=augmentation), DLTrainParam)
    result = assert_type(trainer.train_dl_model(dataset, model, param), DLTrainResult)
    samples = anomaly.gen_dl_samples_from_images(images)
    trainer.train_dl_model_anomaly_dataset(model, samples, param)
    assert_type(result.errors, tuple[float, ...])
    return assert_type(result.model, AnomalyModel)


def calibrate(model: AnomalyModel, dataset: DLDataset) -> Thresholds | None:
    param = trainer.ThresholdParam(method="halcon")
    found = assert_type(trainer.compute_dl_anomaly_thresholds(model, dataset, param, min_area=5), AnomalyThresholds)
    raw = trainer.CalibrationScores(ok=[1.0, 2.0, 3.0])
    found = trainer.estimate_anomaly_thresholds(raw)
    model.calibrate(found.as_thresholds(), found.scale)
    estimate: trainer.ThresholdEstimate = trainer.estimate_threshold([1.0, 2.0], trainer.OkOnlyParam(confidence=0.9))
    assert_type(estimate.false_reject_bound, float)
    anomaly.set_dl_model_param(model, "anomaly_segmentation_threshold", 0.7)
    assert_type(anomaly.get_dl_model_param(model, "anomaly_classification_threshold"), float | None)
    return assert_type(model.thresholds, Thresholds | None)


def evaluate(model: AnomalyModel, dataset: DLDataset) -> EvaluationResult:
    param = trainer.GenParamEval(measures="all", anomaly_classification_thresholds=(0.5,))
    result = trainer.evaluate_dl_model(dataset, model, "split", "test", param)
    assert_type(result.image_auroc, float | None)
    found: trainer.Rate = result.found
    assert_type(found.rate, float | None)
    trainer.figures_as_json(result)
    trainer.halcon_as_json(result)
    scores: trainer.ImageScores = trainer.image_scores([0.1, 0.9], ["ok", "nok"])
    assert_type(trainer.anomaly_score_histogram(scores), trainer.ScoreHistogram)
    assert_type(trainer.confusion_matrix(scores, 0.5), trainer.ConfusionMatrix)
    trainer.evaluate_scores([0.1, 0.9], ["ok", "nok"], 0.5)
    return assert_type(result, EvaluationResult)


def keep(model: AnomalyModel) -> AnomalyModel | InitialModel:
    records = anomaly.Records(calibration={}, training={}, metrics={})
    assert_type(anomaly.write_dl_model("bundle", model, records=records), anomaly.Manifest)
    manifest, digest = anomaly.read_manifest(Path("bundle"))
    assert_type((manifest.name, digest), tuple[str, str])
    assert_type(anomaly.read_dl_model(Path("bundle")), AnomalyModel)
    return anomaly.read_dl_model("bundle")


def infer(model: AnomalyModel, file: bytes) -> AnomalyRegion | None:
    param, limits = model.preprocess_param, anomaly.ImageLimits()
    decoded = anomaly.decode_image(file, target=param.decode_target, margin=param.decode_margin, limits=limits)
    samples = assert_type(anomaly.gen_dl_samples_from_images(decoded.image), list[DLSample])
    anomaly.preprocess_dl_samples(samples, param)
    results = assert_type(anomaly.apply_dl_model(model, samples), list[DLResult])
    anomaly.threshold_dl_anomaly_results(model, samples, results)
    first = anomaly.threshold_dl_anomaly_results(
        None, samples[0], results[0], classification_threshold=0.6, segmentation_threshold=0.7
    )
    assert_type(first, DLResult)
    assert_type(first.anomaly_class, anomaly.AnomalyClass | None)
    return first.anomaly_region


def draw(sample: DLSample, result: DLResult, folder: Path) -> None:
    image = anomaly.heat_map_overlay(sample.image, result.anomaly_image, view=result.view)
    if result.anomaly_region is not None and result.anomaly_class is not None:
        image = anomaly.draw_region_outlines(image, result.anomaly_region)
        image = anomaly.verdict_frame(image, result.anomaly_class)
        assert_type(anomaly.decode_region(result.anomaly_region), NDArray[np.bool_])
    anomaly.resize_anomaly_image(result.anomaly_image, width=64, height=64)
    trainer.write_png(folder / "image.png", image)
    pictures = trainer.dev_display_dl_data(sample, result, param=trainer.DisplayParam(display_legend=False))
    assert_type(pictures, dict[trainer.DisplayKey, Image])
    shown = [ShownSample(sample, result)]
    assert_type(trainer.dev_display_dl_data_tiled(shown, param=trainer.TiledParam(columns=4)), Image)
    trainer.show_samples(folder, shown)
    trainer.show_grid(folder, shown)
    trainer.show_training(folder, [0.2, 0.1])
    assert_type(trainer.training_error_curve([0.2, 0.1]), Image)


def draw_evaluation(dataset: DLDataset, model: AnomalyModel, folder: Path) -> None:
    found = trainer.evaluate_dl_model(dataset, model)
    param = trainer.EvaluationDisplayParam(display_mode="all")
    assert_type(trainer.dev_display_anomaly_detection_evaluation(found, param=param), dict[trainer.DisplayMode, Image])
    trainer.show_evaluation(folder, found)


def watch(stage: str, done: int, total: int) -> None:
    """A `StageProgress` is any function like this."""


def train_few(dataset: DLDataset, model: InitialModel, progress: trainer.StageProgress = watch) -> None:
    divided = trainer.split_dl_dataset(dataset)
    param = trainer.create_dl_train_param(model)
    try:
        result, unseen = trainer.train_and_score_folds(divided, model, param, progress=progress)
        trainer.compute_dl_anomaly_thresholds(result.model, dataset, unseen=unseen, set_in_model=False)
        suspects = trainer.find_dl_dataset_suspects(divided, unseen, trainer.SuspectParam(expected=0.1))
        names: list[str] = [suspect.sample.image_file_name for suspect in suspects]
        rest, dropped = trainer.drop_dl_dataset_suspects(divided, unseen, len(names))
        assert_type(rest, DLDataset)
        assert_type(dropped, tuple[trainer.Suspect, ...])
    except (trainer.DatasetError, anomaly.ParameterError) as error:
        assert_type(error, trainer.DatasetError | anomaly.ParameterError)
    except (trainer.TrainerError, anomaly.AnomalyError):
        raise
