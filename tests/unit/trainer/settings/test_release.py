from __future__ import annotations

import pytest

from trainer.errors import SettingsError
from trainer.settings.commands import parse_settings
from trainer.settings.release import ReleaseSettings, RollbackSettings

CAMERA = ["--camera", "line/a"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["release", "b", *CAMERA, "--canary", "100"], "canary"),
        (["release", "b", *CAMERA, "--canary", "0"], "canary"),
        (["release", *CAMERA, "--canary", "5"], "--canary needs a BUNDLE"),
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
