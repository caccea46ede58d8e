"""Signed bundles: what is read, and the sentence for each that is not."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from inspector.anomaly.errors import BundleError
from inspector.anomaly.model.bundle import read_dl_model
from inspector.anomaly.model.manifest import DIGEST_KEY, MANIFEST_NAME, document_digest, read_manifest
from inspector.anomaly.model.signature import SIGNATURE_NAME, Signers, check_signature, sign
from trainer.commands.cli import run


def key_pair(folder: Path, name: str, *, lock: KeySerializationEncryption | None = None) -> tuple[Path, Path]:
    """A private and a public key, as openssl writes them."""
    key = Ed25519PrivateKey.generate()
    private, public = folder / f"{name}.key", folder / f"{name}.pub"
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock or NoEncryption()))
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return private, public


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path]:
    return key_pair(tmp_path, "release")


def trusting(*public: Path, is_required: bool = True) -> Signers:
    return Signers.of_files(public, is_required=is_required)


def refusal(folder: Path, signers: Signers) -> str:
    with pytest.raises(BundleError) as caught:
        read_manifest(folder, signers=signers)
    return str(caught.value)


def test_a_signed_bundle_is_read_as_before(
    copy: Path, keys: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    before = (copy / MANIFEST_NAME).read_bytes()
    assert run(["sign", str(copy), "--key", str(keys[0])]) == 0
    assert "signed by key " in capsys.readouterr().out
    assert (copy / MANIFEST_NAME).read_bytes() == before, "the digest that settings may pin stays"
    assert read_dl_model(copy, signers=trusting(keys[1])).name == read_dl_model(copy).name


def test_one_of_several_keys_suffices(copy: Path, keys: tuple[Path, Path], tmp_path: Path) -> None:
    _, other = key_pair(tmp_path, "other")
    sign(copy, MANIFEST_NAME, keys[0])
    read_manifest(copy, signers=trusting(other, keys[1]))


def test_an_unsigned_bundle_is_refused_where_a_signature_is_required(copy: Path, keys: tuple[Path, Path]) -> None:
    told = refusal(copy, trusting(keys[1]))
    assert told.startswith(f"{copy} is not signed (it has no {SIGNATURE_NAME}), and require_signature is set")
    assert f"trainer sign {copy} --key KEY" in told
    read_manifest(copy, signers=trusting(keys[1], is_required=False))


def test_a_signature_of_another_key_is_refused_by_name(copy: Path, keys: tuple[Path, Path], tmp_path: Path) -> None:
    strange, _ = key_pair(tmp_path, "strange")
    key = sign(copy, MANIFEST_NAME, strange)
    for is_required in (True, False):
        told = refusal(copy, trusting(keys[1], is_required=is_required))
        assert f"{copy} is signed by key {key[:16]}, which is not one of trusted_keys (" in told


def test_a_manifest_that_was_changed_with_its_own_digest_is_refused(copy: Path, keys: tuple[Path, Path]) -> None:
    sign(copy, MANIFEST_NAME, keys[0])
    document = json.loads((copy / MANIFEST_NAME).read_bytes())
    document["thresholds"]["classification"] = 0.99
    document[DIGEST_KEY] = document_digest(document)
    (copy / MANIFEST_NAME).write_text(json.dumps(document))
    assert read_manifest(copy)[0].thresholds, "who may write the bundle may write its digest too"
    assert f"{copy / MANIFEST_NAME} or its {SIGNATURE_NAME} was changed after key" in refusal(copy, trusting(keys[1]))


def test_the_signature_comes_before_anything_is_parsed(copy: Path, keys: tuple[Path, Path]) -> None:
    sign(copy, MANIFEST_NAME, keys[0])
    (copy / MANIFEST_NAME).write_bytes(b"[" * 100_000)
    assert "was changed after key" in refusal(copy, trusting(keys[1]))


@pytest.mark.parametrize("flip", [0x01, 0x20, 0x80])
def test_no_flipped_byte_of_the_signature_is_taken(copy: Path, keys: tuple[Path, Path], flip: int) -> None:
    sign(copy, MANIFEST_NAME, keys[0])
    path, content = copy / SIGNATURE_NAME, (copy / MANIFEST_NAME).read_bytes()
    line, signers = path.read_bytes(), trusting(keys[1], is_required=False)
    check_signature(copy, MANIFEST_NAME, content, signers)
    for at in range(len(line)):
        path.write_bytes(line[:at] + bytes([line[at] ^ flip]) + line[at + 1 :])
        with pytest.raises(BundleError, match=r"is not a signature|is not one of trusted_keys|was changed after"):
            check_signature(copy, MANIFEST_NAME, content, signers)


def test_no_flipped_byte_of_the_manifest_is_taken(copy: Path, keys: tuple[Path, Path]) -> None:
    sign(copy, MANIFEST_NAME, keys[0])
    content, signers = (copy / MANIFEST_NAME).read_bytes(), trusting(keys[1])
    for at in range(len(content)):
        with pytest.raises(BundleError, match="was changed after"):
            check_signature(copy, MANIFEST_NAME, content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :], signers)


@pytest.mark.parametrize("line", [b"", b"ed25519\n", b"rsa " + b"0" * 64 + b" " + b"0" * 128 + b"\n", b"\x00" * 10_000])
def test_what_is_no_signature_is_refused(copy: Path, keys: tuple[Path, Path], line: bytes) -> None:
    (copy / SIGNATURE_NAME).write_bytes(line)
    assert "is not a signature; copy the bundle again, or sign it again" in refusal(copy, trusting(keys[1]))


def test_a_key_that_is_none_is_refused_with_the_command_that_makes_one(
    copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rsa = tmp_path / "rsa.key"
    rsa.write_bytes(generate_private_key(65537, 2048).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    locked, public = key_pair(tmp_path, "locked", lock=BestAvailableEncryption(b"canary"))
    for path, told in (
        (rsa, "openssl genpkey -algorithm ed25519"),
        (public, "openssl genpkey -algorithm ed25519"),
        (locked, "has a passphrase"),
        (tmp_path / "absent", "cannot be read: No such file"),
    ):
        assert run(["sign", str(copy), "--key", str(path)]) == 1
        assert told in capsys.readouterr().err
    assert not (copy / SIGNATURE_NAME).exists()
    for path in (rsa, tmp_path / "absent"):
        with pytest.raises(BundleError, match="trusted_keys: "):
            trusting(path)


def test_a_damaged_bundle_is_not_signed(
    copy: Path, keys: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    (copy / MANIFEST_NAME).write_bytes((copy / MANIFEST_NAME).read_bytes().replace(b'"name"', b'"nome"', 1))
    assert run(["sign", str(copy), "--key", str(keys[0])]) == 1
    assert "was changed" in capsys.readouterr().err
    assert not (copy / SIGNATURE_NAME).exists()


def test_openssl_makes_the_keys_and_verifies_the_signature(copy: Path, tmp_path: Path) -> None:
    """The commands of docs/access.md."""
    program = shutil.which("openssl")
    if program is None:
        pytest.skip("no openssl here")

    def openssl(*arguments: str) -> str:
        return subprocess.run([program, *arguments], cwd=tmp_path, check=True, capture_output=True, text=True).stdout

    try:
        openssl("genpkey", "-algorithm", "ed25519", "-out", "release.key")
    except subprocess.CalledProcessError:
        pytest.skip("this openssl knows no Ed25519")
    openssl("pkey", "-in", "release.key", "-pubout", "-out", "release.pub")
    sign(copy, MANIFEST_NAME, tmp_path / "release.key")
    read_manifest(copy, signers=trusting(tmp_path / "release.pub"))
    (tmp_path / "sig").write_bytes(bytes.fromhex((copy / SIGNATURE_NAME).read_text().split()[2]))
    verify = ("pkeyutl", "-verify", "-pubin", "-inkey", "release.pub", "-rawin", "-in", str(copy / MANIFEST_NAME))
    assert "Verified Successfully" in openssl(*verify, "-sigfile", "sig")
