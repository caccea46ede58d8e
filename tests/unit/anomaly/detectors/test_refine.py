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


def refinement(counted: Tensor | None = None, neighbourhood: int = 1, power: float = 0.5) -> Refinement:
    bank = fit_patchcore(unfold_fine(folded(6), RATIO), coreset=50, seed=0)
    every = torch.ones(RATIO * GRID[0], RATIO * GRID[1], dtype=torch.bool)
    return Refinement(bank, torch.tensor(0.1), every if counted is None else counted, RATIO, neighbourhood, power)


def test_the_strongest_pixel_is_the_fine_one_inside_the_strongest_place() -> None:
    distances, fine = coarse(1, seed=1), 0.1 * folded(1, seed=2)
    distances[0, 5, 6] = 20.0
    values = torch.unflatten(fine, -1, (RATIO, RATIO, DIMS))
    values[0, 5, 6, 1, 2] = 30.0  # and as strong where the coarse distance is low
    values[0, 2, 2, 0, 0] = 30.0
    found = refinement()(distances, fine)[0]
    assert divmod(int(found.argmax()), found.shape[1]) == (5 * RATIO + 1, 6 * RATIO + 2)
    assert float(found[2 * RATIO, 2 * RATIO]) < float(found.max()) / 2


def test_what_several_neighbours_say_is_stronger_than_what_one_says_alone() -> None:
    distances, fine = torch.ones(1, *GRID), torch.zeros(1, *GRID, RATIO**2 * DIMS)
    values = torch.unflatten(fine, -1, (RATIO, RATIO, DIMS))
    values[0, 3, 3, 1, 1] = 12.0
    values[0, 8, 6, :2, :2] = 9.0
    lone, several = (3 * RATIO + 1, 3 * RATIO + 1), (8 * RATIO, 6 * RATIO)
    alone, averaged = (refinement(neighbourhood=side)(distances, fine)[0] for side in (1, 3))
    assert float(alone[lone]) > float(alone[several])
    assert float(averaged[lone]) < float(averaged[several])


def test_a_larger_power_sets_the_strongest_place_off_more() -> None:
    distances, fine = torch.ones(1, *GRID), folded(1, seed=2)
    root, higher = (refinement(power=power)(distances, fine)[0].double().flatten() for power in (0.5, 0.75))
    np.testing.assert_allclose((higher / higher.mean()).numpy(), (root**1.5 / (root**1.5).mean()).numpy(), rtol=1e-4)


def test_the_mean_is_of_those_neighbours_that_count() -> None:
    counted = torch.zeros(RATIO * GRID[0], RATIO * GRID[1], dtype=torch.bool)
    counted[:22, 6:31] = True
    distances, fine = torch.ones(1, *GRID), folded(1, seed=2)
    plain, averaged = (refinement(counted, side)(distances, fine)[0].double() for side in (1, 3))
    # With equal coarse distances such a map is the root of the distances to the bank, up to one factor.
    squares = plain.square()
    for y, x in ((0, 6), (10, 15), (21, 30)):
        window = slice(max(0, y - 1), y + 2), slice(max(0, x - 1), x + 2)
        expected = squares[window][counted[window]].mean() / squares[9:12, 14:17].mean()
        np.testing.assert_allclose(float((averaged[y, x] / averaged[10, 15]).square()), float(expected), rtol=1e-4)


@pytest.mark.parametrize("neighbourhood", [1, 3])
def test_the_score_stays_that_of_the_coarse_distances(neighbourhood: int) -> None:
    """So fine features, which rank pictures badly, have no say in it."""
    distances, rule = coarse(20, seed=1), ScoreRule()
    found = refinement(neighbourhood=neighbourhood)(
        distances, folded(20, seed=2) * torch.linspace(0.1, 9, 20)[:, None, None, None]
    )
    np.testing.assert_allclose(rule.apply(found).numpy(), rule.apply(distances).numpy(), rtol=1e-5)


@pytest.mark.parametrize("neighbourhood", [1, 3])
def test_what_lies_outside_the_domain_changes_nothing_inside(neighbourhood: int) -> None:
    counted = torch.zeros(RATIO * GRID[0], RATIO * GRID[1], dtype=torch.bool)
    counted[:22, 6:31] = True
    refine, distances, fine = refinement(counted, neighbourhood), coarse(2, seed=1), folded(2, seed=2)
    expected = refine(distances, fine)
    outside = torch.nn.functional.max_pool2d(counted[None].float(), RATIO)[0] == 0
    distances[:, outside], fine[:, outside] = torch.nan, torch.inf
    found = refine(distances, fine)
    torch.testing.assert_close(found[:, counted], expected[:, counted])
    assert bool((found[:, ~counted] == 0).all())
    rule = ScoreRule()
    inside = rule.apply(found[:, counted]), rule.apply(coarse(2, seed=1)[:, ~outside])
    torch.testing.assert_close(*inside, rtol=1e-5, atol=0)


def test_nan_stays_nan_and_leaves_other_pictures_alone() -> None:
    refine, distances, fine = refinement(), coarse(3, seed=1), folded(3, seed=2)
    expected = refine(distances, fine)
    distances[1, 4, 4] = torch.nan
    found = refine(distances, fine)
    assert not bool(torch.isfinite(ScoreRule().apply(found)[1]))
    assert torch.equal(found[[0, 2]], expected[[0, 2]])


DETAIL = 8


def detailed(counted: Tensor | None = None, shown: Tensor | None = None) -> Refinement:
    bank = fit_patchcore(unfold_fine(folded(6), RATIO), coreset=50, seed=0)
    if counted is None:
        counted = torch.ones(RATIO * GRID[0], RATIO * GRID[1], dtype=torch.bool)
    if shown is None:
        shown = counted.repeat_interleave(2, 0).repeat_interleave(2, 1)
    return Refinement(bank, torch.tensor(0.1), counted, RATIO, shown=shown, detail_power=0.2)


def contrast(images: int, seed: int = 5) -> Tensor:
    return normal(images, *GRID, DETAIL**2, seed=seed).exp()


def test_local_contrast_draws_the_map_and_leaves_its_level_and_the_score() -> None:
    distances, fine, shown = coarse(3, seed=1), folded(3, seed=2), contrast(3)
    found = detailed()(distances, torch.cat([fine, shown], dim=-1))
    assert found.shape == (3, DETAIL * GRID[0], DETAIL * GRID[1])
    plain = refinement(neighbourhood=3, power=0.75)(distances, fine)
    wide = torch.nn.functional.interpolate(plain[:, None], scale_factor=2, mode="bilinear", align_corners=False)[:, 0]
    drawn = (found / (wide * unfold_fine(shown, DETAIL)[..., 0].pow(0.2))).double().flatten(1)
    np.testing.assert_allclose((drawn / drawn.mean(1, keepdim=True)).numpy(), 1.0, rtol=1e-5)
    rule = ScoreRule()
    np.testing.assert_allclose(rule.apply(found).numpy(), rule.apply(distances).numpy(), rtol=1e-5)


def test_contrast_outside_the_domain_changes_nothing_inside() -> None:
    counted = torch.zeros(RATIO * GRID[0], RATIO * GRID[1], dtype=torch.bool)
    counted[:22, 6:31] = True
    wide = counted.repeat_interleave(2, 0).repeat_interleave(2, 1)
    refine, distances, fine, shown = detailed(counted), coarse(2, seed=1), folded(2, seed=2), contrast(2)
    expected = refine(distances, torch.cat([fine, shown], dim=-1))
    values = torch.unflatten(shown, -1, (DETAIL, DETAIL)).permute(0, 1, 3, 2, 4)
    values.masked_fill_(~wide.view(GRID[0], DETAIL, GRID[1], DETAIL), torch.nan)
    outside = torch.nn.functional.max_pool2d(counted[None].float(), RATIO)[0] == 0
    distances[:, outside], fine[:, outside] = torch.nan, torch.inf
    found = refine(distances, torch.cat([fine, shown], dim=-1))
    assert torch.equal(found, expected)
    assert bool((found[:, ~wide] == 0).all())


def test_with_a_slanted_domain_the_score_is_that_of_the_coarse_distances_too() -> None:
    """At each resolution other positions count along its border, and the score is taken where those of the map do."""
    rows, columns = (torch.arange(DETAIL * side) + 0.5 for side in GRID)
    inside = [
        (rows[: ratio * GRID[0], None] / ratio * 0.7 + columns[: ratio * GRID[1]] / ratio < 8)
        for ratio in (1, RATIO, DETAIL)
    ]
    grid, counted, shown = inside
    touched = torch.nn.functional.max_pool2d(counted[None].float(), RATIO)[0] > 0
    distances, rule = coarse(6, seed=1), ScoreRule()
    distances[:, touched & ~grid] *= 5  # the strongest lie on the rim
    found = detailed(counted, shown)(distances, torch.cat([folded(6, seed=2), contrast(6)], dim=-1))
    scores = rule.apply(found[:, shown]), rule.apply(distances[:, touched])
    np.testing.assert_allclose(scores[0].numpy(), scores[1].numpy(), rtol=1e-5)
    assert bool((found[:, ~shown] == 0).all())


def test_even_distances_stay_even_up_to_the_border_of_the_domain() -> None:
    counted = torch.zeros(RATIO * GRID[0], RATIO * GRID[1], dtype=torch.bool)
    counted[:22, 6:31] = True
    fine = torch.cat([torch.zeros(1, *GRID, RATIO**2 * DIMS), torch.ones(1, *GRID, DETAIL**2)], dim=-1)
    found = detailed(counted)(torch.ones(1, *GRID), fine)[0]
    inside = found[found > 0]
    assert len(inside) == 4 * int(counted.sum())
    np.testing.assert_allclose(inside.numpy(), float(inside.mean()), rtol=1e-5)


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
    torch.testing.assert_close(*scores, rtol=1e-5, atol=0)


def test_a_detector_with_local_contrast_is_stored() -> None:
    embedded = torch.cat([normal(8, *GRID, 8), folded(8), contrast(8)], dim=-1)
    every = torch.ones(RATIO * GRID[0], RATIO * GRID[1], dtype=torch.bool)
    bank = fit_patchcore(embedded[..., :8], coreset=100, seed=0)
    fine = fit_patchcore(unfold_fine(embedded[..., 8 : -(DETAIL**2)], RATIO), coreset=50, seed=0)
    fused = fuse(fit_padim(embedded[..., :8]), bank, fine, every, every.repeat_interleave(2, 0).repeat_interleave(2, 1))
    tensors = fused.tensors()
    assert tensors["detail.counted"].shape == (DETAIL * GRID[0], DETAIL * GRID[1])
    found = fused.distances(embedded)
    assert found.shape == (8, DETAIL * GRID[0], DETAIL * GRID[1])
    assert torch.equal(Fused.from_tensors(tensors, torch.device("cpu")).distances(embedded), found)
    stronger = Fused.from_tensors(tensors | {"detail.power": torch.tensor(0.5)}, torch.device("cpu"))
    assert not torch.allclose(stronger.distances(embedded), found, rtol=1e-3)


def test_a_bundle_of_an_earlier_version_keeps_its_map() -> None:
    """It stores neither neighbourhood, power nor a factor of the border, and its thresholds are for maps as they were."""
    _, fused = parts()
    new = torch.cat([normal(4, *GRID, 8, seed=7), folded(4, seed=8)], dim=-1)
    tensors = fused.tensors()
    stands_for = {"fine.neighbourhood": torch.tensor(1.0), "fine.power": torch.tensor(0.5), "border": torch.tensor(1.0)}
    earlier = {name: tensor for name, tensor in tensors.items() if name not in stands_for}
    without = tensors | stands_for
    found, same, now = (
        Fused.from_tensors(stored, torch.device("cpu")).distances(new) for stored in (earlier, without, tensors)
    )
    assert torch.equal(found, same)
    assert not torch.allclose(found, now, rtol=1e-3)


def test_parts_that_do_not_fit_are_refused() -> None:
    bank, every = PatchCore(normal(10, DIMS)), torch.ones(8, 8, dtype=torch.bool)
    with pytest.raises(ParameterError, match="must be above 0, is 0"):
        Refinement(bank, torch.zeros(()), every, RATIO)
    for counted, ratio in ((every[:7], RATIO), (every, 0), (~every, RATIO)):
        with pytest.raises(ParameterError, match=r"a fine mask of .* that counts is needed"):
            Refinement(bank, torch.ones(()), counted, ratio)
    for neighbourhood in (0, 2):
        with pytest.raises(ParameterError, match=f"must be 1, 3 or another odd number, is {neighbourhood}"):
            Refinement(bank, torch.ones(()), every, RATIO, neighbourhood)
    with pytest.raises(ParameterError, match="the power of the distances to the fine bank must be above 0, is 0"):
        Refinement(bank, torch.ones(()), every, RATIO, power=0.0)
    with pytest.raises(
        ParameterError, match=r"the fine bank has 4x4 patches of 3 dimensions .* got 48 dimensions on \(3, 2\)"
    ):
        Refinement(bank, torch.ones(()), every, RATIO)(torch.ones(1, 3, 2), torch.ones(1, 3, 2, 48))
    with pytest.raises(ParameterError, match="the power of the local contrast must be above 0, is 0"):
        Refinement(bank, torch.ones(()), every, RATIO, detail_power=0.0)
    for shown in (torch.ones(16, 12) > 0, torch.ones(4, 4) > 0, torch.zeros(16, 16) > 0):
        with pytest.raises(ParameterError, match=r"a mask of the local contrast of .* does not fit one of \(8, 8\)"):
            Refinement(bank, torch.ones(()), every, RATIO, shown=shown)
    _, fused = parts()
    tensors = fused.tensors()
    with pytest.raises(
        ParameterError, match=r"a mask of the local contrast of \(95, 80\) does not fit one of \(48, 40\)"
    ):
        Fused.from_tensors({**tensors, "detail.counted": torch.ones(95, 80)}, torch.device("cpu"))
    with pytest.raises(ParameterError, match=r"'fine\.floor' is missing"):
        Fused.from_tensors({name: t for name, t in tensors.items() if name != "fine.floor"}, torch.device("cpu"))
    with pytest.raises(ParameterError, match=r"must be a whole number, is 2\.5"):
        Fused.from_tensors({**tensors, "fine.neighbourhood": torch.tensor(2.5)}, torch.device("cpu"))
    with pytest.raises(ParameterError, match="does not fit a grid"):
        Fused.from_tensors({**tensors, "fine.counted": torch.ones(47, 40)}, torch.device("cpu"))
