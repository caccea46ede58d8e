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

_CHUNK_PATCHES = 256
"""Patches at once: their products with a bank of thousands stay in the processor's cache."""
_BLOCK = 64
"""Patches of the bank whose least product is found first: a minimum alone is found many times faster than its place."""


class PatchCore:
    """The memory bank.

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
        self._mean = self._bank.mean(0)
        centred = self._bank - self._mean
        missing = -len(centred) % _BLOCK
        # Columns that only fill the last block are infinitely far.
        self._centred_t = functional.pad(centred, (0, 0, 0, missing)).T.contiguous()
        self._half_norms = functional.pad(0.5 * centred.square().sum(1), (0, missing), value=torch.inf)

    @property
    def dims(self) -> int:
        """Dimensions of a patch."""
        return self._bank.shape[1]

    @torch.inference_mode()
    def distances(self, embedded: Tensor) -> Tensor:
        """See `Detector.distances`; the Euclidean distance to the nearest patch of the bank.

        The expanded form |b|^2 / 2 - ab only finds the nearest patch: it cancels digits, so much that its value would
        depend on the batch. It is taken from the bank's mean, which leaves fewer to cancel. The distance itself is the
        norm of the difference.
        """
        patches = embedded.flatten(0, 2)
        distances = patches.new_empty(len(patches))
        for start in range(0, len(patches), _CHUNK_PATCHES):
            part = patches[start : start + _CHUNK_PATCHES]
            nearest = self._nearest(part - self._mean)
            distances[start : start + _CHUNK_PATCHES] = (part - self._bank[nearest]).square().sum(1).sqrt()
        return distances.view(embedded.shape[:3])

    def _nearest(self, centred: Tensor) -> Tensor:
        """(N, D) -> (N,) int64: the place in the bank."""
        products = torch.addmm(self._half_norms, centred, self._centred_t, alpha=-1)
        blocks = products.view(len(centred), -1, _BLOCK)
        block = blocks.amin(2).argmin(1)
        inside = blocks[torch.arange(len(centred), device=block.device), block].argmin(1)
        # Not a number wins, wherever it lies; the distance is none either then.
        return (block * _BLOCK + inside).clamp_max(len(self._bank) - 1)

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
        raise ParameterError(f"PatchCore needs 1 image and 1 patch or more, got {len(embedded)} and {coreset}")
    if not bool(torch.isfinite(patches).all()):
        raise ParameterError("the features of an ok image are not finite; look at the images and the weights")
    return PatchCore(patches[greedy_coreset(patches, coreset, seed=seed, progress=progress)])
