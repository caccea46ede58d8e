from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from inspector.errors import ConfigError
from inspector.settings.file import load_settings
from inspector.settings.places.archive import ArchiveSettings
from inspector.settings.settings import Settings

KEYS = {"access_key_id": "AK", "secret_access_key": "very secret"}


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"url": "http://host/archive"}, "is neither a folder nor of the form s3://bucket/prefix"),
        ({"url": "s3://bucket/../other"}, "is neither a folder nor of the form s3://bucket/prefix"),
        ({"endpoint": "https://user:word@host"}, "endpoint must be an address"),
        ({"endpoint": "https://host/path"}, "endpoint must be an address"),
        ({"access_key_id": "AK"}, "access_key_id and secret_access_key go together"),
        ({**KEYS, "secret_access_key_file": "k"}, "give secret_access_key or secret_access_key_file, not both"),
        ({"near": 1}, "less than 1"),
        ({"ok_per_day": 0}, "greater than or equal to 1"),
    ],
)
def test_what_cannot_work_is_refused(values: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        ArchiveSettings.model_validate(values)


def test_the_inspectors_group_is_theirs_alone() -> None:
    with pytest.raises(ValidationError, match=r"archive\.group_id must not be kafka\.group_id"):
        Settings.model_validate({"kafka": {"group_id": "one"}, "archive": {"group_id": "one"}})


def test_a_folder_is_relative_to_the_settings_file_and_a_store_is_not(tmp_path: Path) -> None:
    file = tmp_path / "line.toml"
    for url, meant in (
        ("archive", str(tmp_path / "archive")),
        ("/srv/a", "/srv/a"),
        ("s3://bucket/a", "s3://bucket/a"),
    ):
        file.write_text(f'[archive]\nurl = "{url}"\n')
        assert load_settings(file).archive.url == meant


def test_the_key_comes_from_its_file_and_is_shown_nowhere(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("very secret\n")
    settings = ArchiveSettings.model_validate({"access_key_id": "AK", "secret_access_key_file": str(tmp_path / "key")})
    assert settings.read_secret_key() == "very secret"
    assert "very secret" not in repr(ArchiveSettings.model_validate(KEYS))
    gone = ArchiveSettings.model_validate({"access_key_id": "AK", "secret_access_key_file": str(tmp_path / "no")})
    with pytest.raises(ConfigError, match=r"archive\.secret_access_key"):
        gone.read_secret_key()
