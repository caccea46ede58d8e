"""A Gaussian for every position of the grid, and the Mahalanobis distance to it.

Source: Defard et al., "PaDiM" (ICPR 2021). Differences, each measured on the five development sets:

* A random orthonormal projection keeps every channel's share, where PaDiM draws channels at random.
* The Gaussian of a position also learns from its neighbours (`neighbour_share` of the moments of a square of
  positions), which forgives small shifts of the part and gives nine times the samples: with 30 images a covariance of 160 dimensions is otherwise so
  over-fitted that held-out ok images score like defects and the threshold misses half of them.
* Regularisation is relative: a share of the mean variance, so it does not depend on the features' scale.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from inspector.anomaly.detectors.base import DetectorName, checked
from inspector.anomaly.errors import ParameterError

_CHUNK_POSITIONS = 256
_NO_VARIATION = "no variation to learn from: the training images are equal, or as good as equal, or not finite"


class PaDiM:
    """Means and whitening matrices of every position.

    Args:
        mean: (h, w, D) float32.
        whitening: (h, w, D, D) float32; the inverse of the lower Cholesky factor of the covariance.
    """

    kind: ClassVar[DetectorName] = "padim"
    keeps_fine: ClassVar[bool] = False

    def __init__(self, mean: Tensor, whitening: Tensor) -> None:
        if whitening.shape != (*mean.shape, mean.shape[-1]):
            raise ParameterError(f"means {tuple(mean.shape)} and whitening {tuple(whitening.shape)} do not fit")
        self._grid = mean.shape[:2]
        # (P, 1, D) and (P, D, D): one batched product over positions serves the whole batch.
        self._mean = mean.flatten(0, 1)[:, None]
        self._whitening_t = whitening.flatten(0, 1).transpose(1, 2).contiguous()

    @property
    def dims(self) -> int:
        """Dimensions of each Gaussian."""
        return self._mean.shape[-1]

    @torch.inference_mode()
    def distances(self, embedded: Tensor) -> Tensor:
        """See `Detector.distances`; the Mahalanobis distance of each position to its own Gaussian."""
        batch, height, width, _ = embedded.shape
        if (height, width) != tuple(self._grid):
            raise ParameterError(f"the model was fitted on a grid of {tuple(self._grid)}, got {(height, width)}")
        centred = embedded.flatten(1, 2).transpose(0, 1) - self._mean  # (P, B, D)
        whitened = torch.bmm(centred, self._whitening_t)
        return whitened.square().sum(-1).sqrt().T.reshape(batch, height, width)

    def tensors(self) -> dict[str, Tensor]:
        """See `Detector.tensors`."""
        shape = (*self._grid, self._mean.shape[-1])
        whitening = self._whitening_t.transpose(1, 2).reshape(*shape, shape[-1])
        return {"mean": self._mean.reshape(shape).cpu(), "whitening": whitening.cpu().contiguous()}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor], device: torch.device) -> PaDiM:
        """Build from what a bundle stores.

        Raises:
            ParameterError: A tensor is missing or not what it should be.
        """
        return cls(checked(tensors, "mean", 3).to(device), checked(tensors, "whitening", 4).to(device))


def fit_padim(
    embedded: Tensor, *, neighbourhood: int = 3, neighbour_share: float = 0.3, regularization: float = 0.3
) -> PaDiM:
    """Estimate the Gaussians.

    Args:
        embedded: (N, h, w, D) float32, the embeddings of N ok images, N at least 2.
        neighbourhood: Side of the square of positions that a Gaussian learns from; odd.
        neighbour_share: Weight of that square's mean, against the position's own moments; 0 to 1.
        regularization: Share of the mean variance that is added to every variance.

    Raises:
        ParameterError: Fewer than two images, an even neighbourhood, or images that do not vary.
    """
    if len(embedded) < 2 or neighbourhood < 1 or neighbourhood % 2 == 0 or regularization <= 0:  # noqa: PLR2004
        raise ParameterError(
            f"PaDiM needs 2 images or more, an odd neighbourhood and a positive regularization, "
            f"got {len(embedded)}, {neighbourhood}, {regularization}"
        )
    height, width, dims = embedded.shape[1:]
    positions = embedded.flatten(1, 2).transpose(0, 1)  # (P, N, D)
    # Centred on the grand mean first: means and second moments of raw features would lose digits in float32.
    offset = positions.mean((0, 1))
    means = embedded.new_empty((height * width, dims))
    moments = embedded.new_empty((height * width, dims * dims))
    for start in range(0, height * width, _CHUNK_POSITIONS):
        centred = positions[start : start + _CHUNK_POSITIONS] - offset
        means[start : start + _CHUNK_POSITIONS] = centred.mean(1)
        moments[start : start + _CHUNK_POSITIONS] = (centred.transpose(1, 2) @ centred / len(embedded)).flatten(1)
    grid = (height, width)
    means = _with_neighbours(means, grid, neighbourhood, neighbour_share)
    moments = _with_neighbours(moments, grid, neighbourhood, neighbour_share)
    correction = len(embedded) / (len(embedded) - 1)
    identity = torch.eye(dims, dtype=torch.float64)
    whitening = embedded.new_empty((height * width, dims, dims))
    variance = (moments.view(-1, dims, dims).diagonal(dim1=1, dim2=2) - means.square()).mean().double() * correction
    if not float(variance) > 0:
        raise ParameterError(_NO_VARIATION)
    for start in range(0, height * width, _CHUNK_POSITIONS):
        part = slice(start, start + _CHUNK_POSITIONS)
        mean = means[part].double()
        covariance = moments[part].view(-1, dims, dims).double() - mean[:, :, None] * mean[:, None, :]
        factor, failed = torch.linalg.cholesky_ex(covariance * correction + regularization * variance * identity)
        if bool(failed.any()):
            raise ParameterError(_NO_VARIATION)
        inverse = torch.linalg.solve_triangular(factor, identity.expand_as(factor), upper=False)
        whitening[part] = inverse.float()
    return PaDiM((means + offset).reshape(*grid, dims), whitening.reshape(*grid, dims, dims))


def _with_neighbours(values: Tensor, grid: tuple[int, int], side: int, share: float) -> Tensor:
    """(P, K) -> (P, K): `1 - share` of each position and `share` of the mean of the square around it."""
    if side == 1 or share == 0:
        return values
    maps = values.T.reshape(1, values.shape[1], *grid)
    # At the border the mean is of what lies inside.
    means = functional.avg_pool2d(maps, side, stride=1, padding=side // 2, count_include_pad=False)
    return torch.lerp(values, means[0].flatten(1).T, share)
