"""Weights of a network of timm: from a file, or as timm publishes them; never from anywhere else."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import torch as safetensors

from inspector.anomaly.errors import WeightsError
from inspector.anomaly.network.weights import SOURCES, load_backbone, weights_digest
from tests.timm_weights import RESNET, VIT, require_timm, write_weights

timm = require_timm()


def test_weights_come_from_the_file_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    create, asked = timm.create_model, []

    def spy(*args: Any, **options: Any) -> Any:
        asked.append(options["pretrained"])
        return create(*args, **options)

    path = write_weights(tmp_path / "weights.safetensors", RESNET)
    monkeypatch.setattr(timm, "create_model", spy)
    first, again = load_backbone(RESNET, (3,), path).state_dict(), load_backbone(RESNET, (3,), str(path)).state_dict()
    assert first.keys() == again.keys()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not any(asked)
    stored = safetensors.load(path.read_bytes())
    assert all(torch.equal(value, stored[name.removeprefix("network.")]) for name, value in first.items())


def test_a_classifier_in_the_file_does_no_harm(tmp_path: Path) -> None:
    path = write_weights(tmp_path / "weights.safetensors", RESNET)
    more = {**safetensors.load(path.read_bytes()), "fc.weight": torch.ones(1000, 512), "fc.bias": torch.ones(1000)}
    path.write_bytes(safetensors.save(more))
    load_backbone(RESNET, (3,), path)


def test_refused_files(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"none\.safetensors cannot be read: No such file or directory; give a safe"):
        load_backbone(RESNET, (3,), tmp_path / "none.safetensors")
    (tmp_path / "pickle.pth").write_bytes(b"\x80\x04K\x01.")
    with pytest.raises(WeightsError, match=r"pickle\.pth does not hold the weights of timm:resnet18: "):
        load_backbone(RESNET, (3,), tmp_path / "pickle.pth")
    of_another = write_weights(tmp_path / "weights.safetensors", RESNET)
    with pytest.raises(
        WeightsError, match=r"does not hold the weights of timm:vit_.*: [0-9]+ are missing, among them "
    ):
        load_backbone(VIT, (3,), of_another)
    wrong = {name: value[:1] for name, value in safetensors.load(of_another.read_bytes()).items() if value.ndim}
    of_another.write_bytes(safetensors.save({name: value.contiguous() for name, value in wrong.items()}))
    with pytest.raises(WeightsError, match=r"does not hold the weights of timm:resnet18: .*size mismatch"):
        load_backbone(RESNET, (3,), of_another)


def test_without_a_network_the_refusal_names_the_file_to_give(monkeypatch: pytest.MonkeyPatch) -> None:
    def create_model(*args: object, **options: object) -> None:
        raise ConnectionError("no route\nto the hub")

    monkeypatch.setattr(timm, "create_model", create_model)
    with pytest.raises(
        WeightsError, match=r"timm:resnet18 cannot be fetched \(ConnectionError: no route to the hub\); .*--wei"
    ):
        load_backbone(RESNET, (3,))


def test_what_weights_were_used_is_told(tmp_path: Path) -> None:
    path = write_weights(tmp_path / "weights.safetensors", RESNET)
    assert weights_digest(RESNET, path) == hashlib.sha256(path.read_bytes()).hexdigest()
    assert weights_digest(RESNET) == "as timm publishes timm:resnet18"
    assert weights_digest("efficientnet_lite1") == SOURCES["efficientnet_lite1"].sha256
