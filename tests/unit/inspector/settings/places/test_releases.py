from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from inspector.errors import ConfigError
from inspector.settings.file import load_settings
from inspector.settings.settings import Settings

FOLDER = {"store": "file:///srv/models/", "cache": "cache"}


@pytest.mark.parametrize(
    ("releases", "told"),
    [
        ({"store": "https://host/models/", "cache": "c"}, "does not begin with s3:// or file:///"),
        ({"store": "s3://models/line", "cache": "c"}, "does not end with /"),
        ({"store": "file:///srv/models/"}, "store needs cache"),
        ({"store": "s3://models/", "cache": "c"}, "so store.endpoint is needed"),
        ({"stroe": "x"}, "stroe"),
        (FOLDER | {"wait_s": 0}, "wait_s"),
        (FOLDER | {"cache_bytes": 0}, "cache_bytes"),
    ],
)
def test_what_cannot_be_meant_is_refused(releases: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        Settings.model_validate({"releases": releases})


def test_releases_are_off_unless_a_store_is_named() -> None:
    assert not Settings().releases.is_on
    on = Settings.model_validate({"releases": FOLDER}).releases
    assert on.is_on
    assert not on.uses_s3
    s3 = {"store": "s3://models/", "cache": "c"}
    assert Settings.model_validate({"releases": s3, "store": {"endpoint": "http://h"}}).releases.uses_s3


def test_a_relative_cache_lies_beside_the_file(tmp_path: Path) -> None:
    file = tmp_path / "inspector.toml"
    file.write_text('[releases]\nstore = "file:///srv/models/"\ncache = "cache"\n')
    assert load_settings(file).releases.cache == tmp_path / "cache"
    file.write_text('[releases]\nstore = "file:///srv/models/"\ncahce = "cache"\n')
    with pytest.raises(ConfigError, match="did you mean 'cache'"):
        load_settings(file)
