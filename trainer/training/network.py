"""The backbone as a training uses it: its input size, reading pictures ahead, and the scales of its embedding."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from inspector.anomaly.backbones import SIZE_STEP
from inspector.anomaly.choices import BackboneName, FeatureNormalization
from inspector.anomaly.detectors.base import Embedding, projected_levels, to_grid
from inspector.anomaly.detectors.detail import has_room_for_detail
from inspector.anomaly.detectors.fine import finer_levels
from inspector.anomaly.domain.domain import DomainView
from inspector.anomaly.domain.score import domain_mask
from inspector.anomaly.model.feature_network import FeatureNetwork
from inspector.anomaly.network.base import Backbone
from inspector.anomaly.network.runtime import TorchRuntime
from inspector.anomaly.network.weights import load_backbone
from inspector.anomaly.preprocess.param import MAX_INPUT_SIZE, DLPreprocessParam
from inspector.anomaly.preprocess.samples import model_input
from inspector.anomaly.types import DLSample, ImageGeometry
from trainer.errors import DatasetError
from trainer.pictures.files import read_samples
from trainer.training.images import inputs_of

SHORT_SIDE = 256
SCALE_IMAGES = 32
"""Images that the levels' scales are measured on; two numbers need no more."""
SCALE_TILES = 8
"""Tiles of each of these, where they are cut."""


def default_input_size(
    geometry: ImageGeometry, *, short_side: int = SHORT_SIDE, size_step: int = SIZE_STEP
) -> tuple[int, int]:
    """(width, height) of the network's input: a short side of 256, the aspect kept, multiples of the step, at most 1024.

    With crop_domain give `ImageGeometry.cropped`, whose aspect is that of the crop.
    """
    short, long = sorted((geometry.width, geometry.height))
    short_side = max(1, round(short_side / size_step)) * size_step
    longest = MAX_INPUT_SIZE // size_step * size_step
    side = min(longest, max(size_step, round(short_side * long / short / size_step) * size_step))
    return (side, short_side) if geometry.width >= geometry.height else (short_side, side)


def scale_images(count: int, seed: int) -> list[int]:
    """Which of `count` training images the levels' scales are measured on, ascending."""
    return sorted(np.random.default_rng(seed).permutation(count)[:SCALE_IMAGES].tolist())


def build_network(  # noqa: PLR0913 - each is a stored parameter
    paths: Sequence[Path | DLSample],
    preprocess_param: DLPreprocessParam,
    *,
    backbone: BackboneName,
    weights: str | None = None,
    levels: tuple[int, ...],
    grid_level: int,
    dims: int,
    seed: int,
    keep_fine: bool = False,
    fine_dims: int = 0,
    normalization: FeatureNormalization = "level",
    device: str = "cpu",
) -> FeatureNetwork:
    """Load the backbone and measure the embedding's scales on some of the training images.

    Each projected level is divided by the root mean square of its feature vectors' norms inside the domain, so that all weigh alike, and the
    stacked levels are projected to `dims` dimensions by a random orthonormal matrix.

    Args:
        paths: The training images, as files or as samples.
        preprocess_param: Stored with the model.
        backbone: Name of the network.
        weights: See `load_backbone`.
        levels: Levels of the backbone.
        grid_level: Index into `levels` of the one that gives the grid.
        dims: Dimensions of the embedding; at least as many as the levels have channels means no reduction.
        seed: Decides the projection and which images are measured.
        keep_fine: Whether levels finer than the grid are kept beside the projection (`Detector.keeps_fine`).
        fine_dims: Dimensions that they are projected to, where there are any (`Detector.projects_fine`); 0 leaves them out.
        normalization: Of the features before the projection (`Embedding`); with `both` there are `dims` of each.
        device: Where the network runs.

    Raises:
        DatasetError: There is no image, or one cannot be read.
        WeightsError: The backbone's weights are missing or altered.
    """
    runtime = TorchRuntime(load_backbone(backbone, levels, weights), torch.device(device))
    network = FeatureNetwork(preprocess_param, runtime, Embedding(grid_level, torch.eye(1)))
    chosen = [paths[i] for i in scale_images(len(paths), seed)]
    batches = (
        batch_features(network, inputs)
        for batch in read_samples(chosen, preprocess_param)
        for inputs in inputs_of(batch, preprocess_param, most_tiles=SCALE_TILES)
    )
    param = EmbeddingParam(
        levels, grid_level, dims, seed, keep_fine, fine_dims, normalization, has_detail=fine_dims > 0
    )
    network.embedding = scaled_embedding(batches, runtime.backbone, preprocess_param.view, param)
    return network


class EmbeddingParam(NamedTuple):
    """What an embedding is to be; each as for `build_network`.

    Attributes:
        has_detail: Whether the pictures' local contrast is added, where there is a fine part and it fits.
    """

    levels: tuple[int, ...]
    grid_level: int
    dims: int
    seed: int
    keep_fine: bool
    fine_dims: int
    normalization: FeatureNormalization
    has_detail: bool = False


def scaled_embedding(
    batches: Iterable[Sequence[Tensor]], backbone: Backbone, view: DomainView | None, param: EmbeddingParam
) -> Embedding:
    """Measure the levels' scales on some training images, and draw the projections; see `build_network`.

    Args:
        batches: The backbone's levels of these images, those of `param` alone, each (B, C, H', W') float32.
        backbone: Says the levels' strides and channels.
        view: Which positions count; None where all do.
        param: What it is to be.

    Returns:
        The embedding, on the device of the levels.

    Raises:
        DatasetError: There is no image.
    """
    levels, grid_level, dims, seed, keep_fine, fine_dims, normalization, has_detail = param
    strides = [backbone.level_strides[level] for level in levels]
    fine = levels[finer_levels(strides, grid_level)] if fine_dims else ()
    projected = levels[projected_levels(strides, grid_level, keep_fine=keep_fine or bool(fine))]
    channels, fine_channels = ([backbone.level_channels[level] for level in part] for part in (projected, fine))
    raw = Embedding(
        grid_level,
        torch.eye(sum(channels)),
        keep_fine=keep_fine,
        fine_projection=torch.eye(sum(fine_channels)) if fine else None,
    )
    scales, device = _scales(raw, view, batches)
    generator = torch.Generator().manual_seed(seed)
    basis, scaled = _projection(scales[: len(channels)], channels, dims, generator)
    # Directions have length 1 on every level: nothing to be scaled.
    parts = {"level": [scaled], "vector": [basis], "both": [basis, scaled]}[normalization]
    fine_projection = _projection(scales[len(channels) :], fine_channels, fine_dims, generator)[1] if fine else None
    return Embedding(
        grid_level,
        torch.cat(parts, dim=1).float(),
        keep_fine=keep_fine,
        normalization=normalization,
        fine_projection=None if fine_projection is None else fine_projection.float(),
        has_detail=has_detail and bool(fine) and has_room_for_detail(strides, grid_level),
    ).moved(device)


def _scales(
    raw: Embedding, view: DomainView | None, batches: Iterable[Sequence[Tensor]]
) -> tuple[Tensor, torch.device]:
    """The root mean square of the norms of each level's vectors inside the domain: (L,) float64, of the projected levels, then of the fine ones.

    Returns:
        These, on the CPU, and the device of the levels.

    Raises:
        DatasetError: There is no image.
    """
    squares, device = torch.zeros(0, dtype=torch.float64), torch.device("cpu")
    counts = torch.zeros(0, dtype=torch.float64)
    for features in batches:
        grid, device = features[raw.grid_level].shape[-2:], features[0].device
        placed = [*(to_grid(level, grid) for level in raw.projected(features)), *raw.finer(features)]
        masks = [domain_mask(view, level.shape[-2], level.shape[-1], device=device) for level in placed]
        inside = [
            level.flatten(2).double() if mask is None else level.flatten(2).double()[..., mask.flatten()]
            for level, mask in zip(placed, masks, strict=True)
        ]
        found = torch.stack([level.square().sum() for level in inside]).cpu()
        numbers = torch.tensor([level[:, 0].numel() for level in inside], dtype=torch.float64)
        squares, counts = (squares + found, counts + numbers) if len(counts) else (found, numbers)
    if not len(counts):
        raise DatasetError("there is no image to train on")
    return (squares / counts).sqrt().clamp_min(1e-12), device


def _projection(
    scales: Tensor, channels: Sequence[int], dims: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """A random orthonormal matrix (C, D) float64, D at most `dims`, and the same after a division of each level by its scale."""
    count = sum(channels)
    basis, _ = torch.linalg.qr(torch.randn(count, min(dims, count), generator=generator, dtype=torch.float64))
    per_channel = torch.cat([(1 / scale).expand(n) for scale, n in zip(scales, channels, strict=True)])
    return basis, per_channel[:, None] * basis


@torch.inference_mode()
def batch_features(network: FeatureNetwork, batch: Sequence[DLSample]) -> list[Tensor]:
    """The backbone's levels of samples or tiles of them, preprocessed or not, each (B, C, H', W') float32.

    Raises:
        ParameterError: A sample was preprocessed with other parameters than the network's.
    """
    return network.runtime.features(_preprocessed(network, batch))


def embedded_batch(network: FeatureNetwork, batch: Sequence[DLSample]) -> Tensor:
    """(B, h, w, D) float32 on the device: the embeddings of samples or tiles of them, preprocessed or not.

    Raises:
        ParameterError: As `batch_features`.
    """
    return network.embed_preprocessed(_preprocessed(network, batch))


def _preprocessed(network: FeatureNetwork, batch: Sequence[DLSample]) -> Tensor:
    """(B, 3, H, W) float32 on the device: what the network sees of samples or tiles of them."""
    if all(sample.preprocessed is None for sample in batch):
        return network.preprocessed([sample.image for sample in batch])
    return model_input(batch, network.preprocess_param, network.runtime.device)
