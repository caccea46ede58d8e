from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from inspector.anomaly.detectors import coreset
from inspector.anomaly.detectors.coreset import greedy_coreset
from tests.distances import as_float64, nearest_distances, normal


def covering_radius(points: Tensor, chosen: Tensor) -> float:
    return float(nearest_distances(points, points[chosen]).max())


def brute_force_greedy(points: NDArray[np.float64], first: int, size: int) -> list[int]:
    chosen = [first]
    while len(chosen) < size:
        distances = np.sqrt(((points[:, None] - points[chosen][None]) ** 2).sum(-1)).min(1)
        chosen.append(int(distances.argmax()))
    return chosen


@given(seed=st.integers(0, 1000), size=st.integers(1, 19))
@settings(max_examples=20)
def test_the_coreset_is_the_greedy_choice_of_the_projected_points(seed: int, size: int) -> None:
    # One dimension more than points would need: the projection is a random matrix that the reference has to know.
    points = normal(20, 3, seed=seed)
    chosen = greedy_coreset(points, size, seed=seed)
    random = torch.Generator().manual_seed(seed)
    torch.randperm(20, generator=random)
    projection = torch.randn(3, 3, generator=random) / 3**0.5
    assert chosen.tolist() == brute_force_greedy(as_float64(points @ projection), int(chosen[0]), size)


@pytest.mark.parametrize("seed", range(3))
def test_the_coreset_covers_better_than_a_random_choice(seed: int) -> None:
    clusters = normal(12, 40, scale=8.0, seed=seed).repeat_interleave(60, 0)
    # Clusters of very different sizes: a random choice misses the small ones.
    points = torch.cat([clusters[:700:1] + normal(700, 40, seed=seed + 1), normal(3, 40, scale=30.0, seed=seed + 2)])
    greedy = covering_radius(points, greedy_coreset(points, 30, seed=seed))
    random = [
        covering_radius(points, torch.randperm(len(points), generator=torch.Generator().manual_seed(draw))[:30])
        for draw in range(10)
    ]
    assert greedy <= min(random)


@given(count=st.integers(1, 30), size=st.integers(1, 40), seed=st.integers(0, 100))
@settings(max_examples=40)
def test_the_coreset_is_of_the_size_asked_for_and_names_nothing_twice(count: int, size: int, seed: int) -> None:
    points = normal(count, 5, seed=seed)
    chosen = greedy_coreset(points, size, seed=seed)
    assert chosen.dtype == torch.int64
    assert len(set(chosen.tolist())) == len(chosen) == min(size, count)
    assert int(chosen.min()) >= 0
    assert int(chosen.max()) < count


def test_copies_of_a_patch_do_not_fill_the_coreset_before_all_others_are_in() -> None:
    distinct = normal(10, 5)
    points = torch.cat([distinct[:1].expand(200, 5), distinct])
    chosen = points[greedy_coreset(points, 10, seed=0)]
    assert len({tuple(point) for point in chosen.tolist()}) == 10


def test_the_coreset_depends_on_the_seed_alone() -> None:
    points = normal(500, 80)
    assert torch.equal(greedy_coreset(points, 50, seed=3), greedy_coreset(points, 50, seed=3))
    assert not torch.equal(greedy_coreset(points, 50, seed=3), greedy_coreset(points, 50, seed=4))


def test_only_so_many_candidates_are_considered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coreset, "MAX_CANDIDATES", 20)
    chosen = greedy_coreset(normal(100, 5), 15, seed=0)
    assert len(set(chosen.tolist())) == 15
    assert int(chosen.max()) >= 20, "the candidates are drawn from all patches"
    assert len(greedy_coreset(normal(100, 5), 30, seed=0)) == 20


def test_the_coreset_tells_how_far_it_is() -> None:
    told: list[tuple[int, int]] = []
    greedy_coreset(normal(300, 5), 200, seed=0, progress=lambda done, total: told.append((done, total)))
    assert len(told) > 2
    assert told == sorted(told)
    assert {total for _, total in told} == {200}


@pytest.mark.parametrize("active", [1, 40, 10_000])
def test_rounds_choose_what_plain_greedy_choice_does(active: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole numbers, so that rounding decides nothing; `first` is what the seed chose."""
    monkeypatch.setattr(coreset, "_LEAST_ACTIVE", active)
    points = torch.randint(-50, 50, (600, 6), generator=torch.Generator().manual_seed(7)).float()
    nearest = torch.full((600,), torch.inf)
    expected, latest = [], 5
    for _ in range(300):
        expected.append(latest)
        nearest = torch.minimum(nearest, (points - points[latest]).square().sum(1))
        nearest[expected] = -1.0
        latest = int(nearest.argmax())
    found = coreset.farthest_points(points, 5, 300)
    radii = [_radius(points, chosen) for chosen in (found, torch.tensor(expected))]
    assert len(set(found.tolist())) == 300
    assert radii[0] == radii[1]


def _radius(points: torch.Tensor, chosen: torch.Tensor) -> float:
    return float(torch.cdist(points, points[chosen]).amin(1).max())
