"""What `--quality` stands for: the models that the table of `make bench-accuracy` chose, and how an option overrides them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from inspector.anomaly.model.param import DEFAULT_FEATURE_NORMALIZATION
from trainer.errors import SettingsError
from trainer.settings import quality
from trainer.settings.candidates import CANDIDATES
from trainer.settings.commands import parse_settings
from trainer.settings.fit import FitSettings
from trainer.settings.quality import QUALITIES, WITHOUT_CHOICE, ModelChoice

TABLE = Path(__file__).parents[3] / "benchmarks" / "results" / "accuracy.md"


def chosen(*options: str) -> ModelChoice:
    settings = parse_settings(["fit", "--images", "images", "--out", "out", *options])
    assert isinstance(settings, FitSettings)
    return settings.model_choice


@pytest.mark.parametrize("name", QUALITIES)
def test_a_quality_is_what_the_table_chose(name: quality.Quality) -> None:
    row = re.search(rf"^\| `{name}` \| [^|]+ \| (\w+) · (lite\d) \|", TABLE.read_text(encoding="utf-8"), re.MULTILINE)
    assert row is not None
    assert QUALITIES[name] == ModelChoice(row[1], f"efficientnet_{row[2]}")  # type: ignore[arg-type]


def test_help_says_what_the_best_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert QUALITIES["best"].backbone == max(choice.backbone for choice in QUALITIES.values())
    with pytest.raises(SystemExit):
        parse_settings(["fit", "--help"])
    shown = " ".join(capsys.readouterr().out.split())
    assert (
        "fast: the fastest; balanced: the most accurate that takes at most 1.5 times as long; best: the most accurate"
        in shown
    )


def test_the_default_is_a_quality_and_options_override_it() -> None:
    assert chosen() == QUALITIES[WITHOUT_CHOICE]
    assert chosen("--quality", "fast") == QUALITIES["fast"]
    assert chosen("--detector", "patchcore") == ModelChoice("patchcore", "efficientnet_lite0")
    assert chosen("--quality", "fast", "--backbone", "efficientnet_lite2") == ModelChoice("padim", "efficientnet_lite2")


def test_quality_and_detector_contradict_each_other() -> None:
    with pytest.raises(SettingsError, match="--quality chooses the detector; give it or --detector, not both"):
        chosen("--quality", "best", "--detector", "padim")


def test_an_option_of_another_detector_than_the_qualitys_is_refused() -> None:
    with pytest.raises(SettingsError, match="--coreset is a setting of patchcore and fused, not of padim"):
        chosen("--quality", "fast", "--coreset", "10")


# ----------------------------------------------------------------------------------------------------------------- auto


def asked(*options: str) -> FitSettings:
    settings = parse_settings(["fit", "--images", "images", "--out", "out", *options])
    assert isinstance(settings, FitSettings)
    return settings


def test_auto_is_for_who_asks_for_it() -> None:
    assert asked("--quality", "auto").is_auto
    assert asked("--quality", "auto", "--min-fps", "25").min_fps == 25
    assert asked("--quality", "auto").model_choice == ModelChoice(CANDIDATES[0].detector, CANDIDATES[0].backbone)
    assert not asked("--quality", "fast").is_auto
    assert not asked("--detector", "padim").is_auto


def test_the_default_of_auto_is_the_default_quality() -> None:
    """What auto falls back to is what a fit without options gives, so that choosing costs time and nothing else."""
    assert asked("--quality", "auto").model_choice == QUALITIES["balanced"]
    assert CANDIDATES[0].feature_normalization == DEFAULT_FEATURE_NORMALIZATION[CANDIDATES[0].detector]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (("--backbone", "efficientnet_lite1"), "--backbone"),
        (("--width", "256", "--height", "256"), "--width, --height"),
        (("--coreset", "100"), "--coreset"),
        (("--max-num-epochs", "3"), "--max-num-epochs"),
        (("--preprocess-param", "file.json"), "--preprocess-param"),
        (("--feature-normalization", "vector"), "--feature-normalization"),
        (("--tile", "256"), "--tile"),
    ],
)
def test_what_auto_chooses_cannot_be_given_too(options: tuple[str, ...], named: str) -> None:
    with pytest.raises(SettingsError, match=f"--quality auto chooses the model, so {named} cannot be given too"):
        asked("--quality", "auto", *options)


def test_frames_a_second_go_with_auto_alone() -> None:
    with pytest.raises(SettingsError, match="--min-fps has an effect with --quality auto only"):
        asked("--quality", "fast", "--min-fps", "10")
    with pytest.raises(SettingsError, match="greater than 0"):
        asked("--quality", "auto", "--min-fps", "0")


def test_where_auto_is_the_default_an_option_that_says_what_it_would_choose_turns_it_off() -> None:
    settings = FitSettings.model_construct(**{**dict(asked()), "quality": "auto"})
    settings.model_fields_set.discard("quality")
    assert settings.is_auto
    settings = FitSettings.model_construct(**{**dict(asked("--backbone", "efficientnet_lite2")), "quality": "auto"})
    settings.model_fields_set.discard("quality")
    assert not settings.is_auto
    assert settings.model_choice == ModelChoice(QUALITIES[WITHOUT_CHOICE].detector, "efficientnet_lite2")
