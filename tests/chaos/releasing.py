"""Bundles to be released in a campaign: sound ones, and each kind of broken one, in a store that is a folder."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Literal, get_args

import torch
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from safetensors import torch as safetensors

from inspector.anomaly.model.manifest import DIGEST_KEY, MANIFEST_NAME, document_digest
from inspector.anomaly.model.signature import sign
from inspector.bundles.place import BundlePlace
from inspector.bundles.upload import upload_bundle
from inspector.settings.places.store import StoreSettings
from schemas import BundleReference
from tests.models import make_bundle

Broken = Literal["golden", "truncated", "nan", "signature", "geometry", "digest"]
KINDS: tuple[Broken, ...] = get_args(Broken)

REASONS: Final[dict[Broken, frozenset[str]]] = {
    "truncated": frozenset({"digest"}),
    "digest": frozenset({"digest"}),
    "signature": frozenset({"signature"}),
    "geometry": frozenset({"geometry"}),
    "golden": frozenset({"golden"}),
    "nan": frozenset({"golden", "bundle"}),
}
"""What an inspector may say of each."""

DETECTOR: Final = "detector.safetensors"


class Workshop:
    """Makes bundles from one, signs them and brings them to the store."""

    def __init__(self, original: Path, folder: Path) -> None:
        """Work in `folder`; the store is `folder/store`."""
        self._original, self._folder = original, folder
        folder.mkdir(parents=True, exist_ok=True)
        self.place = BundlePlace(f"file://{folder}/store/", StoreSettings())
        self._private, self.public = _key_pair(folder, "trusted")
        self._stranger, _ = _key_pair(folder, "stranger")
        self.signed = self._copy("settings", lambda _: None)
        """The original, signed: what the settings name."""

    def sound(self, version: int) -> BundleReference:
        """A bundle that judges as the original does, under a digest of its own."""
        return self._upload(self._copy(f"sound-{version}", lambda document: document.update(version=f"v{version}")))

    def broken(self, kind: Broken, number: int) -> BundleReference:
        """A bundle that must not judge."""
        name = f"{kind}-{number}"

        def change(document: dict[str, Any]) -> None:
            document["version"] = name

        if kind == "geometry":
            made = make_bundle(self._folder / name, width=96, height=64, channels=1)
            _change_manifest(made, change)
            sign(made, MANIFEST_NAME, self._private)
            return self._upload(made)
        if kind == "golden":

            def off(document: dict[str, Any]) -> None:
                change(document)
                for sample in document["golden_samples"]:
                    sample["anomaly_score"] = 0.9 * sample["anomaly_score"]

            return self._upload(self._copy(name, off))
        if kind == "nan":
            return self._upload(self._copy(name, change, tensors=_not_numbers))
        made = self._copy(name, change, key=self._stranger if kind == "signature" else None)
        reference = self._upload(made)
        stored = self._folder / "store" / reference.model.digest
        if kind == "truncated":
            content = (stored / DETECTOR).read_bytes()
            (stored / DETECTOR).write_bytes(content[: len(content) // 2])
        elif kind == "digest":
            (stored / MANIFEST_NAME).write_bytes(
                (stored / MANIFEST_NAME).read_bytes().replace(name.encode(), b"other-0")
            )
        return reference

    def _copy(
        self,
        name: str,
        change: Callable[[dict[str, Any]], object],
        *,
        key: Path | None = None,
        tensors: Callable[[dict[str, torch.Tensor]], object] | None = None,
    ) -> Path:
        copy = self._folder / name
        shutil.copytree(self._original, copy)
        if tensors is not None:
            found = safetensors.load((copy / DETECTOR).read_bytes())
            tensors(found)
            content = safetensors.save(found)
            (copy / DETECTOR).write_bytes(content)
            _change_manifest(
                copy, lambda document: document["files"].update({DETECTOR: hashlib.sha256(content).hexdigest()})
            )
        _change_manifest(copy, change)
        sign(copy, MANIFEST_NAME, key or self._private)
        return copy

    def _upload(self, made: Path) -> BundleReference:
        reference = upload_bundle(made, self.place)
        if made != getattr(self, "signed", None):
            shutil.rmtree(made)
        return reference


def _not_numbers(tensors: dict[str, torch.Tensor]) -> None:
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and "projection" not in name:
            tensors[name] = torch.full_like(tensor, float("nan"))


def _change_manifest(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    document = json.loads((folder / MANIFEST_NAME).read_bytes())
    change(document)
    (folder / MANIFEST_NAME).write_text(json.dumps({**document, DIGEST_KEY: document_digest(document)}))


def _key_pair(folder: Path, name: str) -> tuple[Path, Path]:
    key = Ed25519PrivateKey.generate()
    private, public = folder / f"{name}.key", folder / f"{name}.pem"
    plain = serialization.NoEncryption()
    private.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
    public.write_bytes(
        key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    return private, public
