"""A memory of ok patches, and the distance to the nearest of them.

Source: Roth et al., "Towards Total Recall in Industrial Anomaly Detection" (CVPR 2022), without its re-weighting.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from inspector.anomaly.choices import DetectorName
from inspector.anomaly.detectors.base import checked
from inspector.anomaly.detectors.coreset import greedy_coreset
from inspector.anomaly.errors import ParameterError

SEARCHED_DIMS = 48
"""Dimensions, those along which the bank varies most, in which the nearest patches are looked for; what they hold no part of is little."""

_CANDIDATES = 4
"""Patches, each the nearest of its block, whose distance is then taken in all dimensions: on four sets the least of them was on average 0.1 %
longer than the distance to the nearest of all, and images were ranked alike (sketch); with 2 it was 0.5 %, in 32 dimensions 0.6 %."""

_CHUNK_PATCHES = 64
"""Patches at once: their products with a bank of thousands stay in the processor's cache."""
_BLOCK = 64
"""Patches of the bank whose least product is found first: a minimum alone is found many times faster than its place."""
_ROUGH_CHUNK = 256


class PatchCore:
    """The memory bank.

    The nearest patch is searched for in few dimensions (principal components of the bank), which takes a bank of 4,000 patches of 128
    dimensions 0.4 of the time; distances are of all dimensions. Where the bank has `SEARCHED_DIMS` or fewer, the search is exact.

    Args:
        bank: (M, D) float32.
    """

    kind: ClassVar[DetectorName] = "patchcore"
    keeps_fine: ClassVar[bool] = False
    projects_fine: ClassVar[bool] = False

    def __init__(self, bank: Tensor) -> None:
        if len(bank) == 0:
            raise ParameterError("the memory bank is empty")
        self._bank = bank.contiguous()
        # Products are taken from the bank's mean: that leaves fewer digits to cancel.
        self._mean = self._bank.mean(0)
        centred = self._bank - self._mean
        self._axes = _principal_axes(centred, SEARCHED_DIMS)
        searched = centred if self._axes is None else centred @ self._axes
        missing = -len(centred) % _BLOCK
        # Columns that only fill the last block are infinitely far.
        self._searched_t = functional.pad(searched, (0, 0, 0, missing)).T.contiguous()
        self._half_norms = functional.pad(0.5 * searched.square().sum(1), (0, missing), value=torch.inf)

    @property
    def dims(self) -> int:
        """Dimensions of a patch."""
        return self._bank.shape[1]

    @torch.inference_mode()
    def distances(self, embedded: Tensor) -> Tensor:
        """See `Detector.distances`; the Euclidean distance to the nearest patch of the bank.

        The expanded form |b|^2 / 2 - ab only finds patches: it cancels digits, so much that its value would depend on the batch. The
        distance itself is the norm of the difference.
        """
        patches = embedded.flatten(0, 2)
        distances = patches.new_empty(len(patches))
        for start in range(0, len(patches), _CHUNK_PATCHES):
            part = patches[start : start + _CHUNK_PATCHES]
            differences = part[:, None] - self._bank[self._nearest(part)]
            distances[start : start + _CHUNK_PATCHES] = differences.square().sum(2).amin(1).sqrt()
        return distances.view(embedded.shape[:3])

    @torch.inference_mode()
    def rough_distances(self, embedded: Tensor) -> Tensor:
        """Like `distances`, in half the time, for a caller that adds a floor to them: the expanded form in squares.

        Its error is about 1e-6 of the squared lengths of the patches from the bank's mean, and may depend on the batch.

        Raises:
            ParameterError: The patches have more than `SEARCHED_DIMS` dimensions.
        """
        if self._axes is not None:
            raise ParameterError(f"rough distances are of {SEARCHED_DIMS} dimensions or fewer, got {self.dims}")
        patches = embedded.flatten(0, 2)
        distances = patches.new_empty(len(patches))
        for start in range(0, len(patches), _ROUGH_CHUNK):
            part = patches[start : start + _ROUGH_CHUNK] - self._mean
            least = torch.addmm(self._half_norms, part, self._searched_t, alpha=-1).amin(1)
            squares = torch.add(part.square().sum(1), least, alpha=2)
            distances[start : start + _ROUGH_CHUNK] = squares.clamp_min(0).sqrt()
        return distances.view(embedded.shape[:3])

    def _nearest(self, patches: Tensor) -> Tensor:
        """(N, D) -> (N, K) int64: places in the bank."""
        centred = patches - self._mean
        searched = centred if self._axes is None else centred @ self._axes
        blocks = torch.addmm(self._half_norms, searched, self._searched_t, alpha=-1).view(len(centred), -1, _BLOCK)
        count = 1 if self._axes is None else min(_CANDIDATES, blocks.shape[1])
        found = blocks.amin(2).topk(count, dim=1, largest=False).indices
        rows = torch.arange(len(centred), device=found.device)[:, None]
        # Where a patch is not a number any place will do: its distance is none either.
        return (found * _BLOCK + blocks[rows, found].argmin(2)).clamp_max(len(self._bank) - 1)

    def tensors(self) -> dict[str, Tensor]:
        """See `Detector.tensors`."""
        return {"bank": self._bank.cpu()}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor], device: torch.device) -> PatchCore:
        """Build from what a bundle stores.

        Raises:
            ParameterError: A tensor is missing or not what it should be.
        """
        return cls(checked(tensors, "bank", 2).to(device))


def fit_patchcore(
    embedded: Tensor, *, coreset: int, seed: int, progress: Callable[[int, int], None] | None = None
) -> PatchCore:
    """Fill the bank with `coreset` patches.

    Args:
        embedded: (..., D) float32, the patches that may enter: the embeddings of ok images, or `draw_candidates` of them.
        coreset: Size of the bank.
        seed: Decides every random choice.
        progress: Called now and then with the number of patches chosen and of all to choose.

    Raises:
        ParameterError: No patch to choose from, a bank of no patch, or a patch that is not finite.
    """
    patches = embedded.flatten(0, -2)
    if len(patches) == 0 or coreset < 1:
        raise ParameterError(f"PatchCore needs at least 1 image and 1 patch, got {len(embedded)} and {coreset}")
    if not bool(torch.isfinite(patches).all()):
        raise ParameterError("the features of an ok image are not finite; check the images and the weights")
    return PatchCore(patches[greedy_coreset(patches, coreset, seed=seed, progress=progress)])


def _principal_axes(centred: Tensor, most: int) -> Tensor | None:
    """(M, D) -> (D, most) float32, orthonormal: the directions of the most variance; None where there are no more than that."""
    if centred.shape[1] <= most:
        return None
    products = centred.double().T @ centred.double()
    vectors: Tensor = torch.linalg.eigh(products).eigenvectors
    return vectors[:, -most:].to(centred.dtype).contiguous()
