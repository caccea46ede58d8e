"""What `config --check` says of certificates, keys, passwords and tokens that the settings name."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from inspector.checks.certificates import certificate_faults
from inspector.settings.settings import Settings
from tests.certificates import Authority


def faults(now: datetime | None = None, **sections: Any) -> list[str]:
    return list(certificate_faults(Settings.model_validate(sections), now=now))


def pair(certificate: Path, key: Path) -> dict[str, str]:
    return {"ssl_certfile": str(certificate), "ssl_keyfile": str(key)}


def test_what_is_sound_is_not_complained_of(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    files = authority.issue("me", "me.example")
    (tmp_path / "secret").write_text("0123456789abcdef")
    assert not faults(
        kafka={"ssl_cafile": str(authority.file), **pair(files.certificate, files.key)},
        http={
            "tls_certfile": str(files.certificate),
            "tls_keyfile": str(files.key),
            "token_file": str(tmp_path / "secret"),
        },
    )


def test_a_certificate_out_of_its_time_is_named_with_its_date(tmp_path: Path) -> None:
    files = Authority(tmp_path).issue("me", "me.example")
    kafka, http = pair(files.certificate, files.key), {"tls_certfile": files.certificate, "tls_keyfile": files.key}
    late, early = (datetime.now(UTC) + timedelta(days=days) for days in (400, -400))
    told = faults(late, kafka=kafka, http=http)
    assert [re.sub(r"[\d-]{10} [\d:]{5}", "DATE", line) for line in told] == [
        f"{setting}: {files.certificate} has expired on DATE UTC; renew it"
        for setting in ("kafka.ssl_certfile", "http.tls_certfile")
    ]
    (told_early,) = faults(early, kafka=kafka)
    assert "is not valid until" in told_early


def test_a_key_with_a_passphrase_is_refused_and_nobody_is_asked_for_it(tmp_path: Path) -> None:
    files = Authority(tmp_path).issue("me", "me.example")
    key = load_pem_private_key(files.key.read_bytes(), None)
    files.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"canary")))
    (told,) = faults(kafka=pair(files.certificate, files.key))
    assert (
        told
        == f"kafka.ssl_keyfile: {files.key} has a passphrase; give a key without one, in a file that only this user "
        "can read"
    )


def test_a_key_of_another_certificate_is_refused(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    mine, other = authority.issue("me", "me.example"), authority.issue("other", "other.example")
    (told,) = faults(http={"tls_certfile": mine.certificate, "tls_keyfile": other.key})
    assert told.startswith("http.tls_certfile, http.tls_keyfile: ")
    assert "KEY_VALUES_MISMATCH" in told


@pytest.mark.parametrize(
    ("section", "key"),
    [
        ("kafka", "ssl_cafile"),
        ("kafka", "sasl_password_file"),
        ("http", "token_file"),
        ("store", "secret_access_key_file"),
    ],
)
def test_a_missing_file_is_named_by_its_setting(tmp_path: Path, section: str, key: str) -> None:
    (told,) = faults(
        None, **{section: {key: str(tmp_path / "absent")} | ({"access_key_id": "me"} if section == "store" else {})}
    )
    assert told.startswith(f"{section}.{key}: ")
    assert "absent" in told
