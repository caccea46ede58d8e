from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor

from inspector.anomaly.choices import LiteName
from inspector.anomaly.network import runtime
from inspector.anomaly.network.backbone import EfficientNetLite
from inspector.anomaly.network.fused import FusedNetwork, has_fused_operations
from inspector.anomaly.network.runtime import TorchRuntime
from inspector.anomaly.network.weights import load_efficientnet_lite

ALL_LEVELS = (1, 2, 3, 4, 5, 6, 7)
CPU = torch.device("cpu")

pytestmark = pytest.mark.skipif(not has_fused_operations(), reason="this build of torch has no oneDNN")


@pytest.fixture(scope="module")
def plain() -> EfficientNetLite:
    return load_efficientnet_lite("efficientnet_lite0", ALL_LEVELS).to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def pictures(batch: int, height: int, width: int) -> Tensor:
    x = torch.randn(batch, 3, height, width, generator=torch.Generator().manual_seed(batch))
    return x.contiguous(memory_format=torch.channels_last)


def off_by(found: Tensor, expected: Tensor) -> float:
    assert found.shape == expected.shape
    return float((found - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize(("height", "width"), [(32, 32), (32, 320), (96, 256), (224, 224), (256, 256)])
@pytest.mark.parametrize("batch", [1, 2, 5])
@torch.inference_mode()
def test_every_level_is_that_of_the_plain_network(batch: int, height: int, width: int, plain: EfficientNetLite) -> None:
    x = pictures(batch, height, width)
    for found, expected in zip(FusedNetwork(plain)(x), plain(x), strict=True):
        assert off_by(found, expected) < 1e-5


@pytest.mark.parametrize("name", ["efficientnet_lite1", "efficientnet_lite2"])
@torch.inference_mode()
def test_the_larger_networks_are_fused_alike(name: LiteName) -> None:
    network = load_efficientnet_lite(name, ALL_LEVELS).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    x = pictures(2, 96, 128)
    for found, expected in zip(FusedNetwork(network)(x), network(x), strict=True):
        assert off_by(found, expected) < 1e-5


@torch.inference_mode()
def test_only_the_levels_asked_for_are_given() -> None:
    network = load_efficientnet_lite("efficientnet_lite0", (3, 5))
    assert [level.shape[1] for level in FusedNetwork(network)(pictures(1, 64, 64))] == [40, 112]


@torch.inference_mode()
def test_another_memory_layout_gives_the_same(plain: EfficientNetLite) -> None:
    x = pictures(2, 64, 96)
    for found, expected in zip(FusedNetwork(plain)(x.contiguous()), FusedNetwork(plain)(x), strict=True):
        assert torch.equal(found, expected)


def test_threads_do_not_disturb_each_other(plain: EfficientNetLite) -> None:
    fused = FusedNetwork(plain)
    inputs = [pictures(batch, 64, 64) for batch in (1, 2, 3, 4)]

    def run(x: Tensor) -> list[Tensor]:
        torch.set_num_threads(1)
        with torch.inference_mode():
            return fused(x)

    with ThreadPoolExecutor(1) as pool:
        alone = list(pool.map(run, inputs))
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(run, inputs * 8))
    for number, levels in enumerate(together):
        for found, expected in zip(levels, alone[number % 4], strict=True):
            assert torch.equal(found, expected)


def test_a_build_of_torch_without_them_runs_the_plain_network(
    plain: EfficientNetLite, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = pictures(2, 64, 64)
    calls: list[int] = []

    class Counting(FusedNetwork):
        def __call__(self, x: Tensor) -> list[Tensor]:
            calls.append(len(x))
            return super().__call__(x)

    monkeypatch.setattr(runtime, "FusedNetwork", Counting)
    expected = TorchRuntime(plain, CPU).features(x)
    assert calls == [2]
    monkeypatch.setattr(runtime, "has_fused_operations", lambda: False)
    found = TorchRuntime(plain, CPU).features(x)
    assert calls == [2]
    for one, other in zip(found, expected, strict=True):
        assert off_by(one, other) < 1e-5
