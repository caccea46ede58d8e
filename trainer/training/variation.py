"""What a camera changes without the part: noise, light, compression; and how far embeddings move with it.

Training images show this too rarely. Pictures of one afternoon, or rendered ones, have hardly any noise, and PNG files know nothing of the JPEG
that the line sends: a Gaussian of their features takes such a change for a defect. So the covariance of these moves is added to that
of every position: a move of the usual size in these directions no longer counts, any other as before. The noise does to features what Bishop
shows for networks ("Training with noise is equivalent to Tikhonov regularization", Neural Computation 1995), here with the noise in the picture.

The sizes are those of ordinary cameras and were not tuned on any set; docs/decisions/detectors.md has what they do on the development sets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inspector.anomaly.domain.score import domain_mask
from inspector.anomaly.model.feature_network import FeatureNetwork
from inspector.anomaly.preprocess.samples import picture_seen
from inspector.anomaly.types import DLSample
from trainer.training.images import inputs_of
from trainer.training.network import embedded_batch

NOISE: Final = 1.0
"""Standard deviation of the camera's noise, gray values of 255."""
LIGHT: Final = 0.02
"""Relative change of the light."""
JPEG_QUALITY: Final = 90
MOST_PICTURES: Final = 16
"""So many are varied, spread evenly over the training images: every position of each tells something."""
_MOST_TILES: Final = 4
"""Of each picture that is cut."""

Picture = NDArray[np.uint8]


def vary(picture: Picture, *, seed: int, index: int) -> list[Picture]:
    """Return a picture with noise, one in other light, and one that was compressed.

    Args:
        picture: (H, W) gray or (H, W, 3) RGB uint8, as decoded.
        seed: Of the training.
        index: Of the image in the training; with the seed it decides the noise.

    Returns:
        Three pictures of the same shape, uint8.
    """
    random = np.random.default_rng([seed, index])
    noise = NOISE * random.standard_normal(picture.shape, dtype=np.float32)
    is_gray = picture.ndim == 2  # noqa: PLR2004 - (H, W)
    bgr = picture if is_gray else np.ascontiguousarray(picture[..., ::-1])
    encoded = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1]
    decoded = np.asarray(cv2.imdecode(encoded, cv2.IMREAD_UNCHANGED), dtype=np.uint8)
    return [
        np.rint(picture + noise).clip(0, 255).astype(np.uint8),
        np.rint((1 + LIGHT) * picture.astype(np.float32)).clip(0, 255).astype(np.uint8),
        decoded if is_gray else np.ascontiguousarray(decoded[..., ::-1]),
    ]


def varied_images(count: int) -> range:
    """Which of so many training images are varied, by their place from 0."""
    return range(0, count, max(1, -(-count // MOST_PICTURES)))


class CameraVariation:
    """Adds up, picture by picture, how the embeddings of a network move.

    Args:
        network: Pictures to embeddings; the first `part_dims` dimensions are looked at, those of the Gaussians.
        seed: Of the training.
        tolerance: Factor of the moves; see `DLTrainParam.camera_tolerance`.
    """

    def __init__(self, network: FeatureNetwork, *, seed: int, tolerance: float) -> None:
        self._network = network
        self._seed = seed
        self._tolerance = tolerance
        dims = network.embedding.part_dims
        self._products = torch.zeros((dims, dims), dtype=torch.float64)
        self._count = 0

    @torch.inference_mode()
    def look_at(self, sample: DLSample, index: int) -> None:
        """Vary one training image.

        Where the decoder has reduced the picture, noise and compression of the original count for less by the same factor, since their errors
        average out.

        Args:
            sample: With its picture; one without is passed over.
            index: Of the image in the training.

        Raises:
            ParameterError: As the training on it.
        """
        if not sample.image.size:
            return
        picture = picture_seen(sample, self._network.preprocess_param)
        reduced = max(1.0, max(sample.original_width, sample.original_height) / max(picture.shape[:2]))
        shown = [picture, *vary(picture, seed=self._seed, index=index)]
        embedded = self._embedded([replace(sample, image=one, preprocessed=None) for one in shown])
        plain, noisy, lit, compressed = embedded.reshape(len(shown), -1, embedded.shape[1]).double()
        for move in ((noisy - plain) / reduced, lit - plain, (compressed - plain) / reduced):
            self._products += move.T @ move
        self._count += len(plain)

    def covariance(self) -> Tensor | None:
        """(D, D) float64, the sum over the kinds of change of the mean product of two dimensions' moves; None without any picture."""
        return None if not self._count else self._tolerance**2 * self._products / self._count

    def _embedded(self, samples: Sequence[DLSample]) -> Tensor:
        """(P, D) float32 on the CPU: the positions that count, sample by sample."""
        network = self._network
        parts: list[Tensor] = []
        for part in inputs_of(samples, network.preprocess_param, most_tiles=_MOST_TILES):
            embedded = embedded_batch(network, part)[..., : network.embedding.part_dims]
            mask = domain_mask(network.preprocess_param.view, *embedded.shape[1:3], device=embedded.device)
            counted = embedded.flatten(1, 2) if mask is None else embedded[:, mask]
            parts.append(counted.flatten(0, 1).cpu())
        return torch.cat(parts)
