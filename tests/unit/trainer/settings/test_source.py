from __future__ import annotations

import re

import pytest

from trainer.errors import SettingsError
from trainer.settings.commands import FitSettings, parse_settings
from trainer.settings.source import SourceSettings


@pytest.mark.parametrize("command", [["fit"], ["workflow"], ["show", "bundle"]])
def test_what_says_the_labels_goes_with_every_command_that_reads_them(command: list[str]) -> None:
    given = [*command, "--images", "a", "--out", "o"]
    settings = parse_settings([*given, "--ok-folder", "pass", "--ok-folder", "0"])
    assert isinstance(settings, SourceSettings)
    assert settings.ok_folder == ("pass", "0")
    settings = parse_settings([*given, "--label-pattern", "_(OK|NOK)"])
    assert isinstance(settings, SourceSettings)
    assert settings.label_pattern == "_(OK|NOK)"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            ["--images", "a", "--all-ok", "--ok-folder", "b"],
            "--all-ok and --ok-folder each say what is ok; give only one of them",
        ),
        (["--images", "a", "--ok-folder", "b", "--label-pattern", "(ok)"], "--ok-folder and --label-pattern each say"),
        (["--manifest", "m", "--ok-folder", "b"], "--ok-folder can be given with --images only"),
        (["--images", "a", "--label-pattern", "("], "--label-pattern: is not a regular expression: "),
        (
            ["--images", "a", "--group-pattern", "part"],
            "--group-pattern: captures nothing; put the part that names the group into parentheses",
        ),
        (["--manifest", "m", "--label-pattern", "(ok)"], "--label-pattern can be given with --images only"),
    ],
)
def test_labels_are_said_once(options: list[str], words: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(words)):
        parse_settings(["fit", "--out", "o", *options])


def test_a_camera_may_come_with_its_line() -> None:
    for names in (["--camera", "l1/c1"], ["--line", "l1", "--camera", "c1"]):
        settings = parse_settings(["fit", "--out", "o", "--archive", "a", *names])
        assert isinstance(settings, FitSettings)
        assert (settings.line, settings.camera) == ("l1", "c1")


def test_a_backtest_needs_a_whole_camera_and_times_with_their_zone() -> None:
    given = ["backtest", "--bundle", "b", "--archive", "a", "--camera"]
    for options, words in (
        (["c1"], "--camera"),
        (["l1/c1", "--from", "2026-11-01T00:00:00"], "--from: give the time with its zone"),
    ):
        with pytest.raises(SettingsError, match=words):
            parse_settings([*given, *options])
