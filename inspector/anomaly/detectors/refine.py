"""Turns distances on a coarse grid into a finer map with the same score: a memory of fine patches says where the defect is.

The map is the coarse distance, interpolated, times a power of the distance to the nearest fine patch (`POWER`). Fine features alone rank
pictures badly (they see a few pixels and know little of parts), so the map is brought back to the level of the coarse distances: the mean
of the highest hundredth of its positions is theirs. So with the default score rule pictures are ranked as by the coarse distances alone (another rule ranks by the fine map), and
one map gives score, class and region. Distances to the fine bank are first averaged over neighbours (`NEIGHBOURHOOD`): a single patch of a few
pixels may be unlike all others by chance, but at a defect several patches are.

Where the embedding has the picture's local contrast (`detail`), the map has the contrast's resolution and is multiplied by a small power of it
(`DETAIL_POWER`): within a few pixels the strongest one moves to the line of a crack.

That was chosen on the development sets with masks, no one set deciding (AUPRO / share of found defects whose strongest pixel lies inside
the mask, means over five sets, sketches that were not kept, with the root of single distances): coarse alone 0.871 / 0.39; times a bank of stride 8 0.879 / 0.53; brought back
to the coarse level 0.883 / 0.53; of stride 4 0.882 / 0.58. Not better: Gaussians of fine features (0.867), the error of a linear prediction of
fine features from coarse ones (0.86), halos divided out by the highest distance around (0.87), maps divided by those of unseen
ok images (0.83), and maps that are shifted to where the backbone's padding puts its fields' centres (0.871: a drawn spot shows 2 pixels).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from inspector.anomaly.detectors.base import checked
from inspector.anomaly.detectors.fine import unfold_fine
from inspector.anomaly.detectors.patchcore import PatchCore
from inspector.anomaly.errors import ParameterError

FINE_PATCHES = 500
"""Of the fine bank. Twice as many measure alike."""

NEIGHBOURHOOD = 3
"""Side of the square that distances to the fine bank are averaged over; docs/accuracy.md has what was tried."""

POWER = 0.75
"""Of the distance to the fine bank: it counts half as much again as each of the two that the coarse one is the geometric mean of."""

DETAIL_POWER = 0.1
"""Of the local contrast; docs/accuracy.md has what was tried."""

_LEVEL_SHARE = 0.01
_LEAST = 1e-12
_EARLIER_POWER = 0.5
"""Of bundles that do not store one, as they do not store a neighbourhood."""
_BANK, _FLOOR, _NEIGHBOURHOOD, _POWER = "fine.bank", "fine.floor", "fine.neighbourhood", "fine.power"
DETAIL_COUNTED = "detail.counted"
"""The tensor that says which positions of the map count; not learnt. A bundle without it has no detail."""
_DETAIL_POWER = "detail.power"
FINE_COUNTED = "fine.counted"
"""The tensor that says which positions count; not learnt."""


class Refinement:
    """A memory of fine ok patches.

    Args:
        bank: Of fine patches.
        floor: () float32, above 0: added in squares to the distance to the bank, as a bank is a sample.
        counted: (r h, r w) bool, True where positions of the fine map count.
        ratio: r, how many times the grid's resolution the fine distances have.
        neighbourhood: Side of the square of fine positions that distances to the bank are averaged over; odd, 1 leaves them.
        power: Of the distances to the bank, above 0.
        shown: (d h, d w) bool, True where positions of the local contrast and of the map count, d a multiple of r; None without contrast: the
            map has `counted`'s resolution.
        detail_power: Of the local contrast, above 0.

    Raises:
        ParameterError: The floor or a power is not above 0, no position counts, the mask is of no whole positions of a grid,
            the neighbourhood is not odd, or d is not a multiple of r.
    """

    def __init__(  # noqa: PLR0913 - its parts
        self,
        bank: PatchCore,
        floor: Tensor,
        counted: Tensor,
        ratio: int,
        neighbourhood: int = NEIGHBOURHOOD,
        power: float = POWER,
        *,
        shown: Tensor | None = None,
        detail_power: float = DETAIL_POWER,
    ) -> None:
        if not float(floor) > 0:
            raise ParameterError(f"the floor of the distances to the fine bank must be above 0, is {float(floor):g}")
        if ratio < 1 or counted.shape[0] % ratio or counted.shape[1] % ratio or not bool(counted.any()):
            raise ParameterError(f"a fine mask of {tuple(counted.shape)} that counts is needed for a ratio of {ratio}")
        if neighbourhood < 1 or neighbourhood % 2 == 0:
            raise ParameterError(
                f"the neighbourhood of the fine map must be 1, 3 or another odd number, is {neighbourhood}"
            )
        if not power > 0:
            raise ParameterError(f"the power of the distances to the fine bank must be above 0, is {power:g}")
        if not detail_power > 0:
            raise ParameterError(f"the power of the local contrast must be above 0, is {detail_power:g}")
        finer = 1 if shown is None else shown.shape[1] // counted.shape[1]
        if shown is not None and (
            not finer or shown.shape != (finer * counted.shape[0], finer * counted.shape[1]) or not bool(shown.any())
        ):
            raise ParameterError(
                f"a mask of the local contrast of {tuple(shown.shape)} does not fit one of {tuple(counted.shape)}, or nothing counts"
            )
        self._bank = bank
        self._floor = floor
        self._ratio = ratio
        self._counted = counted
        self._neighbourhood = neighbourhood
        self._power = power
        # Of the square around each position the share that counts.
        self._near = self._square(counted.float()[None]).clamp_min(_LEAST)
        # A position of the grid counts where any part of it does.
        cells = functional.max_pool2d(counted[None].float(), ratio)
        self._cells = cells[0] > 0
        self._share = self._wide(cells, ratio).clamp_min(_LEAST)
        self._detail_ratio = 0 if shown is None else finer * ratio
        self._detail_power = detail_power
        self._shown = counted if shown is None else shown
        self._shown_share = self._wide(counted.float()[None], finer).clamp_min(_LEAST)
        # Counted once: on a GPU a number of it would be waited for.
        self._num_cells, self._num_shown = int(self._cells.sum()), int(self._shown.sum())

    @property
    def dims(self) -> int:
        """Dimensions of the fine part of the embedding, local contrast included."""
        return self._ratio**2 * self._bank.dims + self._detail_ratio**2

    def __call__(self, coarse: Tensor, folded: Tensor) -> Tensor:
        """Return the map.

        Args:
            coarse: (B, h, w) float32, distances.
            folded: (B, h, w, r r F + d d) float32, the fine part of the embedding, then the local contrast.

        Returns:
            (B, r h, r w) float32, or (B, d h, d w); 0 where nothing counts.

        Raises:
            ParameterError: The grid or the dimensions are others than those of the training.
        """
        if coarse.shape[1:] != self._cells.shape or folded.shape[-1] != self.dims:
            raise ParameterError(
                f"the fine bank has {self._ratio}x{self._ratio} patches of {self._bank.dims} dimensions on a grid of "
                f"{tuple(self._cells.shape)}, and {self._detail_ratio}x{self._detail_ratio} values of contrast; got {folded.shape[-1]} "
                f"dimensions on {tuple(coarse.shape[1:])}"
            )
        patches = unfold_fine(folded[..., : self.dims - self._detail_ratio**2], self._ratio)
        fine = self._averaged(torch.hypot(self._bank.rough_distances(patches), self._floor))
        # Filled, not multiplied: a distance that is not finite would spread.
        inside = coarse.masked_fill(~self._cells, 0.0)
        maps = (self._wide(inside, self._ratio) / self._share * fine.pow(self._power)).masked_fill(~self._counted, 0.0)
        if self._detail_ratio:
            maps = self._detailed(maps, folded[..., -(self._detail_ratio**2) :])
        level = _top(inside, self._num_cells) / _top(maps, self._num_shown).clamp_min(_LEAST)
        return maps * level[:, None, None]

    def _detailed(self, maps: Tensor, folded: Tensor) -> Tensor:
        """(B, r h, r w) and the folded contrast -> (B, d h, d w)."""
        wide = self._wide(maps, self._detail_ratio // self._ratio) / self._shown_share
        contrast = unfold_fine(folded, self._detail_ratio)[..., 0]
        return (wide * contrast.pow(self._detail_power)).masked_fill(~self._shown, 0.0)

    def _averaged(self, fine: Tensor) -> Tensor:
        """(B, r h, r w) -> the same: the mean over those of the square around each position that count."""
        if self._neighbourhood == 1:
            return fine
        return self._square(fine.masked_fill(~self._counted, 0.0)) / self._near

    def _square(self, maps: Tensor) -> Tensor:
        """(B, r h, r w) -> the same: the mean over the square around each position, 0 beyond the border."""
        side = self._neighbourhood
        return functional.avg_pool2d(maps[:, None], side, stride=1, padding=side // 2)[:, 0]

    @staticmethod
    def _wide(maps: Tensor, ratio: int) -> Tensor:
        """(B, h, w) -> (B, ratio h, ratio w), interpolated bilinearly."""
        return functional.interpolate(maps[:, None], scale_factor=ratio, mode="bilinear", align_corners=False)[:, 0]

    def tensors(self) -> dict[str, Tensor]:
        """What a bundle stores, on the CPU."""
        bank = self._bank.tensors()["bank"]
        detail = {
            DETAIL_COUNTED: self._shown.float().cpu(),
            _DETAIL_POWER: torch.tensor(self._detail_power),
        }
        return {
            _BANK: bank,
            _FLOOR: self._floor.cpu(),
            FINE_COUNTED: self._counted.float().cpu(),
            _NEIGHBOURHOOD: torch.tensor(float(self._neighbourhood)),
            _POWER: torch.tensor(self._power),
            **(detail if self._detail_ratio else {}),
        }

    @classmethod
    def from_tensors(
        cls, tensors: Mapping[str, Tensor], grid: tuple[int, int], device: torch.device
    ) -> Refinement | None:
        """Build from what a bundle stores; None where it stores none.

        A bundle of an earlier version stores neither neighbourhood nor power: its thresholds belong to the root of single distances. One that stores
        no mask of the local contrast has a map without it.

        Args:
            tensors: Of the detector.
            grid: (h, w) of the coarse distances.
            device: Where it is to run.

        Raises:
            ParameterError: A tensor is missing or not what it should be.
        """
        if _BANK not in tensors:
            return None
        counted = checked(tensors, FINE_COUNTED, 2).to(device) > 0
        ratio = counted.shape[1] // grid[1]
        if counted.shape != (ratio * grid[0], ratio * grid[1]):
            raise ParameterError(f"a fine mask of {tuple(counted.shape)} does not fit a grid of {grid}")
        bank = PatchCore(checked(tensors, _BANK, 2).to(device))
        side = _number(tensors, _NEIGHBOURHOOD, 1.0)
        if side != int(side):
            raise ParameterError(f"the neighbourhood of the fine map must be a whole number, is {side:g}")
        return cls(
            bank,
            checked(tensors, _FLOOR, 0).to(device),
            counted,
            ratio,
            int(side),
            _number(tensors, _POWER, _EARLIER_POWER),
            shown=checked(tensors, DETAIL_COUNTED, 2).to(device) > 0 if DETAIL_COUNTED in tensors else None,
            detail_power=_number(tensors, _DETAIL_POWER, DETAIL_POWER),
        )


def _number(tensors: Mapping[str, Tensor], name: str, missing: float) -> float:
    return float(checked(tensors, name, 0)) if name in tensors else missing


def _top(maps: Tensor, counted: int) -> Tensor:
    """(B, h, w) -> (B,): the mean of the highest of so many positions that count; the others are 0."""
    return maps.flatten(1).topk(max(1, round(_LEVEL_SHARE * counted)), dim=1).values.mean(1)
