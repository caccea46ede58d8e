"""Secrets in files: what is read, and that no refusal shows them."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from inspector.credentials.secrets import MAX_SECRET_BYTES, read_secret
from inspector.errors import ConfigError


@pytest.mark.parametrize("content", [b"canary", b"canary\n", b"canary\r\n", "geheim ß".encode()])
def test_one_line_is_the_secret(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "secret"
    file.write_bytes(content)
    assert read_secret("kafka.sasl_password", None, file) == content.decode().rstrip("\r\n")


def test_a_secret_given_directly_needs_no_file() -> None:
    assert read_secret("x", SecretStr("canary"), None) == "canary"
    assert read_secret("x", None, None) is None


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"canary\nmore\n", b"canary\xff", b"canary" * MAX_SECRET_BYTES], ids=lambda c: repr(c[:9])
)
def test_anything_else_is_refused_without_showing_it(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "secret"
    file.write_bytes(content)
    with pytest.raises(
        ConfigError, match=r"kafka.sasl_password_file: .* does not contain a secret; it must be one line"
    ) as caught:
        read_secret("kafka.sasl_password", None, file)
    assert "canary" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"http.token_file: .*absent cannot be read: No such file"):
        read_secret("http.token", None, tmp_path / "absent")
