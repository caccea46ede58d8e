"""Bundles to a store and back: one suite, on a folder and on a real S3 server."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from inspector.anomaly.model.bundle import read_dl_model
from inspector.anomaly.model.manifest import DIGEST_KEY, document_digest
from inspector.anomaly.model.signature import NOBODY, Signers, sign
from inspector.bundles.cache import BundleCache
from inspector.bundles.download import download_bundle
from inspector.bundles.errors import BundleStoreError
from inspector.bundles.place import BundlePlace
from inspector.bundles.upload import upload_bundle
from inspector.settings.places.store import StoreSettings
from schemas import BundleReference
from tests.models import make_bundle
from tests.s3_server import BUCKET, S3Server, running_s3_server

MOST = 1 << 30
KEYS = {"access_key_id": "test", "secret_access_key": "test"}


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with running_s3_server(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("made"))


@pytest.fixture(params=["folder", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path, unique_name: str) -> BundlePlace:
    if request.param == "folder":
        return BundlePlace(f"file://{tmp_path}/{unique_name}/", StoreSettings())
    server: S3Server = request.getfixturevalue("s3")
    return BundlePlace(
        f"s3://{BUCKET}/{unique_name}/", StoreSettings.model_validate({"endpoint": server.endpoint, **KEYS})
    )


def fetch(place: BundlePlace, reference: BundleReference, into: Path, **changes: Any) -> Path:
    into.mkdir(exist_ok=True)
    options: dict[str, Any] = {"read_signers": lambda: NOBODY, "max_bytes": MOST} | changes
    download_bundle(reference.url, options.pop("digest", reference.model.digest), place, into, **options)
    return into


def refusal(place: BundlePlace, reference: BundleReference, into: Path, **changes: Any) -> BundleStoreError:
    with pytest.raises(BundleStoreError) as caught:
        fetch(place, reference, into, **changes)
    return caught.value


def spoil(
    place: BundlePlace, reference: BundleReference, name: str, change: Callable[[bytes], bytes], scratch: Path
) -> None:
    """Put another content in the place of a file of the store."""
    key = f"{place.name(reference.url)}/{name}"
    file = scratch / "spoilt"
    file.write_bytes(change(b"".join(place.read(key))))
    place.put(file, key)


def signing_key(folder: Path) -> tuple[Path, Path]:
    key = Ed25519PrivateKey.generate()
    private, public = folder / "key.pem", folder / "public.pem"
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    public.write_bytes(
        key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    return private, public


def test_a_bundle_comes_back_as_it_was_and_a_second_upload_changes_nothing(
    place: BundlePlace, bundle: Path, tmp_path: Path
) -> None:
    reference = upload_bundle(bundle, place)
    assert reference.url == f"{place.url}{reference.model.digest}/"
    assert upload_bundle(bundle, place) == reference
    back = fetch(place, reference, tmp_path / "back")
    assert {file.name: file.read_bytes() for file in back.iterdir()} == {
        file.name: file.read_bytes() for file in bundle.iterdir()
    }
    assert read_dl_model(back).digest == reference.model.digest


def test_what_the_store_holds_is_believed_in_nothing(place: BundlePlace, bundle: Path, tmp_path: Path) -> None:
    reference = upload_bundle(bundle, place)
    for number, (name, change, reason) in enumerate(
        [
            ("detector.safetensors", lambda data: data[:-100], "digest"),
            ("golden.safetensors", lambda data: data + b"\0", "digest"),
            ("backbone.safetensors", lambda data: data[:-1] + bytes([data[-1] ^ 1]), "digest"),
            ("bundle.json", lambda data: data + b" ", "digest"),
        ]
    ):
        spoil(place, reference, name, change, tmp_path)
        told = refusal(place, reference, tmp_path / str(number))
        assert (told.reason, told.is_final) == (reason, True)
        assert name in str(told)
        place.put(bundle / name, f"{place.name(reference.url)}/{name}")
    assert refusal(place, reference, tmp_path / "small", max_bytes=1000).reason == "too_large"
    assert refusal(place, reference, tmp_path / "other", digest="ab" * 32).reason == "digest"
    elsewhere = reference.model_copy(update={"url": "s3://elsewhere/models/"})
    assert refusal(place, elsewhere, tmp_path / "elsewhere").reason == "not_allowed"
    climbing = reference.model_copy(update={"url": f"{place.url}../other/"})
    assert refusal(place, climbing, tmp_path / "climbing").reason == "not_allowed"
    nowhere = reference.model_copy(update={"url": f"{place.url}none/"})
    told = refusal(place, nowhere, tmp_path / "nowhere")
    assert told.reason == "missing"
    assert "upload the bundle again" in str(told)


def test_a_manifest_that_names_other_files_is_refused(place: BundlePlace, bundle: Path, tmp_path: Path) -> None:
    reference = upload_bundle(bundle, place)
    document = json.loads((bundle / "bundle.json").read_bytes())
    document["files"]["../../etc/passwd"] = "ab" * 32
    content = json.dumps({**document, DIGEST_KEY: document_digest(document)}).encode()
    spoil(place, reference, "bundle.json", lambda _: content, tmp_path)
    told = refusal(place, reference, tmp_path / "x", digest=hashlib.sha256(content).hexdigest())
    assert told.reason == "manifest"
    assert "does not belong to a bundle" in str(told)


def test_signatures_are_looked_at_before_any_weights_are_fetched(
    place: BundlePlace, bundle: Path, tmp_path: Path
) -> None:
    private, public = signing_key(tmp_path)
    elsewhere = tmp_path / "stranger"
    elsewhere.mkdir()
    _, stranger = signing_key(elsewhere)
    trusted = Signers.of_files([public], is_required=True)
    reference = upload_bundle(bundle, place)
    told = refusal(place, reference, tmp_path / "unsigned", read_signers=lambda: trusted)
    assert told.reason == "signature"
    assert not list((tmp_path / "unsigned").glob("*.safetensors"))
    signed = tmp_path / "signed"
    fetch(place, reference, signed)
    sign(signed, "bundle.json", private)
    assert upload_bundle(signed, place) == reference
    fetch(place, reference, tmp_path / "trusted", read_signers=lambda: trusted)
    others = Signers.of_files([stranger], is_required=False)
    assert refusal(place, reference, tmp_path / "foreign", read_signers=lambda: others).reason == "signature"


def test_an_upload_refuses_what_was_altered_or_is_no_bundle(place: BundlePlace, bundle: Path, tmp_path: Path) -> None:
    reference = upload_bundle(bundle, place)
    copy = fetch(place, reference, tmp_path / "copy")
    (copy / "detector.safetensors").write_bytes(b"other")
    with pytest.raises(BundleStoreError, match=r"detector\.safetensors was changed"):
        upload_bundle(copy, place)
    (copy / "detector.safetensors").unlink()
    with pytest.raises(BundleStoreError, match="cannot be read"):
        upload_bundle(copy, place)


def test_a_store_that_is_away_is_worth_another_try(s3: S3Server, bundle: Path, tmp_path: Path) -> None:
    reference = upload_bundle(
        bundle, BundlePlace(f"s3://{BUCKET}/away/", StoreSettings.model_validate({"endpoint": s3.endpoint, **KEYS}))
    )
    nobody = StoreSettings.model_validate({"endpoint": "http://127.0.0.1:9", **KEYS})
    told = refusal(BundlePlace(f"s3://{BUCKET}/away/", nobody), reference, tmp_path / "away")
    assert (told.reason, told.is_final) == ("unreachable", False)
    unmounted = BundlePlace(f"file://{tmp_path}/unmounted/", StoreSettings())
    there = reference.model_copy(update={"url": f"file://{tmp_path}/unmounted/x/"})
    told = refusal(unmounted, there, tmp_path / "away")
    assert (told.reason, told.is_final) == ("unreachable", False)
    assert "is it mounted" in str(told)


def test_a_fetch_that_fails_leaves_nothing_and_one_that_succeeds_is_done_once(
    place: BundlePlace, bundle: Path, tmp_path: Path
) -> None:
    reference = upload_bundle(bundle, place)
    cache = BundleCache(tmp_path / "cache", MOST)
    digest, calls = reference.model.digest, []

    def download(into: Path) -> None:
        calls.append(into)
        fetch(place, reference, into)

    def fail(into: Path) -> None:
        (into / "half").write_bytes(b"half")
        raise BundleStoreError("unreachable", "the store went away")

    with pytest.raises(BundleStoreError):
        cache.fetch(digest, fail)
    assert cache.find(digest) is None
    assert list((tmp_path / "cache" / "bundles").iterdir()) == []
    assert cache.fetch(digest, download) == cache.fetch(digest, download) == cache.find(digest)
    assert len(calls) == 1
    assert read_dl_model(tmp_path / "cache" / "bundles" / digest).digest == digest
