"""A Gaussian for every position and a memory of ok patches, fused: the geometric mean of their distances.

The two complement each other. The Gaussian knows what belongs at each position: it finds a misplaced part, and textures that vary
only in one way. The memory does not know positions: it finds what no ok picture has anywhere, however the part is rotated. The logarithms of
both distances are averaged. So a position must be far by both, or very far by one, and no common unit is needed.

By default they also get different features (`FeatureNormalization`, `both`): the Gaussians get the directions of the features,
which contrast and light hardly change; the memory gets the features as they are.

Both work on a grid of stride 16. If the backbone has finer levels, a memory of their patches makes the map finer
(`refine`), with the same score.

Positions at the border count a little less (`BORDER_WEIGHT`). There the backbone sees its own padding, so features say less about
the picture, and often parts of other things that the camera happens to see.

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
from inspector.anomaly.detectors.refine import Refinement
from inspector.anomaly.errors import ParameterError

FLOOR_SHARE = 0.1
"""Of the spacing of the bank's patches: distances to the bank that are shorter say nothing, for a bank is a sample."""

FINE_FLOOR_SHARE = 0.3
"""The same of the fine bank, which is a sparser sample; a higher floor costs nothing (AUPRO 0.8811 without, 0.8816 with it, sketch)."""

BORDER_WEIGHT = 0.93
"""Of the distances in the outermost positions of the grid; docs/accuracy.md has what was tried."""

_BORDER = "border"
_LEAST_FLOOR = 1e-6
_CHUNK_PATCHES = 1024


class Fused:
    """Both detectors, on one embedding or each on a part of it.

    Args:
        gaussian: Fitted on the first `gaussian.dims` dimensions of the embeddings.
        bank: Filled with patches of their last `bank.dims`.
        floor: () float32, above 0: added in squares to the distance to the bank. Where a picture was learnt by heart that distance
            is 0 but for rounding, and a product with it would be rounding alone.
        refinement: Makes the map finer; None leaves it on the grid.
        border: Factor of the distances in the outermost positions of the grid; above 0, up to 1.

    Raises:
        ParameterError: The floor is not above 0, or the factor is out of range.
    """

    kind: ClassVar[DetectorName] = "fused"
    keeps_fine: ClassVar[bool] = False
    projects_fine: ClassVar[bool] = True

    def __init__(
        self,
        gaussian: PaDiM,
        bank: PatchCore,
        floor: Tensor,
        refinement: Refinement | None = None,
        border: float = 1.0,
    ) -> None:
        if not float(floor) > 0:
            raise ParameterError(f"the floor of the distances to the bank must be above 0, is {float(floor):g}")
        if not 0 < border <= 1:
            raise ParameterError(f"the factor of distances at the border must be above 0, up to 1, is {border:g}")
        self._gaussian = gaussian
        self._bank = bank
        self._floor = floor
        self._refinement = refinement
        self._border = border
        # Under a root, as the distances that it weighs.
        self._squared_weights = _border_weights(gaussian, border).square()

    @torch.inference_mode()
    def distances(self, embedded: Tensor) -> Tensor:
        """See `Detector.distances`; in the geometric mean of both units, which has no meaning of its own."""
        gaussian, bank = self._gaussian.dims, self._bank.dims
        fine = 0 if self._refinement is None else self._refinement.dims
        deep = embedded[..., : embedded.shape[-1] - fine]
        if deep.shape[-1] not in (gaussian + bank, max(gaussian, bank)):
            raise ParameterError(
                f"Gaussians of {gaussian} and a bank of {bank} dimensions do not fit an embedding of {deep.shape[-1]}"
            )
        nearest = torch.hypot(self._bank.distances(deep[..., -bank:]), self._floor)
        coarse = (self._gaussian.distances(deep[..., :gaussian]) * nearest * self._squared_weights).sqrt()
        return coarse if self._refinement is None else self._refinement(coarse, embedded[..., -fine:])

    def tensors(self) -> dict[str, Tensor]:
        """See `Detector.tensors`."""
        fine = {} if self._refinement is None else self._refinement.tensors()
        own = {"floor": self._floor.cpu(), _BORDER: torch.tensor(self._border)}
        return {**self._gaussian.tensors(), **self._bank.tensors(), **own, **fine}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor], device: torch.device) -> Fused:
        """Build from what a bundle stores; one of an earlier version stores no factor of the border, and has none.

        Raises:
            ParameterError: A tensor is missing or not what it should be.
        """
        gaussian, bank = PaDiM.from_tensors(tensors, device), PatchCore.from_tensors(tensors, device)
        refinement = Refinement.from_tensors(tensors, (gaussian.grid[0], gaussian.grid[1]), device)
        border = float(checked(tensors, _BORDER, 0)) if _BORDER in tensors else 1.0
        return cls(gaussian, bank, checked(tensors, "floor", 0).to(device), refinement, border)


def fuse(
    gaussian: PaDiM,
    bank: PatchCore,
    fine: PatchCore | None = None,
    counted: Tensor | None = None,
    shown: Tensor | None = None,
) -> Fused:
    """Return them as one detector; the floor of a bank is `FLOOR_SHARE` of the median distance from one of its patches to the next.

    Args:
        gaussian: Fitted on embeddings.
        bank: Filled with patches of them.
        fine: Filled with patches of their fine part, unfolded; None where there is none.
        counted: (r h, r w) bool, True where positions of the fine part count; given with `fine`.
        shown: (d h, d w) bool, True where positions of the local contrast behind the fine part count; None where there is no contrast.

    Raises:
        ParameterError: They do not fit each other.
    """
    device, refinement = gaussian.device, None
    if fine is not None and counted is not None:
        ratio = counted.shape[1] // gaussian.grid[1]
        floor = _floor(fine, FINE_FLOOR_SHARE).to(device)
        refinement = Refinement(
            fine, floor, counted.to(device), ratio, shown=None if shown is None else shown.to(device)
        )
    return Fused(gaussian, bank, _floor(bank, FLOOR_SHARE).to(device), refinement, BORDER_WEIGHT)


def _border_weights(gaussian: PaDiM, border: float) -> Tensor:
    """(h, w) float32 on the Gaussians' device: `border` in the outermost positions, 1 inside."""
    weights = torch.full(tuple(gaussian.grid), border, device=gaussian.device)
    weights[1:-1, 1:-1] = 1.0
    return weights


def _floor(bank: PatchCore, share: float) -> Tensor:
    """() float32, above 0: what distances to a bank cannot tell from nothing."""
    patches = bank.tensors()["bank"]
    spacing = _nearest_others(patches).median() if len(patches) > 1 else torch.zeros(())
    least = _LEAST_FLOOR * patches.square().sum(1).mean().sqrt().clamp_min(_LEAST_FLOOR)
    return (share * spacing).clamp_min(least)


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
