"""Golden samples: a few pictures for which a model must give the same scores as when it was written, wherever it is loaded."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inspector.anomaly.errors import AnomalyError, BundleError, GoldenSampleError
from inspector.anomaly.model.manifest import GoldenSample
from inspector.anomaly.model.model import AnomalyModel
from inspector.anomaly.preprocess.cut import centre_of_tiles, grid_of
from inspector.anomaly.preprocess.param import DLPreprocessParam

NUM_GOLDEN_IMAGES: Final = 3
"""So many pictures of its training a model keeps."""
GOLDEN_SIDE: Final = 512
"""Longest side of such a picture in pixels, or that of the network's input where that is longer."""

GOLDEN_TOLERANCE: Final = 1e-3
"""Largest relative difference of a golden sample's raw distance: other kernels round otherwise, other weights do not."""


def golden_image(image: NDArray[np.uint8], preprocess_param: DLPreprocessParam) -> NDArray[np.uint8]:
    """Return a copy of a picture, (H, W) or (H, W, 3) uint8, as small as it may be to test a model with.

    Own preprocessing steps are promised the camera's full scale: with them it keeps its size. Of a picture that is cut into tiles
    two of them are kept, in their scale; a domain lies in the whole picture alone.
    """
    if preprocess_param.tile is not None:
        is_whole = preprocess_param.preprocess_steps or preprocess_param.domain is not None
        grid = grid_of(preprocess_param, image.shape[1], image.shape[0])
        return image.copy() if is_whole else centre_of_tiles(image, *grid)
    factor = max(GOLDEN_SIDE, *preprocess_param.input_size) / max(image.shape[:2])
    if preprocess_param.preprocess_steps or factor >= 1:
        return image.copy()
    size = (max(1, round(image.shape[1] * factor)), max(1, round(image.shape[0] * factor)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def golden_samples(
    model: AnomalyModel, images: Sequence[NDArray[np.uint8]] | None
) -> tuple[dict[str, Tensor], tuple[GoldenSample, ...]]:
    """Return pictures as a bundle's tensors, and what the model says of each.

    Args:
        model: Trained.
        images: (H, W) or (H, W, 3) uint8; None for those that the model keeps of its training.

    Raises:
        BundleError: There is none.
    """
    if images is None:
        images = model.golden_images
        if not images:
            raise BundleError(
                f"model {model.name} does not keep any training picture; give a few as golden_images, with which it "
                "is tested when loaded"
            )
    if not images:
        raise BundleError("golden_images is empty; give a few pictures, with which the model is tested when loaded")
    tensors = {f"image_{index}": torch.from_numpy(image.copy()) for index, image in enumerate(images)}
    results = model.launch(list(images)).finish()
    scored = zip(tensors, results, strict=True)
    return tensors, tuple(GoldenSample(tensor=name, anomaly_score=result.anomaly_score) for name, result in scored)


def check_golden_samples(
    path: Path, model: AnomalyModel, samples: Sequence[GoldenSample], tensors: Mapping[str, Tensor]
) -> None:
    """Score the pictures of a bundle that was just read, and keep them with the model.

    Args:
        path: The bundle, for a refusal.
        model: What was read.
        samples: As its manifest records them.
        tensors: The pictures.

    Raises:
        BundleError: A picture is missing.
        GoldenSampleError: One cannot be scored, or does not score as recorded.
    """
    for sample in samples:
        if sample.tensor not in tensors:
            raise BundleError(
                f"bundle {path}: golden.safetensors has no {sample.tensor!r}, although the manifest names it"
            )
        image = tensors[sample.tensor].numpy()
        try:
            score = model.launch([image]).finish()[0].anomaly_score
        except (AnomalyError, RuntimeError) as exc:
            raise GoldenSampleError(f"bundle {path}: golden sample {sample.tensor} cannot be scored: {exc}") from exc
        # Compared as raw distances: near 1 a score hides how far apart two distances are.
        expected, found = (model.scale.to_distance(value) for value in (sample.anomaly_score, score))
        if not math.isclose(found, expected, rel_tol=GOLDEN_TOLERANCE, abs_tol=GOLDEN_TOLERANCE * model.scale.s):
            raise GoldenSampleError(
                f"bundle {path}: golden sample {sample.tensor} scores {score:.6g}, recorded was "
                f"{sample.anomaly_score:.6g}; its thresholds are not valid on this machine, so calibrate the model "
                "here"
            )
    model.golden_images = tuple(tensors[sample.tensor].numpy() for sample in samples)
    model.golden_scores = tuple(sample.anomaly_score for sample in samples)
