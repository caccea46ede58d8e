"""The backbone as a training uses it: its input size, pictures read ahead of it, and its embedding's scales."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from inspector.anomaly.backbones import SIZE_STEP
from inspector.anomaly.choices import BackboneName, FeatureNormalization
from inspector.anomaly.detectors.base import Embedding, projected_levels, to_grid
from inspector.anomaly.domain.score import domain_mask
from inspector.anomaly.model.feature_network import FeatureNetwork
from inspector.anomaly.network.runtime import TorchRuntime
from inspector.anomaly.network.weights import load_backbone
from inspector.anomaly.preprocess.param import MAX_INPUT_SIZE, DLPreprocessParam
from inspector.anomaly.preprocess.samples import model_input
from inspector.anomaly.types import DLSample, ImageGeometry
from trainer.dataset.files import read_samples
from trainer.errors import DatasetError
from trainer.training.tiles import inputs_of

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
        normalization: Of the features before the projection (`Embedding`); with `both` there are `dims` of each.
        device: Where the network runs.

    Raises:
        DatasetError: There is no image, or one cannot be read.
        WeightsError: The backbone's weights are missing or altered.
    """
    runtime = TorchRuntime(load_backbone(backbone, levels, weights), torch.device(device))
    strides = [runtime.backbone.level_strides[level] for level in levels]
    projected = levels[projected_levels(strides, grid_level, keep_fine=keep_fine)]
    channels = [runtime.backbone.level_channels[level] for level in projected]
    raw = Embedding(grid_level, torch.eye(sum(channels)), keep_fine=keep_fine)
    network = FeatureNetwork(preprocess_param, runtime, raw)
    chosen = [paths[i] for i in scale_images(len(paths), seed)]
    squares = torch.zeros(len(channels), dtype=torch.float64)
    count = 0
    inputs = (
        part
        for batch in read_samples(chosen, preprocess_param)
        for part in inputs_of(batch, preprocess_param, most_tiles=SCALE_TILES)
    )
    for part in inputs:
        features = batch_features(network, part)
        grid = features[grid_level].shape[-2:]
        mask = domain_mask(preprocess_param.view, grid[0], grid[1], device=runtime.device)
        on_grid = [to_grid(level, grid).flatten(2).double() for level in raw.projected(features)]
        inside = on_grid if mask is None else [level[..., mask.flatten()] for level in on_grid]
        count += inside[0][:, 0].numel()
        squares += torch.stack([level.square().sum() for level in inside]).cpu()
    if not count:
        raise DatasetError("there is no image to learn from")
    scales = (squares / count).sqrt().clamp_min(1e-12)
    generator = torch.Generator().manual_seed(seed)
    dims = min(dims, sum(channels))
    basis, _ = torch.linalg.qr(torch.randn(sum(channels), dims, generator=generator, dtype=torch.float64))
    per_channel = torch.cat([(1 / scale).expand(n) for scale, n in zip(scales, channels, strict=True)])
    # Directions have length 1 on every level: nothing to be scaled.
    parts = {"level": [per_channel[:, None] * basis], "vector": [basis], "both": [basis, per_channel[:, None] * basis]}
    projection = torch.cat(parts[normalization], dim=1).float().to(runtime.device)
    network.embedding = Embedding(grid_level, projection, keep_fine=keep_fine, normalization=normalization)
    return network


@torch.inference_mode()
def batch_features(network: FeatureNetwork, batch: Sequence[DLSample]) -> list[Tensor]:
    """The backbone's levels of samples or tiles of them, preprocessed or not, each (B, C, H', W') float32.

    Raises:
        ParameterError: A sample was preprocessed with other parameters than the network's.
    """
    if all(sample.preprocessed is None for sample in batch):
        return network.features([sample.image for sample in batch])
    runtime = network.runtime
    return runtime.features(model_input(batch, network.preprocess_param, runtime.device))
