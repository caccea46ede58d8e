from __future__ import annotations

import pydoc
import re
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel, ValidationError

from inspector.anomaly.model.param import DLModelParam
from inspector.anomaly.preprocess.param import DLPreprocessParam
from trainer.errors import SettingsError
from trainer.prepare.split import SplitParam
from trainer.settings.commands import ApplySettings, FitSettings, ShowSettings, WorkflowSettings, parse_settings
from trainer.settings.quality import QUALITIES, WITHOUT_CHOICE
from trainer.thresholds.estimate import ThresholdParam
from trainer.thresholds.ok_only import OkOnlyParam

FIT = ["fit", "--images", "in", "--out", "bundle"]


def test_defaults_of_fit() -> None:
    settings = parse_settings(FIT)
    assert isinstance(settings, FitSettings)
    assert (settings.image_dirs, settings.out) == ((Path("in"),), Path("bundle"))
    assert (settings.detector, settings.backbone, settings.seed) == (None, None, 0)
    assert (settings.false_rejects, settings.max_false_rejects, settings.confidence) == (0.05, None, 0.95)
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


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("--images a --images b", {"images": (Path("a"), Path("b"))}),
        ("--images a,b", {"images": (Path("a,b"),)}),
        ("--images=a,b", {"images": (Path("a,b"),)}),
        ("--images a --group-pattern (x)", {"group_pattern": "(x)"}),
        ("--manifest m.csv", {"manifest": Path("m.csv"), "images": ()}),
        ("--archive r --line l --camera c", {"archive": Path("r"), "line": "l", "camera": "c"}),
        (
            "--images a --training-percent 60 --validation-percent 20",
            {"training_percent": 60, "validation_percent": 20},
        ),
        ("--images a --group-by time_window --time-window-minutes 5", {"time_window_minutes": 5}),
        ("--images a --overwrite-split", {"overwrite_split": True}),
        ("--images a --detector student --complexity 8 --max-num-epochs 3", {"complexity": 8, "max_num_epochs": 3}),
        ("--images a --detector student --checkpoint c --error-threshold 0.1", {"checkpoint": Path("c")}),
        ("--images a --detector patchcore --domain-ratio 0.5", {"domain_ratio": 0.5}),
        ("--images a --regularization-noise 0.1", {"regularization_noise": 0.1}),
        ("--images a --backbone efficientnet_lite2", {"backbone": "efficientnet_lite2"}),
        ("--images a --domain 1,2,3,4 --domain-handling keep_domain", {"domain": "1,2,3,4"}),
        ("--images a --normalization-type none", {"normalization_type": "none"}),
        ("--images a --preprocess-param p.json --cache c", {"preprocess_param": Path("p.json"), "cache": Path("c")}),
        ("--images a --cache c --overwrite-cache", {"cache": Path("c"), "overwrite_cache": True}),
        ("--images a --drop-suspects 3", {"drop_suspects": 3}),
        ("--images a", {"drop_suspects": 0}),
        ("--images a --augment flip-vertical,copies=2", {"augment": "flip-vertical,copies=2"}),
        ("--images a", {"geometry": "one-camera"}),
        ("--images a --geometry any", {"geometry": "any"}),
        ("--images a --score-rule std:2", {"score_rule": "std:2"}),
        ("--images a", {"device": "cpu"}),
        ("--images a --device cuda:1", {"device": "cuda:1"}),
        ("--images a --threshold-method halcon", {"threshold_method": "halcon"}),
        ("--images a --max-false-rejects 0.1 --threshold-rule tail_model", {"threshold_rule": "tail_model"}),
        ("--images a --false-rejects 0.02 --confidence 0.9", {"false_rejects": 0.02, "confidence": 0.9}),
    ],
)
def test_options_of_the_procedures_arrive(options: str, expected: dict[str, Any]) -> None:
    settings = parse_settings(["fit", "--out", "x", *options.split()])
    assert {name: getattr(settings, name) for name in expected} == expected


def test_times_of_the_archive_have_their_zone() -> None:
    archive = ["fit", "--out", "x", "--archive", "r", "--line", "l", "--camera", "c"]
    settings = parse_settings([*archive, "--from", "2026-01-01T00:00:00Z", "--to", "2026-01-02T00:00:00+01:00"])
    assert isinstance(settings, FitSettings)
    assert settings.captured_from is not None
    assert settings.captured_to is not None
    assert (settings.captured_to - settings.captured_from).total_seconds() == 23 * 3600
    with pytest.raises(SettingsError, match="--from: give the time with its zone"):
        parse_settings([*archive, "--from", "2026-01-01T00:00:00"])


def test_show_and_workflow_have_the_sources_too() -> None:
    shown = parse_settings(["show", "bundle", "--manifest", "m.csv", "--out", "p"])
    assert isinstance(shown, ShowSettings)
    assert (shown.bundle, shown.manifest, shown.out) == (Path("bundle"), Path("m.csv"), Path("p"))
    run = parse_settings(["workflow", "--images", "a", "--out", "o", "--detector", "student", "--max-num-epochs", "2"])
    assert isinstance(run, WorkflowSettings)
    assert (run.image_dirs, run.detector, run.max_num_epochs) == ((Path("a"),), "student", 2)


def test_the_workflow_takes_its_model_as_the_fit_does() -> None:
    for options, choice in (
        ("", QUALITIES[WITHOUT_CHOICE]),
        ("--quality fast", QUALITIES["fast"]),
        ("--detector patchcore", ("patchcore", "efficientnet_lite0")),
        ("--quality fast --backbone efficientnet_lite2", ("padim", "efficientnet_lite2")),
    ):
        for command in ("workflow", "fit"):
            settings = parse_settings([command, "--images", "a", "--out", "o", *options.split()])
            assert isinstance(settings, WorkflowSettings | FitSettings)
            assert settings.model_choice == choice


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--quality best --detector padim", "--quality chooses the detector; give it or --detector, not both"),
        ("--quality fast --max-num-epochs 3", "--max-num-epochs is a setting of student, not of padim"),
    ],
)
@pytest.mark.parametrize("command", ["fit", "workflow"])
def test_a_model_that_is_said_twice_is_refused(command: str, options: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        parse_settings([command, "--images", "a", "--out", "o", *options.split()])


def test_the_workflow_lays_its_thresholds_as_the_fit_does() -> None:
    run = parse_settings(
        ["workflow", "--images", "a", "--out", "o", "--max-false-rejects", "0.02", "--confidence", "0.9"]
    )
    assert isinstance(run, WorkflowSettings)
    assert (run.max_false_rejects, run.confidence) == (0.02, 0.9)
    with pytest.raises(SettingsError, match="give only one of the two"):
        parse_settings(
            ["workflow", "--images", "a", "--out", "o", "--max-false-rejects", "0.1", "--false-rejects", "0.1"]
        )


def test_the_workflow_takes_images_of_any_size_too() -> None:
    run = parse_settings(["workflow", "--images", "a", "--out", "o", "--geometry", "any"])
    assert isinstance(run, WorkflowSettings)
    assert run.geometry == "any"


def test_a_domain_in_images_of_any_size_is_refused() -> None:
    source = ["fit", "--images", "a", "--out", "o", "--domain", "1,2,3,4"]
    with pytest.raises(SettingsError, match=r"--domain can be used with --geometry one-camera only: .* leave one of"):
        parse_settings([*source, "--geometry", "any"])
    assert isinstance(parse_settings([*source, "--geometry", "one-camera"]), FitSettings)


def test_help_says_where_to_read_of_preprocessing_steps_of_ones_own(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse_settings(["fit", "--help"])
    shown = " ".join(capsys.readouterr().out.split())
    found = re.search(r"preprocessing steps of your own \(see: python -m pydoc ([\w.]+)\)", shown)
    assert found is not None
    assert "register_preprocess_step" in pydoc.render_doc(found[1])


@pytest.mark.parametrize("command", ["fit", "apply", "show", "workflow"])
def test_every_command_that_runs_the_network_takes_a_device(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse_settings([command, "--help"])
    shown = " ".join(capsys.readouterr().out.split())
    assert "--device TEXT device that runs the network: cpu, cuda, cuda:1 (default: cpu)" in shown


@pytest.mark.parametrize(("command", "percents"), [("fit", ("80", None)), ("workflow", ("60", "20"))])
def test_help_says_by_which_percentages_images_are_divided(
    command: str, percents: tuple[str, str | None], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        parse_settings([command, "--help"])
    shown = " ".join(capsys.readouterr().out.split())
    assert f"percentage of the ok images used for training (default: {percents[0]}" in shown
    assert percents[1] is None or f"used only to set the thresholds (default: {percents[1]})" in shown
    assert "ignore the training and test sets given" in shown


def test_a_folder_in_the_environment_needs_no_brackets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAINER_FIT__IMAGES", "folder")
    settings = parse_settings(["fit", "--out", "x"])
    assert isinstance(settings, FitSettings)
    assert settings.image_dirs == (Path("folder"),)


def choices(model: type[BaseModel], name: str) -> set[object]:
    """What a field may be, also where it need not be given."""
    annotation = model.model_fields[name].annotation
    parts = [get_args(part) or (part,) for part in get_args(annotation)]
    return {choice for part in parts for choice in part} - {type(None)}


@pytest.mark.parametrize(
    ("option", "model", "field"),
    [
        ("detector", DLModelParam, "detector"),
        ("group_by", SplitParam, "group_by"),
        ("threshold_method", ThresholdParam, "method"),
        ("threshold_rule", OkOnlyParam, "rule"),
        ("normalization_type", DLPreprocessParam, "normalization_type"),
        ("domain_handling", DLPreprocessParam, "domain_handling"),
    ],
)
def test_the_choices_are_those_of_the_procedures(option: str, model: type[BaseModel], field: str) -> None:
    assert choices(FitSettings, option) == choices(model, field)


def test_a_backbone_is_one_of_ours_or_of_timm(tmp_path: Path) -> None:
    source = ["fit", "--images", str(tmp_path), "--out", "x"]
    settings = parse_settings([*source, "--backbone", "timm:resnet18", "--weights", "resnet18.safetensors"])
    assert isinstance(settings, FitSettings)
    assert (settings.model_choice.backbone, settings.weights) == ("timm:resnet18", Path("resnet18.safetensors"))
    for options, words in (
        (("--backbone", "resnet18"), "must be efficientnet_lite0, efficientnet_lite1, efficientnet_lite2 or timm:NAME"),
        (("--backbone", "timm:hf-hub:a/b"), "or timm:NAME, got 'timm:hf-hub:a/b'"),
        (("--weights", "x"), "--weights needs --backbone timm:NAME; the weights of efficientnet_lite0 come with"),
        (("--width", "100", "--height", "96"), "--width must be a multiple of 32, got 100"),
    ):
        with pytest.raises(SettingsError, match=re.escape(words)):
            parse_settings([*source, *options])


def test_help_shows_the_options_in_groups(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parse_settings(["fit", "--help"])
    assert caught.value.code == 0
    shown = capsys.readouterr().out
    assert shown.startswith("usage: trainer fit --out PATH [options]\n")
    places = [shown.index(f"\n{title}:\n") for title in ("split", "model", "preprocessing", "training", "thresholds")]
    assert places == sorted(places)
    assert shown.index("images: give one of") < shown.index("--manifest PATH") < places[0]
    assert places[1] < shown.index("--detector {padim,patchcore,student,fused}") < places[2]
    assert shown.index("--json, --no-json") > places[-1]
    assert "None" not in shown
    assert "tuple" not in shown


def test_apply_takes_several_images() -> None:
    settings = parse_settings(["apply", "bundle", "a.png", "folder", "--pictures", "out", "--json"])
    assert isinstance(settings, ApplySettings)
    assert (settings.bundle, settings.images) == (Path("bundle"), [Path("a.png"), Path("folder")])
    assert settings.pictures == Path("out")
    assert settings.json_output


@pytest.mark.parametrize(
    "name", ["odd/a,b.png", "[left]", "{1}.png", "12", "null", " a.png", "a,b c.png", "a\\b,c.png"]
)
def test_a_path_is_taken_as_it_is(name: str) -> None:
    settings = parse_settings(["apply", "--json", "--device", "cpu", "out,1", name, "b.png", "--pictures", "p,q"])
    assert isinstance(settings, ApplySettings)
    assert (settings.bundle, settings.images) == (Path("out,1"), [Path(name), Path("b.png")])
    assert settings.pictures == Path("p,q")
    fit = parse_settings(["fit", "--images", name, f"--images={name}", "--out", "a,b"])
    assert isinstance(fit, FitSettings)
    assert (fit.image_dirs, fit.out) == ((Path(name), Path(name)), Path("a,b"))


def test_a_path_like_an_option_stands_behind_two_dashes() -> None:
    settings = parse_settings(["apply", "bundle", "--", "-a,b.png", "--images=c,d"])
    assert isinstance(settings, ApplySettings)
    assert settings.images == [Path("-a,b.png"), Path("--images=c,d")]


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
        ("--width 32", ["--width and --height must be given together"]),
        ("--width 2048 --height 32", ["--width", "1024"]),
        ("--max-train 2", ["--max-train", "3"]),
        ("--false-rejects 1", ["--false-rejects", "less than 1"]),
        ("--confidence 0", ["--confidence", "greater than 0"]),
        (
            "--false-rejects 0.1 --max-false-rejects 0.1",
            ["--false-rejects sets the average share", "give only one of the two"],
        ),
        ("--threshold-rule tail_model", ["--threshold-rule needs --max-false-rejects"]),
        ("--max-false-rejects 1", ["--max-false-rejects", "less than 1"]),
        ("--max-false-rejects nan", ["--max-false-rejects"]),
        ("--seed -1", ["--seed"]),
        ("--coreset 0", ["--coreset"]),
        ("--name a/b", ["--name"]),
        ("--detector svm", ["--detector", "patchcore"]),
        ("--detector padim --coreset 9", ["--coreset is a setting of patchcore and fused"]),
        ("--detector padim --feature-normalization both", ["--feature-normalization both is for fused"]),
        ("--tile 256 --domain-handling keep_domain --domain 1,2,30,40", ["--tile cuts a rectangle", "keep_domain"]),
        ("--seed x --coreset y", ["--seed", "--coreset"]),
        ("--manifest m.csv", ["give one of --images, --manifest and --archive, got --images and --manifest"]),
        ("--line l", ["--line can be given with --archive only"]),
        ("--training-percent 101", ["--training-percent", "100"]),
        ("--training-percent 60 --validation-percent 50", ["sum to more than 100"]),
        ("--group-by time_window", ["--group-by time_window and --time-window-minutes must be given together"]),
        ("--time-window-minutes 3", ["must be given together"]),
        ("--backbone resnet", ["--backbone", "efficientnet_lite0"]),
        ("--detector padim --complexity 3", ["--complexity is a setting of student, not of padim"]),
        ("--detector padim --max-num-epochs 3", ["--max-num-epochs is a setting of student"]),
        ("--detector patchcore --error-threshold 0.1", ["--error-threshold is a setting of student"]),
        ("--detector padim --domain-ratio 0.5", ["--domain-ratio is a setting of student and patchcore, not of padim"]),
        ("--detector patchcore --regularization-noise 1", ["--regularization-noise is a setting of student and padim"]),
        ("--detector padim --checkpoint c", ["--checkpoint is a setting of student"]),
        ("--drop-suspects -1", ["--drop-suspects", "greater than or equal to 0"]),
        ("--detector student --error-threshold 2", ["--error-threshold", "less than or equal to 1"]),
        ("--detector student --domain-ratio 0", ["--domain-ratio", "greater than 0"]),
        ("--domain 1,2", ["--domain", "x,y,width,height"]),
        ("--domain 1,2,3,4 --domain-handling full_domain", ["full_domain does not go with --domain"]),
        ("--domain-handling crop_domain", ["crop_domain does not go without --domain"]),
        ("--preprocess-param p --width 64 --height 64", ["--preprocess-param already sets --width, --height"]),
        ("--preprocess-param p --domain 1,2,3,4", ["--preprocess-param already sets --domain"]),
        ("--score-rule best", ["--score-rule", "top-k:SHARE"]),
        ("--overwrite-cache", ["--overwrite-cache needs --cache"]),
        ("--tile 100", ["--tile must be a multiple of 32, got 100"]),
        ("--tile 16", ["--tile", "32"]),
        ("--quality auto --tile 256", ["--quality auto chooses the model, so --tile cannot be given too"]),
        ("--tile 2048", ["got --tile 2048; also give --width and --height, the size to which each tile is reduced"]),
        ("--tile 512 --width 256 --height 128", ["--tile cuts squares, so --width and --height must be equal"]),
        ("--tile 256 --tile-overlap 129", ["--tile-overlap must be at most half of --tile, here 128 pixels, got 129"]),
        ("--tile-overlap 9", ["--tile-overlap needs --tile"]),
        (
            "--tile 256 --cache c",
            ["--cache and --tile cannot be combined; leave one of them out"],
        ),
        ("--preprocess-param p --tile 64", ["--preprocess-param already sets --tile"]),
        ("--augment zoom=2", ["--augment", "'zoom=2' is not an augmentation"]),
        ("--threshold-method mine", ["--threshold-method", "halcon"]),
        (
            "--threshold-method halcon --threshold-rule tail_model",
            ["--threshold-rule is a setting of --threshold-method"],
        ),
        (
            "--threshold-method halcon_corrected --max-false-rejects 0.05",
            ["--max-false-rejects is a setting of --threshold-method ok_only, not of halcon_corrected"],
        ),
        (
            "--threshold-method halcon --max-false-rejects 0.3 --threshold-rule auto",
            ["--max-false-rejects and --threshold-rule are settings of --threshold-method ok_only, not of halcon"],
        ),
        ("--group-by none --group-pattern (x)", ["--group-pattern has no effect with --group-by none"]),
    ],
)
def test_bad_values_are_named(options: str, parts: list[str]) -> None:
    with pytest.raises(SettingsError) as caught:
        parse_settings([*FIT, *options.split()])
    assert all(part in str(caught.value) for part in parts), str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fit", "--out", "x"], "give one of --images, --manifest and --archive, got none"),
        (["fit", "--out", "x", "--archive", "r", "--line", "l"], "--archive needs --camera LINE/CAMERA"),
        (["fit", "--out", "x", "--manifest", "m", "--all-ok"], "--all-ok can be given with --images only"),
        (["show", "b", "--out", "x"], "give one of --images"),
    ],
)
def test_a_source_that_is_not_whole_is_refused(arguments: list[str], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        parse_settings(arguments)


@pytest.mark.parametrize("arguments", [[*FIT, "--sede", "1"], ["train"], ["apply", "bundle"]])
def test_wrong_usage_ends_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parse_settings(arguments)
    assert caught.value.code == 2
    assert "usage: trainer" in capsys.readouterr().err


def test_settings_are_frozen() -> None:
    settings = parse_settings(FIT)
    with pytest.raises(ValidationError):
        settings.seed = 1  # type: ignore[misc, union-attr]
