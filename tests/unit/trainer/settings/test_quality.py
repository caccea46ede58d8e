"""What `--quality` stands for: the models that the table of `make bench-accuracy` chose, and how an option overrides them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from trainer.errors import SettingsError
from trainer.settings import quality
from trainer.settings.commands import parse_settings
from trainer.settings.fit import FitSettings
from trainer.settings.quality import DEFAULT_QUALITY, QUALITIES, ModelChoice

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


def test_help_promises_no_more_of_the_best_than_that_it_is_the_largest(capsys: pytest.CaptureFixture[str]) -> None:
    assert QUALITIES["best"].backbone == max(choice.backbone for choice in QUALITIES.values())
    with pytest.raises(SystemExit):
        parse_settings(["fit", "--help"])
    shown = " ".join(capsys.readouterr().out.split())
    assert "detector and backbone: fast, balanced, or the largest network of these, not surely more accurate" in shown


def test_the_default_is_a_quality_and_options_override_it() -> None:
    assert chosen() == QUALITIES[DEFAULT_QUALITY]
    assert chosen("--quality", "fast") == QUALITIES["fast"]
    assert chosen("--detector", "patchcore") == ModelChoice("patchcore", "efficientnet_lite0")
    assert chosen("--quality", "fast", "--backbone", "efficientnet_lite2") == ModelChoice("padim", "efficientnet_lite2")


def test_quality_and_detector_contradict_each_other() -> None:
    with pytest.raises(SettingsError, match="--quality chooses the detector; give it or --detector, not both"):
        chosen("--quality", "best", "--detector", "padim")


def test_an_option_of_another_detector_than_the_qualitys_is_refused() -> None:
    with pytest.raises(SettingsError, match="--coreset is a setting of patchcore and fused, not of padim"):
        chosen("--quality", "fast", "--coreset", "10")
