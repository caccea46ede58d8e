"""Whether the files of certificates, keys, passwords and tokens in the settings exist, match each other, and are valid today."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from inspector.credentials.certificates import client_context, server_context
from inspector.errors import ConfigError
from inspector.settings.settings import Settings


def certificate_faults(settings: Settings, *, now: datetime | None = None) -> Iterator[str]:
    """Yield a sentence for each file that cannot be used; none shows what a secret is.

    Args:
        settings: which name the files.
        now: the present time, unless it is another.
    """
    kafka, http = settings.kafka, settings.http
    own: dict[str, Path | None] = {
        "kafka.ssl_certfile": kafka.ssl_certfile,
        "http.tls_certfile": http.tls_certfile,
    }
    for check in (
        lambda: client_context(kafka.ssl_cafile, None, None),
        lambda: client_context(None, kafka.ssl_certfile, kafka.ssl_keyfile),
        lambda: (
            None
            if http.tls_certfile is None or http.tls_keyfile is None
            else server_context(http.tls_certfile, http.tls_keyfile)
        ),
        kafka.read_password,
        http.read_token,
        settings.store.read_secret_key,
        settings.archive.read_secret_key,
    ):
        try:
            check()
        except ConfigError as exc:
            yield from str(exc).splitlines()
    for setting, path in own.items():
        if path is not None and path.is_file():
            yield from _out_of_time(setting, path, now or datetime.now(UTC))


def _out_of_time(setting: str, path: Path, now: datetime) -> Iterator[str]:
    try:
        from cryptography import x509  # noqa: PLC0415 the clients' install lacks it
    except ModuleNotFoundError:
        return
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError):
        return  # it was said that it is none
    if now > certificate.not_valid_after_utc:
        yield f"{setting}: {path} has expired on {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC; renew it"
    elif now < certificate.not_valid_before_utc:
        yield f"{setting}: {path} is not valid until {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC; set the clock, or renew it"
