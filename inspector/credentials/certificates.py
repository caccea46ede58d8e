"""Turns the certificates and keys of the settings into TLS contexts; what is wrong with a file is said in a sentence."""

from __future__ import annotations

import ssl
from pathlib import Path

from inspector.errors import ConfigError


class ClientContext(ssl.SSLContext):
    """A client's context: it always checks the server's certificate and its host name."""

    certfile: Path | None = None
    """The client's own certificate; None: it shows none."""


def client_context(cafile: Path | None, certfile: Path | None, keyfile: Path | None) -> ClientContext:
    """Return the context of `kafka.ssl_cafile`, `ssl_certfile` and `ssl_keyfile`; without a `cafile` the system's authorities count.

    Raises:
        ConfigError: One of the files is not there, or not what it should be.
    """
    context = ClientContext(ssl.PROTOCOL_TLS_CLIENT)
    if cafile is None:
        context.load_default_certs()
    else:
        if not cafile.is_file():
            raise ConfigError(_missing("kafka.ssl_cafile", cafile))
        try:
            context.load_verify_locations(str(cafile))
        except (OSError, ssl.SSLError) as exc:
            raise ConfigError(
                f"kafka.ssl_cafile: {cafile} does not contain a readable certificate in PEM: {_why(exc)}"
            ) from exc
    if certfile is not None and keyfile is not None:
        load_pair(context, ("kafka.ssl_certfile", certfile), ("kafka.ssl_keyfile", keyfile))
        context.certfile = certfile
    return context


def server_context(certfile: Path, keyfile: Path) -> ssl.SSLContext:
    """Return the context of `http.tls_certfile` and `http.tls_keyfile`: TLS 1.2 and newer.

    Raises:
        ConfigError: They are not a certificate and its key.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    load_pair(context, ("http.tls_certfile", certfile), ("http.tls_keyfile", keyfile))
    return context


def load_pair(context: ssl.SSLContext, certificate: tuple[str, Path], key: tuple[str, Path]) -> None:
    """Let a context show a certificate; each file comes with the name of its setting.

    Raises:
        ConfigError: They are not a certificate and its key, or the key has a passphrase.
    """
    missing = [_missing(setting, path) for setting, path in (certificate, key) if not path.is_file()]
    if missing:
        raise ConfigError("\n".join(missing))
    asked: list[None] = []

    def no_passphrase() -> str:  # without it Python would ask on the terminal
        asked.append(None)
        return "no"

    (cert_setting, cert_path), (key_setting, key_path) = certificate, key
    try:
        context.load_cert_chain(str(cert_path), str(key_path), no_passphrase)
    except (OSError, ssl.SSLError) as exc:
        if asked:
            raise ConfigError(
                f"{key_setting}: {key_path} has a passphrase; give a key without one, in a file that only this user can read"
            ) from exc
        raise ConfigError(
            f"{cert_setting}, {key_setting}: {cert_path} and {key_path} are not a certificate and its key in PEM: "
            f"{_why(exc)}"
        ) from exc


def _missing(setting: str, path: Path) -> str:
    return f"{setting}: the file {path} does not exist; give a PEM file"


def _why(exc: OSError) -> str:
    return getattr(exc, "reason", None) or exc.strerror or str(exc)
