"""Which part of a map of distances counts under a domain: the positions that are scored, and the map of the picture.

Cells of the grid that are outside do not influence their neighbours inside: the map is interpolated only between the
cells inside, so it does not matter what a detector says about the others.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from inspector.anomaly.domain.cache import PerDomain
from inspector.anomaly.domain.domain import DomainView
from inspector.anomaly.domain.mask import cells_inside


def domain_mask(
    view: DomainView | None, height: int, width: int, *, device: torch.device | str = "cpu"
) -> Tensor | None:
    """Return which positions count, of what the model sees at this resolution: its grid, its input, its map.

    Args:
        view: How the model looks at its domain (`DLPreprocessParam.view`); None where it has none.
        height: Rows of the grid.
        width: Its columns.
        device: Where the mask is to be.

    Returns:
        (height, width) bool, True where any area of the position is in the domain; at least one is. None where all count.
    """
    if view is None or view.is_all:
        return None
    return torch.from_numpy(cells_inside(view, width, height).copy()).to(device)


class DomainScore:
    """The masks of one domain on one device, for one grid and size of the map.

    Args:
        view: What the model sees.
        grid: (h, w) of the distances.
        size: (H, W) of the map.
        device: Of the distances.
    """

    def __init__(self, view: DomainView, grid: tuple[int, int], size: tuple[int, int], device: torch.device) -> None:
        cells = torch.from_numpy(cells_inside(view, grid[1], grid[0]).copy())
        pixels = torch.from_numpy(cells_inside(view, size[1], size[0]).copy())
        # How much of each pixel's interpolation comes from cells inside; at least a quarter for a pixel inside.
        share = functional.interpolate(cells[None, None].float(), size=size, mode="bilinear", align_corners=False)
        self._outside_cells = (~cells).to(device)
        self._outside_pixels = (~pixels).to(device)
        self._share = torch.where(pixels, share[0, 0], 1.0).to(device)
        # Indices: picking by a mask would make a GPU wait until it knows how many there are.
        self._positions = cells.flatten().nonzero()[:, 0].to(device)

    def positions(self, distances: Tensor) -> Tensor:
        """(B, h, w) -> (B, n): the distances that count."""
        return distances.flatten(1).index_select(1, self._positions)

    def map(self, distances: Tensor) -> Tensor:
        """(B, h, w) -> (B, H, W): the distances of the pixels, 0 outside the domain."""
        inside = distances.masked_fill(self._outside_cells, 0.0)
        maps = functional.interpolate(
            inside[:, None], size=self._share.shape[-2:], mode="bilinear", align_corners=False
        )[:, 0]
        # Filled, not multiplied: a distance that is not finite would spread.
        return maps.div_(self._share).masked_fill_(self._outside_pixels, 0.0)


_KEPT_SCORES = 4
"""A model asks for one on each of its devices."""

_kept: PerDomain[DomainScore] = PerDomain(_KEPT_SCORES)


def domain_score(
    view: DomainView, grid: tuple[int, int], size: tuple[int, int], device: torch.device
) -> DomainScore | None:
    """Return the masks; None where all counts. Kept: a copy to a GPU for each batch would wait for the batch before it."""
    if view.is_all:
        return None
    return _kept.get(view.domain, (view.is_crop, grid, size, device), lambda: DomainScore(view, grid, size, device))
