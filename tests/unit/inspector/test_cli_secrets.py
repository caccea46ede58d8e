"""A password and a token that are set come to light nowhere: not in outputs, refusals, dumps or logs."""

from __future__ import annotations

import contextlib
import json
import logging
import traceback
from pathlib import Path

import pytest

from inspector import cli
from inspector.bus.connect import connection_arguments
from inspector.errors import ConfigError
from inspector.settings.file import load_settings

CANARY = "canary-0123456789abcdef"
FILE = f"""
[kafka]
bootstrap_servers = "127.0.0.1:1"
security_protocol = "SASL_PLAINTEXT"
sasl_username = "me"
sasl_password = "{CANARY}"
request_timeout_ms = 2000
rebalance_timeout_ms = 1000
[http]
token = "{CANARY}"
[store]
access_key_id = "me"
secret_access_key = "{CANARY}"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "inspector.toml"
    file.write_text("drain_timeout_s = 0.5\n" + FILE)
    (tmp_path / "image.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    return file


COMMANDS = [
    "config --check FILE",
    "config --check FILE --connect",
    "config --example",
    "results --config FILE",
    "results --config FILE --json",
    "topics apply --config FILE",
    "topics acls --config FILE",
    "topics acls --config FILE --grant",
    "replay FOLDER --camera l/c --rate 1 --config FILE",
    "run --config FILE",
    "run --config FILE --http.port x",
    "run --config FILE --kafka.group_id=",
    f"run --config FILE --kafka.sasl_pasword {CANARY}",
    f"run --config FILE --kafka.sasl_pasword={CANARY}",
    f"run --config FILE --http.token_file x --http.token {CANARY}",
    f"run --kafka.security_protocol SASL_SSL --kafka.sasl_password {CANARY}",
    "run --help",
    "topics --help",
]


@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_shows_a_secret(
    command: str, file: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    words = command.replace("FILE", str(file)).replace("FOLDER", str(file.parent)).split()
    with contextlib.suppress(SystemExit):
        cli.main(words)
    out, err = capfd.readouterr()
    assert out + err
    assert CANARY not in out + err + caplog.text


MISTAKES = [
    FILE.replace("sasl_password =", "sasl_pasword ="),
    FILE.replace('sasl_username = "me"\n', ""),
    FILE.replace(f'"{CANARY}"', f'["{CANARY}"]'),
    FILE.replace("[http]", f'[http]\ntoken_file = "{CANARY[:5]}"'),
    FILE.replace("[http]", f'[http]\nkey = "{CANARY}"'),
    FILE + f'"{CANARY}',
    FILE.replace("[http]", "[http]\nport = 99999"),
    FILE + f'endpoint = "https://me:{CANARY}@store.example"\n',
]


@pytest.mark.parametrize("text", MISTAKES)
def test_no_refusal_of_a_file_shows_a_secret(text: str, tmp_path: Path) -> None:
    file = tmp_path / "inspector.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_settings(file)
    assert CANARY not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("INSPECTOR_KAFKA", f'{{"sasl_password": "{CANARY}"'),
        ("INSPECTOR_KAFKA", f'{{"sasl_password": ["{CANARY}"]}}'),
        ("INSPECTOR_HTTP", f'{{"token": "{CANARY}", "port": -1}}'),
        ("INSPECTOR_KAFKA__SASL_PASSWORD", CANARY),  # without a user
    ],
)
def test_no_refusal_of_the_environment_shows_a_secret(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    monkeypatch.setenv("INSPECTOR_KAFKA__SECURITY_PROTOCOL", "SASL_SSL")
    with pytest.raises(ConfigError) as caught:
        load_settings(None)
    assert CANARY not in "".join(traceback.format_exception(caught.value))


def test_settings_never_show_a_secret_but_clients_get_it(file: Path) -> None:
    settings = load_settings(file)
    shown = [
        repr(settings),
        str(settings),
        settings.model_dump_json(),
        repr(settings.kafka),
        str(settings.model_dump()),
    ]
    shown += [json.dumps(settings.model_dump(mode="json")), f"{settings.http!r} {settings.http}"]
    assert not [text for text in shown if CANARY in text]
    assert connection_arguments(settings.kafka)["sasl_plain_password"] == CANARY
    assert settings.http.read_token() == settings.store.read_secret_key() == CANARY
