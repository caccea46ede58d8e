"""Choose patches that cover all the others: greedy k-center on randomly projected features.

Source: Roth et al., "Towards Total Recall in Industrial Anomaly Detection" (CVPR 2022), after Sener & Savarese,
"Active Learning for Convolutional Neural Networks" (ICLR 2018); projection by Johnson and Lindenstrauss.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

PROJECTED_DIMS = 64
MAX_CANDIDATES = 100_000


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
    norms = points.square().sum(1)
    nearest = torch.full((len(points),), float("inf"))
    chosen = torch.empty(min(size, len(points)), dtype=torch.int64)
    latest = int(torch.randint(len(points), (1,), generator=random))
    for index in range(len(chosen)):
        chosen[index] = latest
        point = points[latest]
        # |a - b|^2 = |a|^2 - 2ab + |b|^2 reads the points once instead of writing a difference of the same size.
        torch.minimum(nearest, norms + point.square().sum() - 2 * (points @ point), out=nearest)
        nearest[latest] = -1.0
        latest = int(nearest.argmax())
        if progress is not None and index % 64 == 0:
            progress(index, len(chosen))
    return candidates[chosen]
