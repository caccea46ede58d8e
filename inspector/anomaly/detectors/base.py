"""The protocol of a detector, and the embedding of backbone features that all detectors use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from inspector.anomaly.choices import DetectorName, FeatureNormalization
from inspector.anomaly.detectors.detail import fold_detail, local_detail
from inspector.anomaly.detectors.fine import FINER, fine_ratio, finer_levels, fold_fine, fold_kept, kept_ratio
from inspector.anomaly.errors import ParameterError


class Detector(Protocol):
    """Fitted on the embeddings of ok images; gives a raw distance for every position. Device threads only."""

    kind: ClassVar[DetectorName]
    keeps_fine: ClassVar[bool]
    """Whether it needs the levels finer than the grid unprojected; see `Embedding`."""
    projects_fine: ClassVar[bool]
    """Whether it makes use of these levels where there are any, projected at their own resolution; see `Embedding`."""

    def distances(self, embedded: Tensor) -> Tensor:
        """(B, h, w, D) float32 -> (B, h, w) float32 or finer, at least 0; larger is less like the ok images.

        Each picture's are those that it has alone, within 1e-5 of each (relative); of a distance that is nothing but rounding, as of a
        picture that was learnt by heart, within 1e-5 of the picture's largest.
        """
        ...

    def tensors(self) -> dict[str, Tensor]:
        """What a bundle stores, on the CPU; `from_tensors` of the same class takes it back."""
        ...

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor], device: torch.device) -> Detector:
        """Build from what a bundle stores; raises ParameterError where a tensor is missing or not what it should be."""
        ...


FINE_PROJECTION = "fine_projection"
"""The tensor's name in a bundle; one without it has no fine part."""


class Embedding:
    """Brings the chosen levels to one grid and projects them: position by position, never across a batch.

    What it gives is the sum over the levels of each one's features on the grid of `features[grid_level]` times its rows of
    one matrix, which holds both the levels' scales (so that each level weighs alike) and an orthonormal projection. A level
    finer than the grid is averaged to it; of a coarser one the projection is interpolated, which is the same, for less.

    With `keep_fine` the levels finer than the grid are there a second time, without loss: brought to twice the grid's
    resolution, each square of pixels becoming channels, and the 2x2 of each of the grid's positions behind the projection.
    Levels of more than that resolution are not projected then.

    With a `fine_projection` the levels finer than the grid are there a second time, too, but projected, at the resolution of the finest
    (`fine.fold_fine`). What the grid's own projection is of is the same as with `keep_fine`. `has_detail` adds the picture's own local contrast
    behind them (`detail.local_detail`).

    Args:
        grid_level: Which of the levels (an index into the features) gives the grid.
        projection: (C, D) float32, C the sum of the channels of the levels that are projected.
        keep_fine: Whether finer levels are kept as they are.
        normalization: `vector` divides each level's vector at each position by its norm before the projection, so that its
            direction alone counts; `level` leaves it: the matrix holds the levels' scales. With `both` the first half of the
            matrix's columns is for vectors, the second for levels as they are.
        fine_projection: (C', F) float32, C' the sum of the channels of the levels finer than the grid; None leaves them out.
        has_detail: Whether the local contrast is added.
    """

    def __init__(
        self,
        grid_level: int,
        projection: Tensor,
        *,
        keep_fine: bool = False,
        normalization: FeatureNormalization = "level",
        fine_projection: Tensor | None = None,
        has_detail: bool = False,
    ) -> None:
        if projection.ndim != 2:  # noqa: PLR2004 - a matrix
            raise ParameterError(f"the projection is a (C, D) matrix, got {tuple(projection.shape)}")
        self.grid_level = grid_level
        self.projection = projection
        self.keep_fine = keep_fine
        self.normalization: FeatureNormalization = normalization
        self.fine_projection = fine_projection
        self.has_detail = has_detail
        if normalization == "both" and projection.shape[1] % 2:
            raise ParameterError(
                f"two projections must have the same number of dimensions, got {projection.shape[1]} in total"
            )

    @property
    def part_dims(self) -> int:
        """Dimensions of the projection of one normalisation."""
        return self.projection.shape[1] // (2 if self.normalization == "both" else 1)

    def moved(self, device: torch.device) -> Embedding:
        """Return the same on another device."""
        fine = self.fine_projection
        return Embedding(
            self.grid_level,
            self.projection.to(device),
            keep_fine=self.keep_fine,
            normalization=self.normalization,
            fine_projection=None if fine is None else fine.to(device),
            has_detail=self.has_detail,
        )

    def tensors(self) -> dict[str, Tensor]:
        """What a bundle stores, on the CPU."""
        fine = self.fine_projection
        return {"projection": self.projection.cpu(), **({} if fine is None else {FINE_PROJECTION: fine.cpu()})}

    def __call__(self, features: Sequence[Tensor], batch: Tensor | None = None) -> Tensor:
        """Each (B, C', H', W') float32 -> (B, h, w, D) float32; with a fine part (B, h, w, D + fine), with detail (B, h, w, D + fine + detail).

        Args:
            features: The levels.
            batch: (B, 3, H, W) float32, what they are of; needed with `has_detail`.

        Raises:
            ParameterError: The levels have other channels than the projection, or a size that cannot be kept; or the detail's picture
                is missing.
        """
        grid = features[self.grid_level]
        projected = self.projected(features)
        channels = [level.shape[1] for level in projected]
        if sum(channels) != self.projection.shape[0]:
            raise ParameterError(f"{sum(channels)} channels do not fit the projection of {self.projection.shape[0]}")
        kept = features[: self.grid_level] if self.keep_fine else []
        fine = self.finer(features)
        fine_dims = sum(level.shape[1] * kept_ratio(level, grid.shape[-2:]) ** 2 for level in kept)
        if fine and self.fine_projection is not None:
            fine_dims = fine_ratio(fine, grid.shape[-2:]) ** 2 * self.fine_projection.shape[1]
        detail = self._detail(batch)
        dims = self.projection.shape[1]
        # Each part is written where it belongs: a copy of the whole would cost as much as the products.
        detail_dims = 0 if detail is None else (detail.shape[-1] // grid.shape[-1]) ** 2
        embedded = grid.new_empty((len(grid), *grid.shape[-2:], dims + fine_dims + detail_dims))
        parts = torch.split(self.projection, channels)
        part = self.part_dims
        if self.normalization != "level":
            _project(projected, [rows[:, :part] for rows in parts], embedded[..., :part], is_direction=True)
        if self.normalization != "vector":
            _project(
                projected, [rows[:, -part:] for rows in parts], embedded[..., dims - part : dims], is_direction=False
            )
        if kept:
            fold_kept(kept, embedded[..., dims:])
        if fine and self.fine_projection is not None:
            fold_fine(fine, self.fine_projection, embedded[..., dims : dims + fine_dims])
        if detail is not None:
            fold_detail(detail, embedded[..., dims + fine_dims :])
        return embedded

    def _detail(self, batch: Tensor | None) -> Tensor | None:
        """(B, r h, r w) float32; None where there is to be none."""
        if not self.has_detail:
            return None
        if batch is None:
            raise ParameterError("an embedding with detail needs the pictures that the features are of")
        return local_detail(batch)

    def projected(self, features: Sequence[Tensor]) -> Sequence[Tensor]:
        """Those of the levels that are projected to the grid."""
        is_fine_apart = self.keep_fine or self.fine_projection is not None
        return features[projected_levels(_strides(features), self.grid_level, keep_fine=is_fine_apart)]

    def finer(self, features: Sequence[Tensor]) -> Sequence[Tensor]:
        """Those of the levels that are projected at the resolution of the finest, and that their projection is of.

        Raises:
            ParameterError: They have other channels than it.
        """
        if self.fine_projection is None:
            return ()
        finer = features[finer_levels(_strides(features), self.grid_level)]
        channels = sum(level.shape[1] for level in finer)
        if channels != len(self.fine_projection):
            raise ParameterError(f"{channels} channels do not fit the fine projection of {len(self.fine_projection)}")
        return finer


def _strides(features: Sequence[Tensor]) -> list[int]:
    """Of levels, in units of the finest's."""
    widths = [level.shape[-1] for level in features]
    return [max(widths) // width for width in widths]


def projected_levels(strides: Sequence[int], grid_level: int, *, keep_fine: bool) -> slice:
    """Which of the levels of these strides, finest first, an `Embedding` projects."""
    if not keep_fine:
        return slice(None)
    return slice(next(i for i, stride in enumerate(strides) if FINER * stride >= strides[grid_level]), None)


def to_grid(level: Tensor, grid: Sequence[int]) -> Tensor:
    """(B, C, H', W') -> (B, C, h, w): averaged from a finer level, interpolated bilinearly from a coarser one."""
    if level.shape[-2:] == grid:
        return level
    if level.shape[-1] > grid[-1]:
        return functional.adaptive_avg_pool2d(level, (grid[0], grid[1]))
    return functional.interpolate(level, size=list(grid), mode="bilinear", align_corners=False)


def _normalized(level: Tensor, grid: Sequence[int], *, is_direction: bool) -> Tensor:
    """(B, C, H', W') -> (B, C, h, w): averaged where it is finer than the grid, then brought to length 1 if the direction is asked for.

    A coarser level keeps its size.
    """
    if level.shape[-1] >= grid[-1]:
        level = to_grid(level, grid)
    return functional.normalize(level, dim=1) if is_direction else level


def _project(levels: Sequence[Tensor], projections: Sequence[Tensor], out: Tensor, *, is_direction: bool) -> None:
    """Sum the products of levels (B, C', H', W') and projections (C', D) into `out`, (B, h, w, D)."""
    grid = out.shape[1:3]
    rows = out.view(-1, out.shape[-1])
    for index, (level, projection) in enumerate(zip(levels, projections, strict=True)):
        values = _normalized(level, grid, is_direction=is_direction).permute(0, 2, 3, 1)
        if level.shape[-1] < grid[1]:
            product = values @ projection
            out.add_(to_grid(product.permute(0, 3, 1, 2), grid).permute(0, 2, 3, 1))
        else:
            # Finest first, so the first of them is here.
            rows.addmm_(values.flatten(0, 2), projection, beta=1 if index else 0)


def checked(tensors: Mapping[str, Tensor], name: str, ndim: int) -> Tensor:
    """Return a stored tensor after checking what every detector asks of one.

    Raises:
        ParameterError: It is missing, not float32, of another rank, or not finite.
    """
    tensor = tensors.get(name)
    if tensor is None:
        raise ParameterError(f"the detector's tensor {name!r} is missing")
    if tensor.dtype != torch.float32 or tensor.ndim != ndim or not bool(torch.isfinite(tensor).all()):
        raise ParameterError(
            f"the detector's tensor {name!r} must be finite float32 of {ndim} dimensions, "
            f"is {tensor.dtype} {tuple(tensor.shape)}"
        )
    return tensor
