"""What loads torch: the device that is asked for, the threads, and bundles as the settings want them."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import torch
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from inspector.anomaly.errors import BundleError
from inspector.errors import ConfigError
from inspector.inflight.loading import bundle_reader, require_device, set_torch_threads
from inspector.settings.settings import Settings
from tests.models import make_bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("bundles"))


def test_a_bundle_is_read_onto_the_device_of_the_settings(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = bundle_reader(Settings.model_validate({"models": {"m": bundle}}))(bundle)
    assert (model.name, len(model.golden_images)) == ("tiny", 2)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(BundleError, match="device 'cuda' was requested"):
        bundle_reader(Settings(device="cuda"))(bundle)


def test_only_the_bundle_with_the_digest_in_the_settings_is_read(bundle: Path) -> None:
    digest = bundle_reader(Settings())(bundle).digest
    named = {"models": {"m": bundle, "other": bundle.parent / "other"}}
    assert bundle_reader(Settings.model_validate({**named, "model_digests": {"m": digest}}))(bundle).digest == digest
    of_another = Settings.model_validate({**named, "model_digests": {"other": "0" * 64}})
    assert bundle_reader(of_another)(bundle).digest == digest
    with pytest.raises(BundleError, match="0000"):
        bundle_reader(Settings.model_validate({**named, "model_digests": {"m": "0" * 64}}))(bundle)


@pytest.mark.parametrize("is_required", [True, False])
def test_a_signature_is_wanted_where_the_settings_say_so(bundle: Path, tmp_path: Path, *, is_required: bool) -> None:
    public = tmp_path / "release.pub"
    key = Ed25519PrivateKey.generate().public_key()
    public.write_bytes(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    wanted = {"models": {"m": bundle}, "require_signature": is_required, "trusted_keys": [public]}
    read = bundle_reader(Settings.model_validate(wanted))
    if is_required:
        with pytest.raises(BundleError, match="is not signed"):
            read(bundle)
    else:
        assert read(bundle).name == "tiny"


def test_one_forward_pass_uses_the_threads_that_are_set() -> None:
    seen: list[int] = []

    def compute() -> None:
        set_torch_threads(2)
        seen.append(torch.get_num_threads())

    thread = threading.Thread(target=compute)
    thread.start()
    thread.join()
    assert seen == [2]


def test_a_cpu_is_always_there_and_a_gpu_that_is_not_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    require_device(Settings(device="cpu"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match=r"^device: .*cuda"):
        require_device(Settings(device="cuda"))
