"""Networks of timm as backbones: what is known of them, and that their levels are timm's own features."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from inspector.anomaly.errors import ParameterError
from inspector.anomaly.network.backbone import EfficientNetLite
from inspector.anomaly.network.registry import build_backbone, traits_of
from inspector.anomaly.network.runtime import TorchRuntime
from inspector.anomaly.network.timm_backbone import create_network
from inspector.anomaly.network.weights import load_backbone
from tests.timm_weights import RESNET, VIT, WIDE_RESNET, require_timm, write_weights

timm = require_timm()

IMAGENET = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))


@pytest.mark.parametrize("name", [RESNET, WIDE_RESNET, VIT])
def test_the_normalisation_is_that_of_timms_configuration(name: str) -> None:
    normalization = traits_of(name).normalization
    assert normalization.mean == pytest.approx(IMAGENET[0])
    assert normalization.deviation == pytest.approx(IMAGENET[1])


def test_levels_are_stages_or_blocks_and_sides_are_whole_strides_or_patches() -> None:
    resnet, vit = traits_of(RESNET), traits_of(VIT)
    assert (resnet.strides, resnet.size_step) == ({1: 2, 2: 4, 3: 8, 4: 16, 5: 32}, 32)
    assert (vit.strides, vit.size_step) == (dict.fromkeys(range(1, 13), 14), 14)


@pytest.mark.parametrize("name", [RESNET, WIDE_RESNET])
@torch.inference_mode()
def test_a_convolutional_networks_levels_are_the_outputs_of_its_stages(name: str, tmp_path: Path) -> None:
    path = write_weights(tmp_path / "weights.safetensors", name)
    x = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    expected = timm.create_model(name.removeprefix("timm:"), pretrained=False, features_only=True, out_indices=(2, 3))
    expected.load_state_dict(load(path), strict=False)
    backbone = load_backbone(name, (3, 4), path)
    for level, found, wanted in zip((3, 4), backbone(x), expected.eval()(x), strict=True):
        torch.testing.assert_close(found, wanted)
        stride = backbone.level_strides[level]
        assert found.shape == (2, backbone.level_channels[level], 64 // stride, 96 // stride)


@torch.inference_mode()
def test_a_transformers_levels_are_the_patch_tokens_of_its_blocks_as_a_grid(tmp_path: Path) -> None:
    """Row by row from the top left, without class and register tokens, normalised as after the last block."""
    path = write_weights(tmp_path / "weights.safetensors", VIT)
    x = torch.randn(2, 3, 56, 84, generator=torch.Generator().manual_seed(0))
    network = create_network(VIT).eval()
    network.load_state_dict(load(path))
    tokens: list[torch.Tensor] = []
    for block in (5, 11):
        network.blocks[block].register_forward_hook(lambda *args: tokens.append(network.norm(args[2])))
    network.forward_features(x)
    assert network.num_prefix_tokens == 5
    for found, every in zip(load_backbone(VIT, (6, 12), path)(x), tokens, strict=True):
        assert found.shape == (2, 384, 4, 6)
        torch.testing.assert_close(found, every[:, 5:].reshape(2, 4, 6, 384).permute(0, 3, 1, 2))


@pytest.mark.parametrize(("name", "levels", "share"), [(RESNET, (2, 3), 0.1), (VIT, (3,), 0.35)])
def test_what_lies_beyond_the_deepest_level_is_not_there(name: str, levels: tuple[int, ...], share: float) -> None:
    def size(network: nn.Module) -> int:
        return sum(parameter.numel() for parameter in network.parameters())

    assert size(build_backbone(name, levels)) < share * size(create_network(name))


@pytest.mark.parametrize("name", [RESNET, VIT])
@torch.inference_mode()
def test_a_picture_has_the_features_in_a_batch_that_it_has_alone(name: str, tmp_path: Path) -> None:
    backbone = load_backbone(name, (3, 4), write_weights(tmp_path / "weights.safetensors", name))
    assert not isinstance(backbone, EfficientNetLite)
    assert not backbone.training
    assert not any(parameter.requires_grad for parameter in backbone.parameters())
    runtime = TorchRuntime(backbone, torch.device("cpu"))
    side = 2 * traits_of(name).size_step
    x = torch.randn(5, 3, side, side, generator=torch.Generator().manual_seed(0))
    together = runtime.features(x)
    for index in range(5):
        for whole, alone in zip(together, runtime.features(x[index : index + 1]), strict=True):
            assert float((whole[index] - alone[0]).abs().max() / alone.abs().max()) < 1e-5


def test_what_timm_does_not_have_is_refused_by_name() -> None:
    with pytest.raises(ParameterError, match=r"timm [0-9.]+ has no network resnet17"):
        traits_of("timm:resnet17")
    with pytest.raises(ValueError, match="levels must be increasing numbers from 1 to 5"):
        build_backbone(RESNET, (6,))


def test_a_network_without_levels_or_for_other_pictures_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    create = timm.create_model

    def gray(*args: object, **options: object) -> object:
        network = create(*args, **options)
        network.pretrained_cfg = {**network.pretrained_cfg, "mean": (0.5,), "std": (0.5,)}
        return network

    monkeypatch.setattr(timm, "create_model", gray)
    with pytest.raises(ParameterError, match="timm:resnet10t does not accept pictures with three channels"):
        traits_of("timm:resnet10t")
    monkeypatch.setattr(timm, "create_model", lambda *args, **options: nn.Identity())
    with pytest.raises(ParameterError, match="timm's network resnet14t does not provide the features of its levels"):
        traits_of("timm:resnet14t")


def load(path: Path) -> dict[str, torch.Tensor]:
    from safetensors import torch as safetensors

    found: dict[str, torch.Tensor] = safetensors.load(path.read_bytes())
    return found
