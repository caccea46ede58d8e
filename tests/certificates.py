"""Certificates for tests: an authority of one's own, servers and clients that it signs, and files of them as Kafka and Python read them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)


@dataclass(frozen=True)
class CertificateFiles:
    """A certificate and its key, as PEM."""

    certificate: Path
    key: Path
    both: Path
    """Key and certificate in one file, as Kafka's keystores are."""


class Authority:
    """Signs certificates and keeps them in a folder."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self._ca = trustme.CA()
        self._folder = folder
        self.file = folder / f"{name}.pem"
        self._ca.cert_pem.write_to_path(str(self.file))

    def issue(self, name: str, *hosts: str, age_days: int = 1, lasts_days: int = 30) -> CertificateFiles:
        """Sign a certificate of common name `name` for these hosts; it began `age_days` ago and lasts `lasts_days` from then."""
        begin = datetime.now(UTC) - timedelta(days=age_days)
        issued = self._ca.issue_cert(
            *hosts, common_name=name, not_before=begin, not_after=begin + timedelta(days=lasts_days)
        )
        key = load_pem_private_key(issued.private_key_pem.bytes(), None)
        key_pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        chain = b"".join(blob.bytes() for blob in issued.cert_chain_pems)
        files = CertificateFiles(*(self._folder / f"{name}-{part}.pem" for part in ("cert", "key", "both")))
        files.certificate.write_bytes(chain)
        files.key.write_bytes(key_pem)
        files.both.write_bytes(key_pem + chain)
        return files
