"""Passwords and tokens: from the settings or from a file that only the service may read. None is ever printed."""

from __future__ import annotations

import re
from pathlib import Path

from pydantic import SecretStr

from inspector.errors import ConfigError

MAX_SECRET_BYTES = 4096
MIN_TOKEN_CHARACTERS = 16
"""A shorter token could be guessed by many attempts."""

_TOKEN = re.compile(r"[!-~]+")


def read_secret(setting: str, value: SecretStr | None, file: Path | None) -> str | None:
    """Return the secret that is given directly or in a file; None where neither is.

    Of a file's contents the ends of lines behind the secret do not count.

    Args:
        setting: name of the setting that holds it; that of the file's ends in `_file`.
        value: the secret itself.
        file: where it stands instead.

    Raises:
        ConfigError: The file cannot be read, or holds none. The sentence never shows what it holds.
    """
    if file is None:
        return None if value is None else value.get_secret_value()
    try:
        with file.open("rb") as opened:
            content = opened.read(MAX_SECRET_BYTES + 1)
    except OSError as exc:
        raise ConfigError(f"{setting}_file: {file} cannot be read: {exc.strerror or exc}") from exc
    try:
        secret = content.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        secret = ""
    if not secret or len(content) > MAX_SECRET_BYTES or "\n" in secret:
        raise ConfigError(f"{setting}_file: {file} does not contain a secret; it must be one line of UTF-8 text")
    return secret


def check_token(setting: str, token: str) -> None:
    """Refuse a token that cannot be sent, or that can be guessed.

    Raises:
        ConfigError: It is one; the sentence does not show it.
    """
    if len(token) < MIN_TOKEN_CHARACTERS or not _TOKEN.fullmatch(token):
        raise ConfigError(
            f"{setting}: a token must have at least {MIN_TOKEN_CHARACTERS} ASCII letters, digits or signs, without "
            "spaces; `openssl rand -hex 32` makes one"
        )
