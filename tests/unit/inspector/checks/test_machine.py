"""What `config --check` tries on this machine: each fault is a sentence that begins with the setting's name."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from pydantic import ValidationError

from inspector.anomaly.errors import BundleError
from inspector.anomaly.model.manifest import DIGEST_KEY, MANIFEST_NAME, document_digest, read_manifest
from inspector.anomaly.model.signature import sign
from inspector.checks import machine
from inspector.checks.machine import boot_faults, bundle_faults, machine_faults
from inspector.inflight.loading import bundle_reader
from inspector.settings.settings import Settings
from tests.models import make_bundle


def faults(**values: Any) -> list[str]:
    return machine_faults(Settings.model_validate(values))


def secure(**files: Path) -> dict[str, Any]:
    return {"kafka": {"security_protocol": "SSL", **{name: str(path) for name, path in files.items()}}}


def test_nothing_is_wrong_with_the_defaults() -> None:
    assert faults() == []
    assert faults(http={"host": "0.0.0.0"}) == []  # noqa: S104 nothing listens
    assert faults(http={"host": "localhost"}) == []


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl here to make a certificate")
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-subj", "/CN=test", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    return certificate, key


def test_files_of_the_connection_that_are_not_there_are_each_named(tmp_path: Path) -> None:
    gone = tmp_path / "gone.pem"
    assert faults(**secure(ssl_cafile=gone, ssl_certfile=gone, ssl_keyfile=gone)) == [
        f"kafka.{name}: the file {gone} does not exist; give a PEM file"
        for name in ("ssl_cafile", "ssl_certfile", "ssl_keyfile")
    ]


def test_files_of_the_connection_that_are_no_certificates_are_named(tmp_path: Path, pair: tuple[Path, Path]) -> None:
    certificate, key = pair
    text = tmp_path / "text.pem"
    text.write_text("no certificate")
    assert faults(**secure(ssl_cafile=certificate, ssl_certfile=certificate, ssl_keyfile=key)) == []
    (fault,) = faults(**secure(ssl_cafile=text))
    assert fault.startswith(f"kafka.ssl_cafile: {text} does not contain a readable certificate in PEM")
    (fault,) = faults(**secure(ssl_certfile=certificate, ssl_keyfile=certificate))
    assert fault.startswith(
        f"kafka.ssl_certfile, kafka.ssl_keyfile: {certificate} and {certificate} are not a certificate and its key"
    )


@pytest.mark.parametrize("host", ["no such host", "203.0.113.7", "x" * 300])
def test_a_host_that_nobody_can_listen_on_is_named(host: str) -> None:
    (fault,) = faults(http={"host": host})
    assert fault.startswith(f"http.host: {host!r} is not an address")
    assert "such as 127.0.0.1" in fault


@pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device is here")
def test_a_device_that_is_not_there_is_named() -> None:
    assert faults(device="cuda:3") == [
        "device: device 'cuda:3' was requested, but torch finds no CUDA device; use device cpu"
    ]


@pytest.mark.parametrize("name", ["decode_threads", "device_threads", "torch_threads"])
def test_a_thousand_threads_are_too_many(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "usable_cores", lambda: 2)
    assert faults(**{name: 1000}) == [
        f"{name}: 1000 threads are too many for 2 cores; give at most 64, or leave it out"
    ]
    assert faults(**{name: 64}) == []
    monkeypatch.setattr(machine, "usable_cores", lambda: 250)
    assert faults(**{name: 1000}) == []


def test_bundles_that_are_not_there_are_named(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    settings = Settings(models={"empty": tmp_path / "empty", "missing": tmp_path / "missing"})
    assert bundle_faults(settings) == [
        f"models.{name}: {tmp_path / name} does not contain bundle.json; `trainer fit` creates such a folder"
        for name in ("empty", "missing")
    ]


def test_bundles_that_were_altered_or_are_not_those_of_their_digests_are_named(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path)
    digest = read_manifest(bundle)[1]
    settings = Settings(models={"m": bundle}, model_digests={"m": digest})
    assert bundle_faults(settings) == []
    manifest = bundle / MANIFEST_NAME
    document = json.loads(manifest.read_bytes())
    manifest.write_text(json.dumps({**document, "version": "2"}))
    (fault,) = bundle_faults(Settings(models={"m": bundle}))
    assert fault.startswith(f"models.m: {manifest} was changed")
    (fault,) = bundle_faults(settings)
    assert fault.startswith(f"models.m: {manifest} is not the requested one")
    document["thresholds"] = None
    manifest.write_text(json.dumps({**document, DIGEST_KEY: document_digest(document)}))
    assert bundle_faults(Settings(models={"m": bundle})) == [
        f"models.m: {bundle} has no thresholds; train it with `trainer fit`"
    ]


def test_folders_of_pictures_that_are_not_there_and_a_missing_extra_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = {
        "allowed_prefixes": (f"file://{tmp_path}/", f"file://{tmp_path}/gone/", "s3://bucket/"),
        "endpoint": "http://127.0.0.1:1",
        "access_key_id": "key",
        "secret_access_key": "secret",
    }
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    tracing = {"endpoint": "http://127.0.0.1:4318"}
    assert machine_faults(Settings(store=store, tracing=tracing)) == [  # type: ignore[arg-type]
        "store.access_key_id: obstore is not installed. In the clone of line-inspector, run: pip install '.[store]'",
        "tracing.endpoint: opentelemetry is not installed. In the clone of line-inspector, run: pip install '.[otel]'",
        (
            f"store.allowed_prefixes: file://{tmp_path}/gone/ is not a folder on this machine; create it, or leave out "
            "the prefix"
        ),
    ]


def test_a_store_of_bundles_that_is_not_there_and_a_cache_that_cannot_be_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    releases = {"store": f"file://{tmp_path}/", "cache": tmp_path / "new" / "cache"}
    assert faults(releases=releases) == []
    assert faults(releases={"store": f"file://{tmp_path}/gone/", "cache": tmp_path / "file" / "cache"}) == [
        f"releases.store: file://{tmp_path}/gone/ is not a folder on this machine; create it, or mount it",
        f"releases.cache: {tmp_path}/file/cache cannot be created or written to; give a folder on this machine",
    ]
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    assert faults(releases=releases) == [
        "releases.store: obstore is not installed. In the clone of line-inspector, run: pip install '.[store]'"
    ]


def test_a_bundle_without_the_signature_that_is_required_is_refused(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path)
    key = Ed25519PrivateKey.generate()
    private, public = tmp_path / "release.key", tmp_path / "release.pub"
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    wanted = {"models": {"m": bundle}, "require_signature": True, "trusted_keys": [public]}
    (fault,) = bundle_faults(Settings.model_validate(wanted))
    assert fault.startswith(f"models.m: {bundle} is not signed")
    with pytest.raises(BundleError, match="is not signed"):
        bundle_reader(Settings.model_validate(wanted))(bundle)
    sign(bundle, "bundle.json", private)
    assert bundle_faults(Settings.model_validate(wanted)) == []
    assert bundle_reader(Settings.model_validate(wanted))(bundle).name
    (fault,) = bundle_faults(Settings.model_validate(wanted | {"trusted_keys": [tmp_path / "absent"]}))
    assert fault.startswith("models.m: trusted_keys: ")


def test_a_signature_cannot_be_required_of_nobody() -> None:
    with pytest.raises(ValidationError, match="require_signature needs trusted_keys"):
        Settings.model_validate({"require_signature": True})


def test_what_may_hang_or_come_later_is_left_to_the_running_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    settings = Settings.model_validate({"device": "cuda", "store": {"allowed_prefixes": (f"file://{tmp_path}/gone/",)}})
    assert len(machine_faults(settings)) == 2
    assert boot_faults(settings) == []
