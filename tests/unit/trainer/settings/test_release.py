from __future__ import annotations

import pytest

from trainer.errors import SettingsError
from trainer.settings.commands import parse_settings
from trainer.settings.release import CompareSettings, ReleaseSettings, RollbackSettings

CAMERA = ["--camera", "line/a"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["release", "b", *CAMERA, "--canary", "100"], "canary"),
        (["release", "b", *CAMERA, "--canary", "0"], "canary"),
        (["release", *CAMERA, "--canary", "5"], "--canary and --shadow need a BUNDLE"),
        (["release", *CAMERA, "--shadow"], "--canary and --shadow need a BUNDLE"),
        (["release", "b", *CAMERA, "--shadow", "--canary", "5"], "give only one of them"),
        (["release", "b", *CAMERA, "--shadow", "--threshold", "0.5"], "threshold of its bundle"),
        (
            ["release", "b", *CAMERA, "--domain", "roi.json"],
            "a region of interest cannot be changed while the service runs.*trainer fit --domain",
        ),
        (["release", *CAMERA, "--domain", "roi.json"], "a region of interest cannot be changed while the service runs"),
        (["compare", "--camera", "line"], "camera"),
        (["compare", "--camera", "line/a", "--from", "2026-01-01T00:00:00"], "give the time with its zone"),
        (["compare", "--camera", "line/a", "--model", "XY"], "model"),
        (["compare", "--camera", "line/a", "--pictures", "-1"], "pictures"),
        (["release", "b", *CAMERA, "--canary", "5", "--threshold", "0.5"], "threshold of its bundle"),
        (["release", *CAMERA], "give a BUNDLE, or --threshold"),
        (["release", *CAMERA, "--threshold", "1"], "threshold"),
        (["release", *CAMERA, "--budget-ms", "0"], "budget"),
        (["release", "b", *CAMERA, "--as-set"], "--as-set must be given alone"),
        (["release", *CAMERA, "--as-set", "--budget-ms", "5"], "--as-set must be given alone"),
        (["release", "b", *CAMERA, "--by", "a\nb"], "by"),
        (["rollback", *CAMERA, "--by", ""], "by"),
    ],
)
def test_what_does_not_go_together_is_refused(arguments: list[str], told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        parse_settings(arguments)


@pytest.mark.parametrize("command", ["release", "rollback"])
def test_a_change_without_a_camera_is_refused(command: str) -> None:
    with pytest.raises((SettingsError, SystemExit)):
        parse_settings([command, "--by", "ada"])


def test_what_is_typed_is_what_is_meant() -> None:
    found = parse_settings(["release", "b", *CAMERA, "--camera", "line/b", "--canary", "12.5", "--note", "why"])
    assert isinstance(found, ReleaseSettings)
    assert (found.camera, found.canary, found.note) == (["line/a", "line/b"], 12.5, "why")
    assert isinstance(parse_settings(["rollback", *CAMERA]), RollbackSettings)
    tried = parse_settings(["release", "b", *CAMERA, "--shadow"])
    assert isinstance(tried, ReleaseSettings)
    assert tried.shadow
    compared = parse_settings(["compare", *CAMERA, "--from", "1970-01-01T00:00:01Z"])
    assert isinstance(compared, CompareSettings)
    assert (compared.camera, compared.window_us) == ("line/a", (1_000_000, None))
