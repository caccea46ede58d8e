from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from inspector.anomaly.detectors.coreset import draw_candidates
from inspector.anomaly.detectors.patchcore import PatchCore, fit_patchcore
from inspector.anomaly.errors import ParameterError
from tests.distances import nearest_distances, normal


@pytest.mark.parametrize(("offset", "scale"), [(0.0, 1.0), (5.0, 1.0), (20.0, 0.3), (0.0, 1e-3), (0.0, 1e3)])
@pytest.mark.parametrize("patches_in_bank", [1, 7, 500])
def test_patchcore_is_the_distance_to_the_nearest_patch(patches_in_bank: int, offset: float, scale: float) -> None:
    bank = normal(patches_in_bank, 24, offset=offset, scale=scale)
    embedded = normal(3, 5, 7, 24, seed=1, offset=offset, scale=scale)
    found = PatchCore(bank).distances(embedded)
    assert found.shape == (3, 5, 7)
    assert found.dtype == torch.float32
    expected = nearest_distances(embedded.flatten(0, 2), bank).reshape(3, 5, 7)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_the_nearest_patch_is_found_where_patches_differ_little_from_each_other(seed: int) -> None:
    """Features share a mean that is long beside what tells them apart; products of whole vectors would drown it."""
    mean = normal(1, 24, scale=30.0)
    bank, embedded = mean + normal(2000, 24, seed=seed, scale=0.03), mean + normal(1, 20, 20, 24, seed=9, scale=0.03)
    found = PatchCore(bank).distances(embedded).flatten()
    np.testing.assert_allclose(found.numpy(), nearest_distances(embedded.flatten(0, 2), bank), rtol=1e-5)


@pytest.mark.parametrize("offset", [0.0, 30.0])
def test_a_patch_of_the_bank_has_distance_exactly_0(offset: float) -> None:
    bank = normal(300, 24, offset=offset)
    found = PatchCore(bank).distances(bank.reshape(3, 10, 10, 24))
    assert float(found.abs().max()) == 0.0


def test_patchcore_takes_more_patches_than_a_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    bank, embedded = normal(40, 8), normal(2, 9, 11, 8, seed=1)
    whole = PatchCore(bank).distances(embedded)
    monkeypatch.setattr("inspector.anomaly.detectors.patchcore._CHUNK_PATCHES", 7)
    torch.testing.assert_close(PatchCore(bank).distances(embedded), whole, rtol=1e-6, atol=0)


def test_patchcore_scores_nan_as_nan_and_leaves_its_neighbours_alone() -> None:
    detector = PatchCore(normal(40, 8))
    embedded = normal(3, 4, 4, 8, seed=1)
    spoilt = embedded.clone()
    spoilt[1] = torch.nan
    found, expected = detector.distances(spoilt), detector.distances(embedded)
    assert bool(found[1].isnan().all())
    torch.testing.assert_close(found[[0, 2]], expected[[0, 2]], rtol=1e-6, atol=0)


def test_fitting_patchcore_fills_the_bank_with_patches_of_the_images() -> None:
    embedded = normal(4, 3, 5, 8)
    bank = fit_patchcore(embedded, coreset=10, seed=0).tensors()["bank"]
    assert bank.shape == (10, 8)
    patches = {tuple(patch) for patch in embedded.flatten(0, 2).tolist()}
    chosen = [tuple(patch) for patch in bank.tolist()]
    assert set(chosen) <= patches
    assert len(set(chosen)) == 10
    assert len(fit_patchcore(embedded, coreset=1000, seed=0).tensors()["bank"]) == 60


@pytest.mark.parametrize(("images", "patches"), [(0, 5), (3, 0)])
def test_patchcore_refuses_what_it_cannot_learn_from(images: int, patches: int) -> None:
    with pytest.raises(ParameterError, match=f"at least 1 image and 1 patch, got {images} and {patches}"):
        fit_patchcore(torch.zeros(images, 2, 2, 4), coreset=patches, seed=0)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_features_that_are_not_finite_are_refused_before_a_choice(value: float) -> None:
    patches = normal(30, 8)
    patches[7, 3] = value
    with pytest.raises(ParameterError, match="features of an ok image are not finite"):
        fit_patchcore(patches, coreset=10, seed=0)


@given(total=st.integers(1, 500), share=st.floats(0.001, 1), most=st.integers(1, 200))
def test_candidates_are_a_share_of_the_patches_each_once(total: int, share: float, most: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("inspector.anomaly.detectors.coreset.MAX_CANDIDATES", most)
        chosen = draw_candidates(total, share=share, seed=3)
        assert torch.equal(chosen, draw_candidates(total, share=share, seed=3))
    assert len(chosen) == min(total, most, max(1, round(share * total)))
    assert sorted(set(chosen.tolist())) == chosen.tolist()
    assert 0 <= int(chosen[0]) <= int(chosen[-1]) < total
