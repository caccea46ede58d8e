"""Choose patches that cover all the others: greedy k-center on randomly projected features.

Source: Roth et al., "Towards Total Recall in Industrial Anomaly Detection" (CVPR 2022), after Sener & Savarese,
"Active Learning for Convolutional Neural Networks" (ICLR 2018); projection by Johnson and Lindenstrauss.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

PROJECTED_DIMS = 32
MAX_CANDIDATES = 100_000

_ACTIVE_SHARE = 0.15
_LEAST_ACTIVE = 2048
_COLUMNS = 256
_ROUNDS = 16
"""At least this many, so that progress can be shown."""
_CHOSEN = -1.0
"""Stands for the distance of a patch that was chosen, so that none is chosen twice."""


def draw_candidates(total: int, *, share: float = 1.0, seed: int) -> Tensor:
    """Return which of `total` patches may be chosen, so that no more of them need to be in memory.

    Args:
        total: Number of patches.
        share: Of them, to be drawn at random; at most `MAX_CANDIDATES` are in any case.
        seed: Decides which.

    Returns:
        (M,) int64, rising.
    """
    count = min(MAX_CANDIDATES, max(1, round(share * total)))
    if count >= total:
        return torch.arange(total)
    return torch.randperm(total, generator=torch.Generator().manual_seed(seed))[:count].sort().values


def greedy_coreset(
    patches: Tensor, size: int, *, seed: int, progress: Callable[[int, int], None] | None = None
) -> Tensor:
    """Return the indices of `size` patches, each the farthest from all chosen before it.

    Above `MAX_CANDIDATES` patches a random share of them is considered, so time and memory stay bounded.

    Args:
        patches: (M, D) float32 on the CPU.
        size: How many to choose; all are returned where there are no more.
        seed: Decides the projection, the candidates and the first patch.
        progress: Called now and then with the number chosen and `size`.

    Returns:
        (min(size, M),) int64.
    """
    if len(patches) <= size:
        return torch.arange(len(patches))
    random = torch.Generator().manual_seed(seed)
    candidates = torch.randperm(len(patches), generator=random)[:MAX_CANDIDATES]
    dims = min(PROJECTED_DIMS, patches.shape[1])
    projection = torch.randn(patches.shape[1], dims, generator=random) / dims**0.5
    points = patches[candidates] @ projection
    first = int(torch.randint(len(points), (1,), generator=random))
    return candidates[farthest_points(points, first, min(size, len(points)), progress)]


def farthest_points(
    points: Tensor, first: int, size: int, progress: Callable[[int, int], None] | None = None
) -> Tensor:
    """Return the indices of `size` points, (size,) int64, each the farthest from all before it.

    Distances to what is chosen only fall. So a point below a threshold cannot be the farthest while another is above it: each
    round looks at those above alone, and the others learn of the round's choices at its end, all at once.

    Args:
        points: (M, D) float32, M at least `size`.
        first: Index of the first of them.
        size: How many to choose.
        progress: See `greedy_coreset`.
    """
    norms = points.square().sum(1)
    nearest = torch.full((len(points),), torch.inf)
    chosen = [first]
    _come_near(nearest, points, norms, chosen)
    while len(chosen) < size:
        active = max(_LEAST_ACTIVE, round(_ACTIVE_SHARE * len(points)))
        threshold = float(nearest.topk(min(active, len(points))).values[-1])
        if threshold >= float(nearest.max()):
            threshold = _CHOSEN
        most = min(size - len(chosen), -(-size // _ROUNDS))
        above = (nearest > threshold).nonzero()[:, 0]
        found = above[_round(points[above], norms[above], nearest[above], threshold, most)].tolist()
        _come_near(nearest, points, norms, found)
        chosen += found
        if progress is not None:
            progress(len(chosen), size)
    return torch.tensor(chosen)


def _round(points: Tensor, norms: Tensor, nearest: Tensor, threshold: float, most: int) -> Tensor:
    """Choose the farthest of these points until it is no longer above the threshold; changes `nearest`."""
    chosen: list[int] = []
    squares = torch.empty_like(nearest)
    while len(chosen) < most:
        latest = int(nearest.argmax())
        if float(nearest[latest]) <= threshold:
            break
        chosen.append(latest)
        # |a - b|^2 = |a|^2 - 2ab + |b|^2 reads the points once instead of writing a difference of the same size.
        torch.addmv(norms, points, points[latest], alpha=-2, out=squares)
        torch.minimum(nearest, squares.add_(norms[latest]).clamp_min_(0), out=nearest)
        nearest[latest] = _CHOSEN
    return torch.tensor(chosen)


def _come_near(nearest: Tensor, points: Tensor, norms: Tensor, chosen: list[int]) -> None:
    """Let every point know of the points that were chosen; changes `nearest`."""
    for start in range(0, len(chosen), _COLUMNS):
        part = chosen[start : start + _COLUMNS]
        squares = torch.addmm(norms[:, None] + norms[part], points, points[part].T, alpha=-2)
        torch.minimum(nearest, squares.amin(1).clamp_min_(0), out=nearest)
    # Rounding must not bring a point that was chosen back.
    nearest[chosen] = _CHOSEN
