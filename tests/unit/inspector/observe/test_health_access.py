"""Metrics and health behind a certificate and a token: who sees what, and that nobody who comes in wrongly disturbs the others."""

from __future__ import annotations

import contextlib
import http.client
import logging
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from inspector.errors import ConfigError
from inspector.observe.health import Health, HealthServer
from inspector.observe.metrics import Metrics
from inspector.settings.watch.http import HttpSettings
from tests.certificates import Authority

TOKEN = "0123456789abcdef-canary"


@contextlib.contextmanager
def serving(settings: HttpSettings) -> Iterator[HealthServer]:
    registry = CollectorRegistry()
    Metrics(registry).batch(3)
    server = HealthServer(settings, Health(hang_after_s=60, awaits=("models",)), registry)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def get(server: HealthServer, path: str, token: str | None = None, *, trust: Path | None = None) -> tuple[int, str]:
    context = None if trust is None else ssl.create_default_context(cafile=str(trust))
    connection = (
        http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        if context is None
        else http.client.HTTPSConnection("127.0.0.1", server.port, timeout=30, context=context)
    )
    with contextlib.closing(connection):
        connection.request("GET", path, headers={} if token is None else {"Authorization": token})
        response = connection.getresponse()
        return response.status, response.read().decode()


@pytest.mark.parametrize(
    "given",
    [
        None,
        "",
        "Bearer",
        "Bearer wrong",
        f"Basic {TOKEN}",
        TOKEN,
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[:-1]}",
        "Bearer é",
    ],
)
def test_metrics_are_for_who_sends_the_token(given: str | None) -> None:
    with serving(HttpSettings.model_validate({"port": 0, "token": TOKEN})) as server:
        status, body = get(server, "/metrics", given)
        assert (status, body) == (401, "send the token: Authorization: Bearer ...\n")
        assert get(server, "/metrics", f"Bearer {TOKEN}")[0] == 200


def test_health_is_open_but_its_reasons_are_not() -> None:
    with serving(HttpSettings.model_validate({"port": 0, "token": TOKEN})) as server:
        assert get(server, "/healthz") == (200, "ok\n")
        assert get(server, "/readyz") == (503, "the reasons are only shown to clients that send the token\n")
        assert get(server, "/readyz", f"bearer {TOKEN}") == (503, "models: not there yet\n")


def test_a_token_in_a_file_counts(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(TOKEN + "\n")
    with serving(HttpSettings(port=0, token_file=file)) as server:
        assert get(server, "/metrics")[0] == 401
        assert get(server, "/metrics", f"Bearer {TOKEN}")[0] == 200


def https(tmp_path: Path) -> tuple[HttpSettings, Authority]:
    authority = Authority(tmp_path)
    files = authority.issue("inspector", "127.0.0.1")
    return HttpSettings(port=0, tls_certfile=files.certificate, tls_keyfile=files.key), authority


def test_https_is_spoken_with_the_certificate(tmp_path: Path) -> None:
    settings, authority = https(tmp_path)
    other = Authority(tmp_path, "other")
    with serving(settings) as server:
        assert "inspector_batch_frames_count 1.0" in get(server, "/metrics", trust=authority.file)[1]
        with pytest.raises(ssl.SSLCertVerificationError):
            get(server, "/metrics", trust=other.file)


def test_who_speaks_no_tls_or_says_nothing_disturbs_nobody(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    settings, authority = https(tmp_path)
    with serving(settings) as server, socket.create_connection(("127.0.0.1", server.port)):  # says nothing, and stays
        with pytest.raises((http.client.BadStatusLine, ConnectionError)):
            get(server, "/metrics")  # plain HTTP
        assert get(server, "/healthz", trust=authority.file) == (200, "ok\n")
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({}, "set http.tls_certfile with its key and http.token_file, or use 127.0.0.1"),
        ({"token": TOKEN}, "or intercept the token; set http.tls_certfile with its key, or use"),
    ],
)
def test_an_address_for_the_whole_network_without_protection_is_warned_of(
    settings: dict[str, str], told: str, caplog: pytest.LogCaptureFixture
) -> None:
    with serving(HttpSettings.model_validate({"port": 0, "host": "0.0.0.0"} | settings)):  # noqa: S104
        pass
    (warned,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert told in warned
    assert TOKEN not in warned


def test_loopback_needs_no_protection(caplog: pytest.LogCaptureFixture) -> None:
    with serving(HttpSettings(port=0, host="localhost")):
        pass
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize("token", ["short", "with a space in it", "naïve-naïve-naïve"])
def test_a_token_that_can_be_guessed_or_not_be_sent_is_refused(token: str) -> None:
    with pytest.raises(ConfigError, match="openssl rand -hex 32") as caught:
        HealthServer(
            HttpSettings.model_validate({"port": 0, "token": token}), Health(hang_after_s=1), CollectorRegistry()
        )
    assert token not in str(caught.value)
