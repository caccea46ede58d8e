"""Variables of the environment as settings of a command."""

from __future__ import annotations

from pathlib import Path

import pytest

from trainer.errors import SettingsError
from trainer.settings.commands import FitSettings, parse_settings

FIT = ["fit", "--images", "in", "--out", "bundle"]


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("TRAINER_FIT__SEED", "x", "TRAINER_FIT__SEED: input should be a valid integer.*, got 'x'"),
        ("TRAINER_FIT__SEDE", "1", "^TRAINER_FIT__SEDE is no setting$"),
        ("TRAINER_FIT", "{", "environment: .*fit.*; lists and tables are given as JSON"),
    ],
)
def test_a_wrong_variable_is_named(name: str, value: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=message):
        parse_settings(FIT)


def test_an_option_over_a_wrong_variable_is_named_as_the_option(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAINER_FIT__SEED", "x")
    with pytest.raises(SettingsError, match=r"^--seed: .*, got 'y'"):
        parse_settings([*FIT, "--seed", "y"])


def test_a_whole_command_can_be_given_as_json_and_each_flag_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAINER_FIT", '{"seed": 3, "overwrite": true}')
    monkeypatch.setenv("TRAINER_FIT__JSON", "true")
    settings = parse_settings([*FIT, "--no-overwrite"])
    assert isinstance(settings, FitSettings)
    assert (settings.seed, settings.overwrite, settings.json_output) == (3, False, True)


def test_variables_of_another_command_are_not_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAINER_APPLY__DEVICE", "cuda")
    monkeypatch.setenv("TRAINER_SHOW__NOTHING", "1")
    assert isinstance(parse_settings(FIT), FitSettings)


def test_what_is_required_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match=r"^--out is missing$"):
        parse_settings(["fit", "--images", "in"])
    monkeypatch.setenv("TRAINER_FIT__OUT", "bundle")
    settings = parse_settings(["fit", "--images", "in"])
    assert isinstance(settings, FitSettings)
    assert settings.out == Path("bundle")
