"""A Gaussian for every position and a memory of ok patches, fused: the geometric mean of their distances.

The two complement each other. The Gaussian knows what belongs where: it finds a part that is misplaced, and textures that vary
in one way only. The memory knows no places: it finds what no ok picture has anywhere, however the part is turned. Log distances
are averaged, so that a position must be far by both, or very far by one; neither needs to be brought to the other's unit.

By default they see different things as well (`FeatureNormalization`, `both`): the Gaussians the directions of the features,
which contrast and light hardly change, the memory the features as they are.

Sources: `padim` and `patchcore`; that a product of the two ranks images better than either was measured on the development sets, each
judged by the choice of the others (tests/benchmarks/results/accuracy.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from inspector.anomaly.choices import DetectorName
from inspector.anomaly.detectors.base import checked
from inspector.anomaly.detectors.padim import PaDiM
from inspector.anomaly.detectors.patchcore import PatchCore
from inspector.anomaly.errors import ParameterError

FLOOR_SHARE = 0.1
"""Of the spacing of the bank's patches: distances to the bank that are shorter say nothing, for a bank is a sample."""

_LEAST_FLOOR = 1e-6
_CHUNK_PATCHES = 1024


class Fused:
    """Both detectors, on one embedding or each on a part of it.

    Args:
        gaussian: Fitted on the first `gaussian.dims` dimensions of the embeddings.
        bank: Filled with patches of their last `bank.dims`.
        floor: () float32, above 0: added in squares to the distance to the bank. Where a picture was learnt by heart that distance
            is 0 but for rounding, and a product with it would be rounding alone.

    Raises:
        ParameterError: The floor is not above 0.
    """

    kind: ClassVar[DetectorName] = "fused"
    keeps_fine: ClassVar[bool] = False

    def __init__(self, gaussian: PaDiM, bank: PatchCore, floor: Tensor) -> None:
        if not float(floor) > 0:
            raise ParameterError(f"the floor of the distances to the bank must be above 0, is {float(floor):g}")
        self._gaussian = gaussian
        self._bank = bank
        self._floor = floor

    @torch.inference_mode()
    def distances(self, embedded: Tensor) -> Tensor:
        """See `Detector.distances`; in the geometric mean of both units, which has no meaning of its own."""
        gaussian, bank, dims = self._gaussian.dims, self._bank.dims, embedded.shape[-1]
        if dims not in (gaussian + bank, max(gaussian, bank)):
            raise ParameterError(
                f"Gaussians of {gaussian} and a bank of {bank} dimensions do not fit an embedding of {dims}"
            )
        nearest = torch.hypot(self._bank.distances(embedded[..., -bank:]), self._floor)
        return (self._gaussian.distances(embedded[..., :gaussian]) * nearest).sqrt()

    def tensors(self) -> dict[str, Tensor]:
        """See `Detector.tensors`."""
        return {**self._gaussian.tensors(), **self._bank.tensors(), "floor": self._floor.cpu()}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor], device: torch.device) -> Fused:
        """Build from what a bundle stores.

        Raises:
            ParameterError: A tensor is missing or not what it should be.
        """
        gaussian, bank = PaDiM.from_tensors(tensors, device), PatchCore.from_tensors(tensors, device)
        return cls(gaussian, bank, checked(tensors, "floor", 0).to(device))


def fuse(gaussian: PaDiM, bank: PatchCore) -> Fused:
    """Return the two as one detector; its floor is `FLOOR_SHARE` of the median distance from a patch of the bank to the next."""
    patches = bank.tensors()["bank"]
    spacing = _nearest_others(patches).median() if len(patches) > 1 else torch.zeros(())
    least = _LEAST_FLOOR * patches.square().sum(1).mean().sqrt().clamp_min(_LEAST_FLOOR)
    return Fused(gaussian, bank, (FLOOR_SHARE * spacing).clamp_min(least).to(gaussian.device))


def _nearest_others(patches: Tensor) -> Tensor:
    """(M, D) -> (M,): the distance of each patch to the nearest other one."""
    centred = patches - patches.mean(0)
    norms = centred.square().sum(1)
    found = []
    for start in range(0, len(centred), _CHUNK_PATCHES):
        part = centred[start : start + _CHUNK_PATCHES]
        squares = norms[start : start + len(part), None] + norms - 2 * part @ centred.T
        squares[torch.arange(len(part)), torch.arange(start, start + len(part))] = torch.inf
        found.append(squares.amin(1).clamp_min(0).sqrt())
    return torch.cat(found)
