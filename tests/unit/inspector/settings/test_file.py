"""From command line, environment and file to settings: precedence, and a sentence for everything wrong."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from inspector.errors import ConfigError
from inspector.settings.example import example_toml
from inspector.settings.file import load_settings
from inspector.settings.settings import CameraSettings, Settings

pytestmark = pytest.mark.usefixtures("no_settings_in_the_environment")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "line.toml"


def test_command_line_wins_over_environment_over_file_over_default(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text('[kafka]\ngroup_id = "file"\nclient_id = "file"\nbootstrap_servers = "file:1"\n')
    monkeypatch.setenv("INSPECTOR_KAFKA__GROUP_ID", "environment")
    monkeypatch.setenv("INSPECTOR_KAFKA__CLIENT_ID", "environment")
    kafka = load_settings(file, overrides={"kafka": {"group_id": "command line"}}).kafka
    assert (kafka.group_id, kafka.client_id, kafka.bootstrap_servers) == ("command line", "environment", "file:1")
    assert kafka.session_timeout_ms == 6_000


def test_without_a_file_defaults_and_environment_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INSPECTOR_LOG_JSON", "true")
    monkeypatch.setenv("INSPECTOR_MODELS", '{"m": "/bundles/m"}')
    loaded = load_settings()
    assert loaded.log_json
    assert loaded.models == {"m": Path("/bundles/m")}


def test_paths_are_relative_to_the_file_that_names_them(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text(
        'trusted_keys = ["k.pub", "/k"]\n[models]\nnear = "bundles/a"\nfar = "/srv/b"\n[kafka]\nssl_cafile = "ca.pem"\nsasl_password_file = "p"\n[http]\ntoken_file = "t"\n'
    )
    monkeypatch.setenv("INSPECTOR_MODELS__here", "c")
    loaded = load_settings(file)
    assert loaded.models == {"near": file.parent / "bundles/a", "far": Path("/srv/b"), "here": Path("c")}
    assert loaded.kafka.ssl_cafile == file.parent / "ca.pem"
    assert loaded.kafka.sasl_password_file == file.parent / "p"
    assert loaded.http.token_file == file.parent / "t"
    assert loaded.trusted_keys == (file.parent / "k.pub", Path("/k"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "[kafka]\nbootstrp_servers = 1",
            "{file}: kafka.bootstrp_servers is not a setting; did you mean 'bootstrap_servers'?",
        ),
        ("devise = 1", "{file}: devise is not a setting; did you mean 'device'?"),
        ("zzz = 1", "{file}: zzz is not a setting"),
        (
            '[models]\nm = "m"\n[[cameras]]\nline_id = "L"\ncamera_id = "C"\nmodel = "m"\nclassification_treshold = 0.5',
            "{file}: cameras.0.classification_treshold is not a setting; did you mean 'classification_threshold'?",
        ),
        ('[[cameras]]\nline_id = "L"\nmodel = "m"', "{file}: cameras.0.camera_id is missing"),
        ("kafka = 3", "{file}: kafka: input should be"),
        ("models = 3", "{file}: models: input should be"),
        ('commit_interval_ms = "soon"', "{file}: commit_interval_ms: input should be a valid integer"),
        ("drain_timeout_s = 60", "drain_timeout_s must be less than kafka.rebalance_timeout_ms"),
        ("[kafka", "{file}: is not TOML: "),
        ("a = 1\na = 2", "{file}: is not TOML: "),
    ],
)
def test_a_wrong_file_is_explained(file: Path, text: str, message: str) -> None:
    file.write_text(text)
    with pytest.raises(ConfigError) as refused:
        load_settings(file)
    assert str(refused.value).startswith(message.format(file=file))


def test_everything_wrong_is_told_at_once_and_where_it_came_from(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text("log_level = 3\ncommit_interval_ms = 0\n")
    monkeypatch.setenv("INSPECTOR_DEVICE", "tpu")
    with pytest.raises(ConfigError) as refused:
        load_settings(file, overrides={"commit_interval_ms": -1})
    lines = {line.split(":")[1].strip(): line.split(":")[0] for line in str(refused.value).splitlines()}
    assert lines == {"device": "environment", "commit_interval_ms": "command line", "log_level": str(file)}


def test_a_missing_or_unreadable_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"the file does not exist; `inspector config --example`"):
        load_settings(tmp_path / "none.toml")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_settings(tmp_path)
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_settings(binary)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("INSPECTOR_KAFK__GROUP_ID", "x", "INSPECTOR_KAFK__GROUP_ID: 'kafk' is not a setting; did you mean 'kafka'?"),
        ("INSPECTOR_KAFKA__GRUOP_ID", "x", "kafka.gruop_id is not a setting; did you mean 'group_id'?"),
        ("INSPECTOR_CAMERAS", "[}", "lists and tables are given as JSON"),
        ("INSPECTOR_HTTP__PORT", "high", "environment: http.port: input should be a valid integer"),
    ],
)
def test_a_wrong_variable_is_explained(monkeypatch: pytest.MonkeyPatch, name: str, value: str, message: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError) as refused:
        load_settings()
    assert message in str(refused.value)


def test_a_wrong_password_setting_does_not_show_the_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INSPECTOR_KAFKA__SASL_PASSWORT", "top-secret")
    with pytest.raises(ConfigError) as refused:
        load_settings()
    assert "top-secret" not in str(refused.value)


def test_example_is_valid_names_every_setting_and_says_the_defaults(file: Path) -> None:
    text = example_toml()
    file.write_text(text)
    assert load_settings(file) == Settings(), "as it is printed it changes nothing"
    file.write_text(re.sub(r"^#(?=\[|\w+ = )", "", text, flags=re.MULTILINE))
    loaded = load_settings(file)
    assert loaded.model_dump(exclude={"models", "cameras"}) == Settings().model_dump(exclude={"models", "cameras"})
    assert [camera.key for camera in loaded.cameras] == ["line1/top", "line1/side"]
    for name in _leaves(Settings.model_fields) | set(CameraSettings.model_fields):
        assert re.search(rf"^#?(\[?\[{name}\]\]?$|{name} =)", text, re.MULTILINE), name
    assert "None" not in text
    assert tomllib.loads(text)["kafka"]["group_id"] == "line-inspector"


def _leaves(fields: dict[str, Any]) -> set[str]:
    found = set()
    for name, field in fields.items():
        inner = getattr(field.annotation, "model_fields", None)
        found |= {name} if inner is None else {name} | _leaves(inner)
    return found
