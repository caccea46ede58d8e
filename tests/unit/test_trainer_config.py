from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from trainer.config import ApplySettings, FitSettings, parse_settings
from trainer.errors import SettingsError

FIT = ["fit", "--images", "in", "--out", "bundle"]


def test_defaults_of_fit() -> None:
    settings = parse_settings(FIT)
    assert isinstance(settings, FitSettings)
    assert (settings.image_dirs, settings.out) == ((Path("in"),), Path("bundle"))
    assert (settings.detector, settings.backbone, settings.seed, settings.max_false_rejects) == (None, None, 0, 0.05)
    assert (settings.width, settings.height, settings.coreset, settings.max_train) == (None, None, None, None)
    assert not any((settings.json_output, settings.overwrite, settings.all_ok))


def test_every_option_of_fit_arrives() -> None:
    options = "--detector patchcore --width 256 --height 352 --coreset 500 --max-train 200 --max-false-rejects 0.02"
    more = "--seed 3 --name cam-1 --overwrite --all-ok --anomaly-dir masks --json"
    settings = parse_settings([*FIT, *options.split(), *more.split()])
    assert settings == FitSettings(
        images=Path("in"),
        out=Path("bundle"),
        anomaly_dir=Path("masks"),
        all_ok=True,
        detector="patchcore",
        width=256,
        height=352,
        coreset=500,
        max_train=200,
        max_false_rejects=0.02,
        seed=3,
        name="cam-1",
        overwrite=True,
        json_output=True,
    )


def test_apply_takes_several_images() -> None:
    settings = parse_settings(["apply", "bundle", "a.png", "folder", "--pictures", "out", "--json"])
    assert isinstance(settings, ApplySettings)
    assert (settings.bundle, settings.images) == (Path("bundle"), [Path("a.png"), Path("folder")])
    assert settings.pictures == Path("out")
    assert settings.json_output


def test_environment_comes_before_defaults_and_after_the_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAINER_FIT__SEED", "7")
    monkeypatch.setenv("TRAINER_FIT__MAX_TRAIN", "900")
    settings = parse_settings([*FIT, "--seed", "8"])
    assert isinstance(settings, FitSettings)
    assert (settings.seed, settings.max_train) == (8, 900)
    assert isinstance(parse_settings(["apply", "bundle", "a.png"]), ApplySettings)


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ("--width 33 --height 32", ["--width", "multiple of 32", "33"]),
        ("--width 32", ["--width and --height go together"]),
        ("--width 2048 --height 32", ["--width", "1024"]),
        ("--max-train 1", ["--max-train", "2"]),
        ("--max-false-rejects 1", ["--max-false-rejects", "less than 1"]),
        ("--max-false-rejects nan", ["--max-false-rejects"]),
        ("--seed -1", ["--seed"]),
        ("--coreset 0", ["--coreset"]),
        ("--name a/b", ["--name"]),
        ("--detector svm", ["--detector", "patchcore"]),
        ("--detector padim --coreset 9", ["--coreset is a setting of patchcore"]),
        ("--seed x --coreset y", ["--seed", "--coreset"]),
    ],
)
def test_bad_values_are_named(options: str, parts: list[str]) -> None:
    with pytest.raises(SettingsError) as caught:
        parse_settings([*FIT, *options.split()])
    assert all(part in str(caught.value) for part in parts), str(caught.value)


@pytest.mark.parametrize("arguments", [["fit"], [*FIT, "--sede", "1"], ["train"], ["apply", "bundle"]])
def test_wrong_usage_ends_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parse_settings(arguments)
    assert caught.value.code == 2
    assert "usage: trainer" in capsys.readouterr().err


def test_settings_are_frozen() -> None:
    settings = parse_settings(FIT)
    with pytest.raises(ValidationError):
        settings.seed = 1  # type: ignore[misc, union-attr]
