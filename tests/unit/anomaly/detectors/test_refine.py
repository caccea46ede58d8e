from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from inspector.anomaly.detectors.fine import unfold_fine
from inspector.anomaly.detectors.fused import Fused, fuse
from inspector.anomaly.detectors.padim import fit_padim
from inspector.anomaly.detectors.patchcore import PatchCore, fit_patchcore
from inspector.anomaly.detectors.refine import Refinement
from inspector.anomaly.errors import ParameterError
from inspector.anomaly.verdict.score import ScoreRule
from tests.distances import normal

GRID, RATIO, DIMS = (12, 10), 4, 3


def folded(images: int, seed: int = 0) -> Tensor:
    return normal(images, *GRID, RATIO**2 * DIMS, seed=seed)


def coarse(images: int, seed: int = 0) -> Tensor:
    return normal(images, *GRID, seed=seed).abs() + 0.5


def refinement(counted: Tensor | None = None) -> Refinement:
    bank = fit_patchcore(unfold_fine(folded(6), RATIO), coreset=50, seed=0)
    every = torch.ones(RATIO * GRID[0], RATIO * GRID[1], dtype=torch.bool)
    return Refinement(bank, torch.tensor(0.1), every if counted is None else counted, RATIO)


def test_the_strongest_pixel_is_the_fine_one_inside_the_strongest_place() -> None:
    distances, fine = coarse(1, seed=1), 0.1 * folded(1, seed=2)
    distances[0, 5, 6] = 20.0
    values = torch.unflatten(fine, -1, (RATIO, RATIO, DIMS))
    values[0, 5, 6, 1, 2] = 30.0  # and as strong where the coarse distance is low
    values[0, 2, 2, 0, 0] = 30.0
    found = refinement()(distances, fine)[0]
    assert divmod(int(found.argmax()), found.shape[1]) == (5 * RATIO + 1, 6 * RATIO + 2)
    assert float(found[2 * RATIO, 2 * RATIO]) < float(found.max()) / 2


def test_the_score_stays_that_of_the_coarse_distances() -> None:
    """So fine features, which rank pictures badly, have no say in it."""
    distances, rule = coarse(20, seed=1), ScoreRule()
    found = refinement()(distances, folded(20, seed=2) * torch.linspace(0.1, 9, 20)[:, None, None, None])
    np.testing.assert_allclose(rule.apply(found).numpy(), rule.apply(distances).numpy(), rtol=1e-5)


def test_what_lies_outside_the_domain_changes_nothing_inside() -> None:
    counted = torch.zeros(RATIO * GRID[0], RATIO * GRID[1], dtype=torch.bool)
    counted[:22, 6:31] = True
    refine, distances, fine = refinement(counted), coarse(2, seed=1), folded(2, seed=2)
    expected = refine(distances, fine)
    outside = torch.nn.functional.max_pool2d(counted[None].float(), RATIO)[0] == 0
    distances[:, outside], fine[:, outside] = torch.nan, torch.inf
    found = refine(distances, fine)
    torch.testing.assert_close(found[:, counted], expected[:, counted])
    assert bool((found[:, ~counted] == 0).all())
    rule = ScoreRule()
    inside = rule.apply(found[:, counted]), rule.apply(coarse(2, seed=1)[:, ~outside])
    np.testing.assert_allclose(inside[0].numpy(), inside[1].numpy(), rtol=1e-5)


def test_nan_stays_nan_and_leaves_other_pictures_alone() -> None:
    refine, distances, fine = refinement(), coarse(3, seed=1), folded(3, seed=2)
    expected = refine(distances, fine)
    distances[1, 4, 4] = torch.nan
    found = refine(distances, fine)
    assert not bool(torch.isfinite(ScoreRule().apply(found)[1]))
    assert torch.equal(found[[0, 2]], expected[[0, 2]])


def parts() -> tuple[Tensor, Fused]:
    """Embeddings with a fine part, and a detector of them."""
    embedded = torch.cat([normal(8, *GRID, 8), folded(8)], dim=-1)
    fine = fit_patchcore(unfold_fine(embedded[..., 8:], RATIO), coreset=50, seed=0)
    counted = torch.ones(RATIO * GRID[0], RATIO * GRID[1], dtype=torch.bool)
    bank = fit_patchcore(embedded[..., :8], coreset=100, seed=0)
    return embedded, fuse(fit_padim(embedded[..., :8]), bank, fine, counted)


def test_a_fused_detector_of_a_finer_map_is_stored_and_ranks_as_without() -> None:
    _, fused = parts()
    new = torch.cat([normal(4, *GRID, 8, seed=7), folded(4, seed=8)], dim=-1)
    found = fused.distances(new)
    assert found.shape == (4, RATIO * GRID[0], RATIO * GRID[1])
    tensors = fused.tensors()
    assert torch.equal(Fused.from_tensors(tensors, torch.device("cpu")).distances(new), found)
    plain = Fused.from_tensors(
        {name: tensor for name, tensor in tensors.items() if not name.startswith("fine.")}, torch.device("cpu")
    )
    rule = ScoreRule()
    scores = rule.apply(found), rule.apply(plain.distances(new[..., :8]))
    np.testing.assert_allclose(scores[0].numpy(), scores[1].numpy(), rtol=1e-5)


def test_parts_that_do_not_fit_are_refused() -> None:
    bank, every = PatchCore(normal(10, DIMS)), torch.ones(8, 8, dtype=torch.bool)
    with pytest.raises(ParameterError, match="must be above 0, is 0"):
        Refinement(bank, torch.zeros(()), every, RATIO)
    for counted, ratio in ((every[:7], RATIO), (every, 0), (~every, RATIO)):
        with pytest.raises(ParameterError, match=r"a fine mask of .* that counts is needed"):
            Refinement(bank, torch.ones(()), counted, ratio)
    with pytest.raises(ParameterError, match=r"the fine bank has 4x4 patches of 3 dimensions .* got 48 on \(3, 2\)"):
        Refinement(bank, torch.ones(()), every, RATIO)(torch.ones(1, 3, 2), torch.ones(1, 3, 2, 48))
    _, fused = parts()
    tensors = fused.tensors()
    with pytest.raises(ParameterError, match=r"'fine\.floor' is missing"):
        Fused.from_tensors({name: t for name, t in tensors.items() if name != "fine.floor"}, torch.device("cpu"))
    with pytest.raises(ParameterError, match="does not fit a grid"):
        Fused.from_tensors({**tensors, "fine.counted": torch.ones(47, 40)}, torch.device("cpu"))
