"""The signature of a bundle: `bundle.sig`, Ed25519 over the bytes of `bundle.json`, which name the digests of all other files.

One line: `ed25519`, the signer's public key and the signature, both in hexadecimal. The key in it only tells who claims to have
signed; only the trusted keys count. It is verified before anything of the manifest is parsed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from inspector.anomaly.errors import BundleError
from inspector.anomaly.files import write_file

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

SIGNATURE_NAME = "bundle.sig"

_LINE = re.compile(rb"ed25519 ([0-9a-f]{64}) ([0-9a-f]{128})\n")
_MAX_BYTES = 4096


@dataclass(frozen=True)
class Signers:
    """Whose bundles are accepted.

    Attributes:
        keys: Public keys (32 bytes) that are trusted.
        is_required: Whether a bundle without a signature is refused.
    """

    keys: frozenset[bytes] = frozenset()
    is_required: bool = False

    @classmethod
    def of_files(cls, paths: Sequence[Path], *, is_required: bool) -> Signers:
        """Read public keys.

        Args:
            paths: PEM files of Ed25519 public keys.
            is_required: See the attribute.

        Raises:
            BundleError: A file is not there, or holds no such key.
        """
        return cls(frozenset(_public_key(path) for path in paths), is_required)


NOBODY = Signers()
"""Signatures are not looked at."""


def check_signature(folder: Path, name: str, content: bytes, signers: Signers) -> None:
    """Refuse what was not signed with a trusted key. Without trusted keys nothing is checked, unless a signature is required.

    Args:
        folder: The bundle's folder.
        name: Name of the file that is signed.
        content: Its bytes.
        signers: Whom to trust.

    Raises:
        BundleError: It is not signed, not by a trusted key, or was changed since.
    """
    if not signers.keys and not signers.is_required:
        return
    try:
        with (folder / SIGNATURE_NAME).open("rb") as file:
            line = file.read(_MAX_BYTES)
    except FileNotFoundError as exc:
        if not signers.is_required:
            return
        raise BundleError(
            f"{folder} is not signed (it has no {SIGNATURE_NAME}), and require_signature is set; sign it: "
            f"trainer sign {folder} --key KEY"
        ) from exc
    except OSError as exc:
        raise BundleError(f"{folder / SIGNATURE_NAME} cannot be read: {exc.strerror or exc}") from exc
    found = _LINE.fullmatch(line)
    if found is None:
        raise BundleError(f"{folder / SIGNATURE_NAME} is not a signature; copy the bundle again, or sign it again")
    key, signature = (bytes.fromhex(part.decode()) for part in found.groups())
    if key not in signers.keys:
        trusted = ", ".join(sorted(known.hex()[:16] for known in signers.keys)) or "none"
        raise BundleError(
            f"{folder} is signed by key {key.hex()[:16]}, which is not one of trusted_keys ({trusted}); sign it with "
            "one of these keys, or add its key to them"
        )
    if not _is_signed(content, key, signature):
        raise BundleError(
            f"{folder / name} or its {SIGNATURE_NAME} was changed after key {key.hex()[:16]} signed it; copy the "
            "bundle again, and sign it again only if you know who changed it"
        )


def sign(folder: Path, name: str, key_file: Path) -> str:
    """Sign a file of a bundle; replace the signature that is there. Returns the public key in hexadecimal.

    Args:
        folder: The bundle's folder.
        name: Name of the file to sign.
        key_file: PEM file of an Ed25519 private key without a passphrase.

    Raises:
        BundleError: The key or the file cannot be read, or the signature not be written.
    """
    key = _private_key(key_file)
    public = key.public_key().public_bytes_raw()
    try:
        signature = key.sign((folder / name).read_bytes())
        write_file(folder / SIGNATURE_NAME, f"ed25519 {public.hex()} {signature.hex()}\n".encode())
    except OSError as exc:
        raise BundleError(f"{folder} cannot be signed: {exc.strerror or exc}") from exc
    return public.hex()


def _is_signed(content: bytes, key: bytes, signature: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 only who looks at signatures needs it
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415

    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, content)
    except (InvalidSignature, ValueError):
        return False
    return True


def _public_key(path: Path) -> bytes:
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415 as above
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import load_pem_public_key  # noqa: PLC0415

    try:
        key = load_pem_public_key(path.read_bytes())
    except OSError as exc:
        raise BundleError(f"trusted_keys: {path} cannot be read: {exc.strerror or exc}") from exc
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise BundleError(
            f"trusted_keys: {path} does not contain an Ed25519 public key in PEM; `openssl pkey -in KEY -pubout` "
            "writes the public key of a private one"
        )
    return key.public_bytes_raw()


def _private_key(path: Path) -> Ed25519PrivateKey:
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415 as above
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415

    try:
        key = load_pem_private_key(path.read_bytes(), None)
    except OSError as exc:
        raise BundleError(f"key {path} cannot be read: {exc.strerror or exc}") from exc
    except TypeError as exc:
        raise BundleError(
            f"key {path} has a passphrase; give a key without one, in a file that only you can read"
        ) from exc
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise BundleError(
            f"key {path} is not an Ed25519 private key in PEM; `openssl genpkey -algorithm ed25519 -out KEY` makes one"
        )
    return key
