from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from inspector.anomaly.detectors.fused import BORDER_WEIGHT, FLOOR_SHARE, Fused, fuse
from inspector.anomaly.detectors.padim import PaDiM, fit_padim
from inspector.anomaly.detectors.patchcore import PatchCore, fit_patchcore
from inspector.anomaly.errors import ParameterError
from tests.distances import normal


def embeddings(images: int = 12, seed: int = 0) -> Tensor:
    return normal(images, 4, 5, 8, seed=seed)


def parts(coreset: int = 100) -> tuple[PaDiM, PatchCore]:
    return fit_padim(embeddings()), fit_patchcore(embeddings(), coreset=coreset, seed=0)


def weighted(distances: Tensor) -> Tensor:
    """(B, 4, 5): with the border's factor."""
    found = BORDER_WEIGHT * distances
    found[:, 1:-1, 1:-1] = distances[:, 1:-1, 1:-1]
    return found


def test_the_distance_is_the_geometric_mean_of_both() -> None:
    gaussian, bank = parts()
    fused, new = fuse(gaussian, bank), embeddings(3, seed=1)
    nearest = (bank.distances(new).double() ** 2 + fused.tensors()["floor"].double() ** 2).sqrt()
    expected = weighted((gaussian.distances(new).double() * nearest).sqrt())
    np.testing.assert_allclose(fused.distances(new).numpy(), expected.numpy(), rtol=1e-5)
    plain = weighted((gaussian.distances(new).double() * bank.distances(new).double()).sqrt())
    np.testing.assert_allclose(fused.distances(new).numpy(), plain.numpy(), rtol=0.02)  # the floor is low


def test_each_sees_its_part_of_the_embedding() -> None:
    gaussian, _ = parts()
    other = PatchCore(normal(50, 6, seed=4))
    first, last = embeddings(2, seed=1), normal(2, 4, 5, 6, seed=2)
    found = fuse(gaussian, other).distances(torch.cat([first, last], dim=-1))
    floor = fuse(gaussian, other).tensors()["floor"]
    expected = (gaussian.distances(first) * torch.hypot(other.distances(last), floor)).sqrt()
    torch.testing.assert_close(found, weighted(expected))


def test_what_is_known_elsewhere_counts_for_less_than_what_is_known_nowhere() -> None:
    """Every position of the ok images has a level of its own."""
    levels = torch.arange(20.0).reshape(4, 5, 1)
    ok = levels + 0.1 * embeddings()
    fused = fuse(fit_padim(ok), fit_patchcore(ok, coreset=100, seed=0))
    known, misplaced, unknown = (levels + 0.1 * embeddings(1, seed=1) for _ in range(3))
    misplaced[0, 1, 1] = known[0, 1, 2]  # one level off
    unknown[0, 1, 1] = levels[1, 1] + torch.tensor([1.0, -1.0]).repeat(4)  # as far off, another way
    found = [float(fused.distances(picture)[0, 1, 1]) for picture in (known, misplaced, unknown)]
    assert found == sorted(found)
    assert found[1] > 1.3 * found[0]
    assert found[2] > 1.5 * found[1]


def test_rounding_of_a_picture_that_was_learnt_by_heart_stays_rounding() -> None:
    """Without the floor the square root would make a thousandth of a millionth."""
    gaussian, bank = parts(coreset=1000)
    fused, learnt = fuse(gaussian, bank), embeddings()
    disturbed = learnt * (1 + 1e-6 * torch.sign(normal(*learnt.shape, seed=5)))
    torch.testing.assert_close(fused.distances(disturbed), fused.distances(learnt), rtol=1e-5, atol=0)


def test_the_floor_follows_the_bank_and_not_its_unit() -> None:
    gaussian, bank = parts()
    small = fuse(gaussian, bank).tensors()["floor"]
    large = fuse(gaussian, PatchCore(1000 * bank.tensors()["bank"])).tensors()["floor"]
    np.testing.assert_allclose(float(large), 1000 * float(small), rtol=1e-4)
    patches = bank.tensors()["bank"]
    apart = torch.cdist(patches.double(), patches.double())
    spacing = apart.fill_diagonal_(torch.inf).amin(1).median()
    np.testing.assert_allclose(float(small), FLOOR_SHARE * float(spacing), rtol=1e-5)


@pytest.mark.parametrize("patches", [torch.zeros(1, 8), torch.zeros(30, 8), torch.ones(3, 8)])
def test_a_bank_of_one_patch_or_of_equal_ones_has_a_floor_too(patches: Tensor) -> None:
    found = fuse(fit_padim(embeddings()), PatchCore(patches)).distances(torch.zeros(1, 4, 5, 8))
    assert bool(torch.isfinite(found).all())
    assert float(found.min()) > 0


def test_what_a_bundle_stores_gives_the_same_detector() -> None:
    fused = fuse(*parts())
    again = Fused.from_tensors(fused.tensors(), torch.device("cpu"))
    new = embeddings(2, seed=3)
    assert torch.equal(fused.distances(new), again.distances(new))


def test_nan_stays_nan_and_leaves_its_neighbours_alone() -> None:
    fused, new = fuse(*parts()), embeddings(3, seed=1)
    spoilt = new.clone()
    spoilt[1] = torch.nan
    found, expected = fused.distances(spoilt), fused.distances(new)
    assert bool(found[1].isnan().all())
    torch.testing.assert_close(found[[0, 2]], expected[[0, 2]], rtol=1e-6, atol=0)


def test_parts_that_do_not_fit_are_refused() -> None:
    gaussian, bank = parts()
    with pytest.raises(ParameterError, match="Gaussians of 8 and a bank of 5 dimensions do not fit an embedding of 12"):
        fuse(gaussian, PatchCore(normal(10, 5))).distances(normal(1, 4, 5, 12))
    with pytest.raises(ParameterError, match="must be above 0, is 0"):
        Fused(gaussian, bank, torch.zeros(()))
    for border in (0.0, 1.1):
        with pytest.raises(ParameterError, match="at the border must be above 0, up to 1, is"):
            Fused(gaussian, bank, torch.ones(()), border=border)
    with pytest.raises(ParameterError, match="'floor' is missing"):
        Fused.from_tensors({**gaussian.tensors(), **bank.tensors()}, torch.device("cpu"))
