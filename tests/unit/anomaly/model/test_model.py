from __future__ import annotations

import functools
import itertools
import math
import re
from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from inspector.anomaly.choices import DetectorName
from inspector.anomaly.errors import GeometryError, ParameterError
from inspector.anomaly.model.model import BATCH_TOLERANCE, AnomalyModel, apply_dl_model
from inspector.anomaly.model.pending import PendingScores, scores_of_pictures
from inspector.anomaly.preprocess.samples import gen_dl_samples_from_images, preprocess_dl_samples
from inspector.anomaly.types import DLResult, DLSample, ScoreScale
from inspector.anomaly.verdict.score import ScoreRule
from tests.models import looking_through, nok_picture, ok_picture, tiny_model

Images = Sequence[NDArray[np.uint8]]


@functools.cache
def model_of(detector: DetectorName) -> AnomalyModel:
    return tiny_model(detector=detector)


@pytest.fixture(params=["padim", "patchcore"])
def model(request: pytest.FixtureRequest) -> AnomalyModel:
    detector: DetectorName = request.param
    return model_of(detector)


@pytest.fixture(params=[1, 2])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    """The number of threads that torch uses: it divides the work, and so the order of sums, by it."""
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def sample_of(image: NDArray[np.uint8]) -> DLSample:
    channels: Literal[1, 3] = 1 if image.ndim == 2 else 3
    return DLSample(image, original_width=image.shape[1], original_height=image.shape[0], channels=channels)


def mates(rng: np.random.Generator, count: int) -> list[NDArray[np.uint8]]:
    """Other pictures of any size and kind."""
    made: list[NDArray[np.uint8]] = []
    for kind in rng.integers(0, 5, count):
        height, width = (int(n) for n in rng.integers(1, 200, 2))
        if kind == 0:
            made.append(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))
        elif kind == 1:
            made.append(rng.integers(0, 256, (height, width), dtype=np.uint8))
        elif kind == 2:
            made.append(np.full((height, width, 3), rng.choice([0, 255]), np.uint8))
        else:
            made.append((ok_picture if kind == 3 else nok_picture)(rng))
    return made


def score(model: AnomalyModel, images: Images) -> list[DLResult]:
    return model.launch(images).finish()


def assert_alike(found: DLResult, expected: DLResult) -> None:
    assert found.anomaly_score == pytest.approx(expected.anomaly_score, rel=BATCH_TOLERANCE, abs=0)
    np.testing.assert_allclose(found.anomaly_image, expected.anomaly_image, rtol=BATCH_TOLERANCE, atol=0)


# -------------------------------------------------------------------------------------- a batch never changes a verdict


@pytest.mark.parametrize("size", range(1, 33))
def test_no_batch_changes_the_score_or_the_map(model: AnomalyModel, size: int) -> None:
    rng = np.random.default_rng(1000 + size)
    image = (ok_picture, nok_picture)[size % 2](rng)
    (alone,) = score(model, [image])
    position = int(rng.integers(size))
    batch = mates(rng, size - 1)
    batch.insert(position, image)
    together = score(model, batch)
    assert len(together) == size
    assert_alike(together[position], alone)


def test_threads_and_batches_together_change_nothing(model: AnomalyModel, threads: int) -> None:
    rng = np.random.default_rng(1000)
    images = [ok_picture(rng), nok_picture(rng)]
    alone = [score(model, [image])[0] for image in images]
    for size in (2, 8, 17):
        batch = [*images, *mates(rng, size - 2)]
        for found, expected in zip(score(model, batch), alone, strict=False):
            assert_alike(found, expected)


def test_another_input_size_keeps_the_promise() -> None:
    """A grid that is not square, with an odd number of positions."""
    wide = tiny_model(width=160, height=96, channels=1)
    rng = np.random.default_rng(3)
    image = nok_picture(rng, width=160, height=96, channels=1)
    (alone,) = score(wide, [image])
    assert alone.anomaly_image.shape == (96, 160)
    for size in (2, 5, 16):
        assert_alike(score(wide, [*mates(rng, size - 1), image])[-1], alone)


@pytest.mark.parametrize("size", [2, 16, 32])
def test_a_training_picture_keeps_its_score_too(model: AnomalyModel, size: int) -> None:
    """Where a patch of the picture is in PatchCore's bank its distance is 0, and rounding is all that is left of it.

    There the relative difference of a single position means nothing; that of the score, and that of the map beside
    its own largest value, hold.
    """
    picture = ok_picture(np.random.default_rng(0))  # the first that `tiny_model` learns from
    (alone,) = score(model, [picture])
    together = score(model, [*mates(np.random.default_rng(size), size - 1), picture])[-1]
    assert together.anomaly_score == pytest.approx(alone.anomaly_score, rel=BATCH_TOLERANCE, abs=0)
    largest = float(alone.anomaly_image.max())
    np.testing.assert_allclose(
        together.anomaly_image, alone.anomaly_image, rtol=BATCH_TOLERANCE, atol=BATCH_TOLERANCE * largest
    )


def test_every_picture_of_a_batch_has_its_own_result(model: AnomalyModel) -> None:
    rng = np.random.default_rng(1000)
    images = [*mates(rng, 6), ok_picture(rng), nok_picture(rng)]
    for found, image in zip(score(model, images), images, strict=True):
        assert_alike(found, score(model, [image])[0])


class _Spoilt:
    """A network whose features of one picture are not finite."""

    def __init__(self, model: AnomalyModel, index: int, value: float) -> None:
        self._embed = model.network.embed
        self._index, self._value = index, value

    def __call__(self, images: Images) -> torch.Tensor:
        embedded = self._embed(images).clone()
        embedded[self._index] = self._value
        return embedded


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e30])
def test_a_picture_that_the_network_fails_on_harms_nobody(
    model: AnomalyModel, value: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(1000)
    images = [ok_picture(rng), nok_picture(rng), ok_picture(rng)]
    expected = score(model, images)
    monkeypatch.setattr(model.network, "embed", _Spoilt(model, 1, value))
    found = score(model, images)
    assert_alike(found[0], expected[0])
    assert_alike(found[2], expected[2])
    # Never an ok: not finite, or as far from ok as a score can be.
    assert not found[1].anomaly_score < 0.999


# --------------------------------------------------------------------------------------------------------- the verdict


def test_defects_score_higher_and_lie_where_they_are(model: AnomalyModel) -> None:
    rng = np.random.default_rng(0)
    ok, nok = ([r.anomaly_score for r in score(model, [p(rng) for _ in range(10)])] for p in (ok_picture, nok_picture))
    assert max(ok) < 0.5 < min(nok)
    spotted = ok_picture(rng)
    spotted[40:56, 8:24] = 0
    (result,) = score(model, [spotted])
    y, x = np.unravel_index(int(result.anomaly_image.argmax()), result.anomaly_image.shape)
    assert 36 <= y < 60
    assert 4 <= x < 28


def test_results_have_the_shape_and_type_that_they_promise(model: AnomalyModel) -> None:
    rng = np.random.default_rng(0)
    for result in score(model, mates(rng, 9)):
        assert type(result.anomaly_score) is float
        assert 0.0 <= result.anomaly_score < 1.0
        assert result.anomaly_image.shape == (64, 64)
        assert result.anomaly_image.dtype == np.float32
        assert result.anomaly_image.min() >= 0.0
        assert result.anomaly_image.max() < 1.0
        assert result.anomaly_class is None


def test_a_picture_and_its_rescaled_copy_score_much_alike(model: AnomalyModel) -> None:
    picture = nok_picture(np.random.default_rng(0))
    doubled = picture.repeat(2, axis=0).repeat(2, axis=1)
    first, second = score(model, [picture, doubled])
    assert second.anomaly_score == pytest.approx(first.anomaly_score, rel=0.05)


def pending(distances: torch.Tensor, *, s: float = 1.0, top_share: float = 0.01) -> list[DLResult]:
    return scores_of_pictures(distances, ScoreScale(s=s), ScoreRule(top_share=top_share), (64, 32)).finish()


def test_the_map_is_the_interpolated_distances_brought_to_scale() -> None:
    distances = torch.rand(2, 4, 8, generator=torch.Generator().manual_seed(0)) * 5
    flat = torch.full((1, 4, 8), 3.0)
    results = pending(torch.cat([distances, flat]), s=2.0)
    np.testing.assert_allclose(results[2].anomaly_image, 0.6, rtol=1e-6)
    for result, raw in zip(results, distances, strict=False):
        scaled = raw / (raw + 2.0)
        assert result.anomaly_image.min() >= float(scaled.min()) - 1e-6
        assert result.anomaly_image.max() <= float(scaled.max()) + 1e-6
        assert result.anomaly_score == pytest.approx(float(scaled.max()), rel=1e-6)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_distance_that_is_not_finite_gives_a_score_that_is_not(value: float) -> None:
    distances = torch.ones(2, 4, 8)
    distances[0, 2, 3] = value
    spoilt, sound = pending(distances)
    assert not math.isfinite(spoilt.anomaly_score)
    assert sound.anomaly_score == 0.5


# ------------------------------------------------------------------------------------------------------------- geometry


def geometry_sample(width: int, height: int, channels: Literal[1, 3] = 3) -> DLSample:
    return DLSample(np.zeros((1, 1, 3), np.uint8), original_width=width, original_height=height, channels=channels)


@pytest.mark.parametrize("size", [(64, 64), (1000, 1000), (102, 100), (100, 102), (1000, 981), (1, 1)])
def test_a_picture_of_the_trained_aspect_is_taken_whatever_its_size(model: AnomalyModel, size: tuple[int, int]) -> None:
    model.check_geometry(geometry_sample(*size))


@pytest.mark.parametrize("size", [(103, 100), (100, 103), (128, 64), (64, 128), (6400, 1)])
def test_another_aspect_is_refused_by_name(model: AnomalyModel, size: tuple[int, int]) -> None:
    with pytest.raises(GeometryError, match=f"model tiny was trained with 64x64 pictures, got {size[0]}x{size[1]}"):
        model.check_geometry(geometry_sample(*size))


def test_gray_instead_of_colour_is_refused_by_name(model: AnomalyModel) -> None:
    with pytest.raises(GeometryError, match=r"trained with 3 channel\(s\), the picture has 1"):
        model.check_geometry(geometry_sample(64, 64, 1))


@pytest.mark.parametrize("size", [(64, 64), (103, 632), (6400, 1)])
def test_a_model_for_any_picture_takes_every_size_and_its_own_channels(
    model: AnomalyModel, size: tuple[int, int]
) -> None:
    free = looking_through(model, model.preprocess_param, model.geometry.model_copy(update={"rule": "any"}))
    free.check_geometry(geometry_sample(*size))
    with pytest.raises(GeometryError, match=r"trained with 3 channel\(s\), the picture has 1"):
        free.check_geometry(geometry_sample(*size, 1))


# -------------------------------------------------------------------------------------------------------- apply, warm up


class _Launches:
    """Counts what a model is given."""

    def __init__(self, model: AnomalyModel, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sizes: list[int] = []
        self._launch = model.launch
        monkeypatch.setattr(model, "launch", self)

    def __call__(self, images: Images) -> PendingScores:
        self.sizes.append(len(images))
        return self._launch(images)


@pytest.mark.parametrize(
    ("count", "batch_size", "expected"), [(0, 4, []), (1, 4, [1]), (4, 4, [4]), (9, 4, [4, 4, 1]), (3, 1, [1, 1, 1])]
)
def test_samples_are_scored_in_batches_and_in_order(
    model: AnomalyModel, count: int, batch_size: int, expected: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(1000)
    images = [picture(rng) for picture in itertools.islice(itertools.cycle((ok_picture, nok_picture)), count)]
    alone = [score(model, [image])[0] for image in images]
    launches = _Launches(model, monkeypatch)
    results = apply_dl_model(model, [sample_of(image) for image in images], batch_size=batch_size)
    assert launches.sizes == expected
    assert len(results) == count
    for found, wanted in zip(results, alone, strict=True):
        assert_alike(found, wanted)


def test_a_batch_size_of_0_is_refused(model: AnomalyModel) -> None:
    with pytest.raises(ParameterError, match="batch_size must be at least 1, got 0"):
        apply_dl_model(model, [], batch_size=0)


@pytest.mark.parametrize(
    ("width", "height", "channels", "message"),
    [
        (33, 200, 3, "sample 2: model tiny was trained with 64x64 pictures, got 33x200"),
        (64, 64, 1, r"sample 2: model tiny was trained with 3 channel\(s\), the picture has 1"),
    ],
)
@pytest.mark.parametrize("is_preprocessed", [False, True])
def test_a_sample_of_another_camera_is_refused_before_any_is_computed(
    model: AnomalyModel,
    width: int,
    height: int,
    channels: int,
    message: str,
    *,
    is_preprocessed: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = np.random.default_rng(3)
    stranger = ok_picture(rng, width=width, height=height, channels=channels)
    samples = gen_dl_samples_from_images([ok_picture(rng), ok_picture(rng), stranger])
    if is_preprocessed:
        preprocess_dl_samples(samples, model.preprocess_param)
    launches = _Launches(model, monkeypatch)
    with pytest.raises(GeometryError, match=message):
        apply_dl_model(model, samples, batch_size=1)
    assert launches.sizes == []


def test_a_sample_is_judged_by_the_size_it_was_taken_in(model: AnomalyModel) -> None:
    (sample,) = gen_dl_samples_from_images([ok_picture(np.random.default_rng(3), width=32, height=32)])
    sample.original_width = sample.original_height = 4000
    assert len(apply_dl_model(model, [sample])) == 1
    sample.original_width = 5000
    with pytest.raises(GeometryError, match="got 5000x4000"):
        apply_dl_model(model, [sample])


def test_warming_up_runs_each_batch_size(model: AnomalyModel, monkeypatch: pytest.MonkeyPatch) -> None:
    launches = _Launches(model, monkeypatch)
    model.warm_up([1, 3, 2])
    assert launches.sizes == [1, 3, 2]


def test_a_model_says_what_it_is(model: AnomalyModel) -> None:
    assert re.fullmatch(r"<AnomalyModel tiny 1: (padim|patchcore), \d+ x \d+ px, calibrated>", repr(model))
    assert (model.name, model.version) == ("tiny", "1")
    assert model.input_size == (64, 64) == model.preprocess_param.input_size


@pytest.mark.gpu
@pytest.mark.parametrize("size", [1, 2, 7, 16, 32])
def test_no_batch_changes_the_score_on_a_gpu(model: AnomalyModel, size: int) -> None:
    from inspector.anomaly.detectors.base import Embedding
    from inspector.anomaly.detectors.padim import PaDiM
    from inspector.anomaly.detectors.patchcore import PatchCore
    from inspector.anomaly.model.feature_network import FeatureNetwork
    from inspector.anomaly.network.runtime import TorchRuntime
    from inspector.anomaly.network.weights import load_backbone
    from tests.models import LEVELS

    device = torch.device("cuda")
    assert isinstance(model.detector, PaDiM | PatchCore)
    embedding = Embedding(model.network.embedding.grid_level, model.network.embedding.projection.to(device))
    runtime = TorchRuntime(load_backbone("efficientnet_lite0", LEVELS), device)
    there = AnomalyModel(
        identity=model.identity,
        network=FeatureNetwork(model.preprocess_param, runtime, embedding),
        detector=type(model.detector).from_tensors(model.detector.tensors(), device),
        scale=model.scale,
        rule=model.rule,
        geometry=model.geometry,
        thresholds=model.thresholds,
    )
    rng = np.random.default_rng(1000 + size)
    image = nok_picture(rng)
    (alone,) = score(there, [image])
    together = score(there, [*mates(rng, size - 1), image])
    assert_alike(together[-1], alone)
    assert alone.anomaly_score == pytest.approx(score(model, [image])[0].anomaly_score, rel=1e-3)
