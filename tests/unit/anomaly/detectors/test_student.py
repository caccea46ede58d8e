"""The student on generated features: what it learns, what it keeps apart, what it refuses."""

from __future__ import annotations

import math
from typing import NamedTuple

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from inspector.anomaly.detectors.base import Embedding, projected_levels
from inspector.anomaly.detectors.padim import PaDiM, fit_padim
from inspector.anomaly.detectors.student import Student
from inspector.anomaly.detectors.student_network import StudentNetwork, build_student
from inspector.anomaly.errors import ParameterError
from inspector.anomaly.model.param import DLModelParam

DEEP, FINE, GRID = 6, 8, (4, 6)


def embeddings(count: int, seed: int = 0) -> Tensor:
    """Deep features that vary smoothly, and fine ones that follow from them."""
    generator = torch.Generator().manual_seed(seed)
    smooth = torch.randn((count, 1, 1, DEEP), generator=generator)
    deep = smooth + 0.02 * torch.randn((count, *GRID, DEEP), generator=generator)
    fine = torch.tanh(smooth @ torch.linspace(-1, 1, DEEP * FINE).reshape(DEEP, FINE))
    return torch.cat((deep, fine + 0.02 * torch.randn((count, *GRID, FINE), generator=generator)), dim=-1)


class Parts(NamedTuple):
    """What a student is made of."""

    network: StudentNetwork
    gaussian: PaDiM


def trained(embedded: Tensor, *, steps: int = 150) -> Parts:
    network = build_student(DEEP, FINE, complexity=4, seed=0)
    network.learn_statistics([embedded[i : i + 8] for i in range(0, len(embedded), 8)])
    optimiser = torch.optim.AdamW(network.parameters(), lr=5e-3)
    for _ in range(steps):
        optimiser.zero_grad()
        network.errors(embedded).mean().backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return Parts(network, fit_padim(embedded[..., :DEEP]))


@pytest.fixture(scope="module")
def parts() -> Parts:
    return trained(embeddings(48))


@pytest.fixture(scope="module")
def student(parts: Parts) -> Student:
    return Student(*parts)


def test_ok_features_are_predicted_and_a_strange_spot_is_not(student: Student, parts: Parts) -> None:
    held_out = embeddings(8, seed=1)
    error = parts.network.errors(held_out)
    assert error.shape == (8, 2 * GRID[0], 2 * GRID[1])
    assert float(error.mean()) < 0.3  # 1 is what predicting the mean would give
    spoilt = held_out.clone()
    spoilt[:, 1, 2, DEEP:] += 2.0
    distances = student.distances(spoilt)
    assert distances.shape == error.shape
    inside = distances[:, 2:4, 4:6].mean((1, 2))
    ordinary = student.distances(held_out)
    assert bool((inside > 1.5 * ordinary[:, 2:4, 4:6].mean((1, 2))).all())
    elsewhere = torch.ones(distances.shape[1:], dtype=torch.bool)
    elsewhere[2:4, 4:6] = False
    # Only fine features were changed: nothing else may move.
    torch.testing.assert_close(distances[:, elsewhere], ordinary[:, elsewhere])


def test_distance_is_the_geometric_mean_of_the_students_error_and_the_sharpened_gaussian(
    student: Student, parts: Parts
) -> None:
    embedded = embeddings(3, seed=2)
    error = parts.network.errors(embedded).sqrt()
    deep = parts.gaussian.distances(embedded[..., :DEEP])
    sharp = torch.empty_like(deep)
    for row in range(GRID[0]):
        for column in range(GRID[1]):
            around = deep[:, max(0, row - 3) : row + 4, max(0, column - 3) : column + 4].mean((1, 2))
            sharp[:, row, column] = deep[:, row, column] * (deep[:, row, column] / around).clamp_max(1.2)
    wide = functional.interpolate(sharp[:, None], scale_factor=2, mode="bilinear", align_corners=False)[:, 0]
    torch.testing.assert_close(student.distances(embedded), torch.exp((3 * wide.log() + 2 * error.log()) / 5))


def test_a_part_that_is_wrong_as_a_whole_is_not_outdone_by_a_spot(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A distance that is high everywhere stands out from nothing; one spot of an ordinary map does."""
    monkeypatch.setattr(parts.network, "errors", lambda _: torch.ones(1, 2 * GRID[0], 2 * GRID[1]))

    def sharpened(deep: Tensor) -> Tensor:
        """(1, 2h, 2w): what the Gaussians' distances count for, where the student's error is 1."""
        monkeypatch.setattr(parts.gaussian, "distances", lambda _: deep)
        return Student(*parts).distances(embeddings(1)) ** (5 / 3)

    spot = torch.ones(1, *GRID)
    spot[0, :, 2] = 3.0  # a stripe down the grid, so that interpolation leaves its height
    stripe = sharpened(spot)
    whole = sharpened(torch.full((1, *GRID), 4.0))
    torch.testing.assert_close(whole, torch.full_like(whole, 4.0))
    # In the grid 3.6 at most; 1 in 4 is of the column beside, which is less than its surroundings and so dimmed.
    beside = 1 / (1 + 2 / 6)  # of the six columns within reach one has 3
    assert float(stripe.max()) == pytest.approx(0.75 * 3.6 + 0.25 * beside, rel=1e-5)
    assert float(stripe[0, 3, 7]) < 1.0


def test_what_does_not_count_is_no_surroundings(
    student: Student, parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Outside a domain the Gaussians know nothing and a distance is arbitrary: it must not move what is beside it."""
    counted = torch.ones(GRID, dtype=torch.bool)
    counted[:, 3:] = False
    masked = Student(*parts, counted)
    embedded, spoilt = embeddings(2, seed=4), embeddings(2, seed=4)
    spoilt[:, :, 3:, :DEEP] *= 50
    inside = (..., slice(0, 2 * 3))
    # The student's own error is the same for both: only what the Gaussians say is looked at.
    error = parts.network.errors(embedded)
    monkeypatch.setattr(parts.network, "errors", lambda _: error)
    torch.testing.assert_close(masked.distances(spoilt)[inside], masked.distances(embedded)[inside])
    assert not torch.allclose(student.distances(spoilt)[inside], student.distances(embedded)[inside])
    spoilt[:, :, 3:, :DEEP] = math.nan
    torch.testing.assert_close(masked.distances(spoilt)[inside], masked.distances(embedded)[inside])
    # A mask that counts everything is none.
    everything = Student(*parts, torch.ones(GRID, dtype=torch.bool))
    assert torch.equal(everything.distances(embedded), student.distances(embedded))
    # Nothing counts within reach: nothing is found there, and nothing is undefined.
    nothing = Student(*parts, torch.zeros(GRID, dtype=torch.bool))
    assert float(nothing.distances(embedded).abs().max()) == 0.0
    with pytest.raises(ParameterError, match=r"a mask of \(2, 2\) does not fit a grid of \(4, 6\)"):
        Student(*parts, torch.ones(2, 2, dtype=torch.bool))


def test_a_batch_changes_no_distance(student: Student) -> None:
    embedded = embeddings(5, seed=3)
    together = student.distances(embedded)
    for index in range(5):
        torch.testing.assert_close(
            student.distances(embedded[index : index + 1])[0], together[index], rtol=1e-5, atol=0
        )


def test_what_is_not_finite_stays_so(student: Student) -> None:
    for place in (0, DEEP):
        embedded = embeddings(1, seed=4)
        embedded[0, 0, 0, place] = math.nan
        assert not bool(torch.isfinite(student.distances(embedded)).all())


def test_statistics_standardise_each_target() -> None:
    embedded = embeddings(48)
    embedded[..., DEEP:] = 5 + 3 * embedded[..., DEEP:]
    network = build_student(DEEP, FINE, complexity=1, seed=0)
    network.learn_statistics([embedded[i : i + 7] for i in range(0, len(embedded), 7)])
    scaled = embedded[..., DEEP:].reshape(-1, FINE // 4) * network.target_scale
    torch.testing.assert_close(scaled.var(0, correction=0), torch.ones(FINE // 4), atol=1e-4, rtol=0)
    # The first guess is the mean.
    bias = network.targets.get_parameter("bias")
    torch.testing.assert_close(bias.detach(), scaled.mean(0).repeat(4), atol=1e-3, rtol=0)
    torch.testing.assert_close(float(network.input_scale), float(embedded[..., :DEEP].square().mean().sqrt()))


def test_statistics_are_of_what_counts() -> None:
    embedded, counted = embeddings(12), torch.ones(GRID, dtype=torch.bool)
    counted[0] = False
    spoilt = embedded.clone()
    spoilt[:, 0] = 1e3
    expected, found, fooled = (build_student(DEEP, FINE, complexity=1, seed=0) for _ in range(3))
    expected.learn_statistics([embedded[:, 1:]])
    found.learn_statistics([spoilt[:5], spoilt[5:]], counted)
    fooled.learn_statistics([spoilt])
    for name, tensor in expected.state_dict().items():
        torch.testing.assert_close(found.state_dict()[name], tensor)
    assert float(fooled.input_scale) > 2 * float(expected.input_scale)


def test_noise_comes_from_its_generator_alone() -> None:
    network = build_student(DEEP, FINE, complexity=2, seed=0)
    embedded = embeddings(2)

    def noisy(seed: int) -> Tensor:
        return network.errors(embedded, noise=0.5, generator=torch.Generator().manual_seed(seed))

    assert torch.equal(noisy(1), noisy(1))
    assert not torch.equal(noisy(1), noisy(2))
    assert not torch.equal(noisy(1), network.errors(embedded))


def test_noise_is_in_units_of_the_root_mean_square_of_the_input_features() -> None:
    embedded = embeddings(4)
    networks = [build_student(DEEP, FINE, complexity=2, seed=0) for _ in range(2)]
    scaled = embedded.clone()
    scaled[..., :DEEP] *= 8  # a power of two: nothing is rounded otherwise
    noisy = []
    for network, features in zip(networks, (embedded, scaled), strict=True):
        network.learn_statistics([features])
        assert float(network.input_scale) == pytest.approx(float(features[..., :DEEP].square().mean().sqrt()), rel=1e-5)
        noisy.append(network.errors(features, noise=0.5, generator=torch.Generator().manual_seed(1)))
    torch.testing.assert_close(*noisy)


def test_seed_decides_the_first_weights_and_leaves_torch_alone() -> None:
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    first, second, other = (build_student(DEEP, FINE, complexity=2, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.rand(1), expected)
    weights = [next(network.parameters()) for network in (first, second, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_a_wider_student_has_more_to_learn_with() -> None:
    sizes = [sum(p.numel() for p in build_student(DEEP, FINE, complexity=c, seed=0).parameters()) for c in (1, 4, 10)]
    assert sizes == sorted(set(sizes))


@pytest.mark.parametrize("is_masked", [False, True])
def test_tensors_bring_it_back(student: Student, parts: Parts, is_masked: bool) -> None:  # noqa: FBT001
    counted = torch.ones(GRID, dtype=torch.bool)
    counted[1:, 2:] = not is_masked
    stored = Student(*parts, counted)
    again = Student.from_tensors(stored.tensors(), torch.device("cpu"))
    embedded = embeddings(3, seed=5)
    assert torch.equal(again.distances(embedded), stored.distances(embedded))
    assert torch.equal(again.distances(embedded), student.distances(embedded)) is not is_masked


def test_a_target_that_hardly_varies_does_not_drown_the_others() -> None:
    embedded = embeddings(24)
    dull = embedded[..., DEEP :: FINE // 4].shape
    embedded[..., DEEP :: FINE // 4] = 7.0 + 1e-7 * torch.randn(dull, generator=torch.Generator().manual_seed(1))
    network = build_student(DEEP, FINE, complexity=1, seed=0)
    network.learn_statistics([embedded])
    torch.nn.init.zeros_(network.targets.weight)  # predicts the means
    assert float(network.errors(embedded).detach().mean()) == pytest.approx(
        0.5, abs=0.01
    )  # the other of two varies by 1


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("student.target_scale", None, "'student.target_scale' is missing"),
        ("student.targets.weight", lambda t: t[:1], "'targets.weight' is"),
        ("student.bottleneck.2.weight", lambda t: t * math.inf, "must be finite"),
        ("whitening", lambda t: t[..., :3, :3], "do not fit"),
        ("counted", None, "'counted' is missing"),
        ("counted", lambda t: t[1:], "does not fit a grid"),
    ],
)
def test_broken_tensors_are_refused(student: Student, name: str, change: object, message: str) -> None:
    tensors = student.tensors()
    if callable(change):
        tensors[name] = change(tensors[name])
    else:
        del tensors[name]
    with pytest.raises(ParameterError, match=message):
        Student.from_tensors(tensors, torch.device("cpu"))


def test_what_does_not_fit_is_refused(student: Student) -> None:
    with pytest.raises(ParameterError, match="learnt from 6 \\+ 8 dimensions, got 13"):
        student.distances(embeddings(1)[..., :-1])
    with pytest.raises(ParameterError, match="in groups of 4 and a width"):
        StudentNetwork(DEEP, 6, 8)
    with pytest.raises(ParameterError, match="in groups of 4 and a width"):
        StudentNetwork(DEEP, FINE, 0)
    with pytest.raises(ParameterError, match="needs at least 1 image"):
        build_student(DEEP, FINE, complexity=1, seed=0).learn_statistics([])
    with pytest.raises(ParameterError, match="learnt from 6 \\+ 8 dimensions, got 13"):
        build_student(DEEP, FINE, complexity=1, seed=0).learn_statistics([embeddings(1)[..., :-1]])
    narrow = PaDiM(torch.zeros(2, 2, 3), torch.zeros(2, 2, 3, 3))
    with pytest.raises(ParameterError, match="Gaussians of 3 dimensions do not fit a student of 6"):
        Student(build_student(DEEP, FINE, complexity=1, seed=0), narrow)
    # No level before the grid's, or one of the grid's own stride.
    for levels, grid_level in (((4, 6), 0), ((2, 3, 4, 5), 3), ((4, 5, 6), 1)):
        with pytest.raises(
            ValueError, match="predicts the levels before the grid level, so each of them must be finer"
        ):
            DLModelParam(detector="student", levels=levels, grid_level=grid_level)
    assert DLModelParam(detector="student", levels=(2, 3, 4, 5), grid_level=2).grid_level == 2


def test_what_is_kept_beside_the_projection_loses_nothing() -> None:
    generator = torch.Generator().manual_seed(0)
    levels = [torch.randn((2, c, s * 2, s * 3), generator=generator) for c, s in ((3, 8), (5, 4), (4, 2))]
    for memory_format in (torch.contiguous_format, torch.channels_last):
        given = [level.contiguous(memory_format=memory_format) for level in levels]
        embedded = Embedding(2, torch.eye(5 + 4), keep_fine=True)(given)
        assert embedded.shape == (2, 4, 6, 5 + 4 + 4 * (3 * 4 + 5))
        # Levels of at most twice the grid's resolution are projected as well; the finest is not.
        assert torch.equal(embedded[..., : 5 + 4], Embedding(1, torch.eye(5 + 4))(given[1:]))
        # (B, h, w, dy, dx, T): each of the 2x2 positions has 2x2 of the finest level's, and one of the next.
        kept = torch.unflatten(embedded[..., 5 + 4 :], -1, (2, 2, 3 * 4 + 5))
        for row, column, dy, dx in ((0, 0, 0, 0), (3, 5, 1, 0), (1, 4, 0, 1)):
            y, x = 2 * row + dy, 2 * column + dx
            finest = levels[0][:, :, 2 * y : 2 * y + 2, 2 * x : 2 * x + 2].permute(0, 2, 3, 1).flatten(1)
            assert torch.equal(kept[:, row, column, dy, dx, : 3 * 4], finest)
            assert torch.equal(kept[:, row, column, dy, dx, 3 * 4 :], levels[1][:, :, y, x])
    assert [4, 8, 16][projected_levels([4, 8, 16], 2, keep_fine=True)] == [8, 16]
    assert [4, 8, 16][projected_levels([4, 8, 16], 2, keep_fine=False)] == [4, 8, 16]
    with pytest.raises(ParameterError, match="does not fold into a grid"):
        Embedding(1, torch.eye(6), keep_fine=True)([torch.zeros(1, 2, 6, 6), torch.zeros(1, 4, 4, 4)])
    with pytest.raises(ParameterError, match="does not fold into a grid"):
        Embedding(1, torch.eye(6), keep_fine=True)([torch.zeros(1, 2, 4, 4), torch.zeros(1, 4, 4, 4)])


def test_the_error_is_the_mean_square_of_what_is_missed_where_it_is_missed(parts: Parts) -> None:
    """Against the target unfolded and standardised as the paper's formula is written."""
    network, embedded = parts.network, embeddings(3, seed=9)

    def unfolded(folded: Tensor) -> Tensor:  # (B, h, w, 4 T) -> (B, 2h, 2w, T)
        return torch.unflatten(folded, -1, (2, 2, FINE // 4)).permute(0, 1, 3, 2, 4, 5).flatten(3, 4).flatten(1, 2)

    predicted = unfolded(network.predict(embedded[..., :DEEP].permute(0, 3, 1, 2)).permute(0, 2, 3, 1))
    expected = (predicted - unfolded(embedded[..., DEEP:]) * network.target_scale).square().mean(-1)
    torch.testing.assert_close(network.errors(embedded), expected)
