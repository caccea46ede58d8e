"""The registry: models are loaded once and warm, cameras share them, and what cannot be trusted is refused by name."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inspector.anomaly.domain.domain import ImageDomain
from inspector.anomaly.errors import BundleError
from inspector.anomaly.preprocess.param import DLPreprocessParam
from inspector.anomaly.types import DLSample, Thresholds
from inspector.errors import DeviceLostError, ModelError
from inspector.inflight.registry import Registry, judge_of, load_routes, warm_up_model
from inspector.inflight.route import Model, Route
from inspector.settings.settings import CameraSettings
from schemas import ModelReference, part_share
from tests.fakes import FakeClock, FakeModel

THRESHOLDS = Thresholds(classification=0.5, segmentation=0.5)


def load(read: Any, *cameras: CameraSettings, digests: Mapping[str, str] | None = None) -> Registry:
    models = {"m": Path("/bundles/m"), "n": Path("/bundles/n"), "unused": Path("/bundles/unused")}
    return load_routes(models, cameras, read, digests=digests or {}, default_budget_us=1_000_000)


def camera(camera_id: str, model: str = "m", **fields: Any) -> CameraSettings:
    return CameraSettings(line_id="line", camera_id=camera_id, model=model, **fields)


def test_cameras_share_models_which_are_read_once_and_warmed_up() -> None:
    read: list[Path] = []

    def reader(path: Path) -> FakeModel:
        read.append(path)
        return FakeModel(THRESHOLDS)

    registry = load(
        reader,
        camera("a"),
        camera("b", budget_ms=50, classification_threshold=0.7, weight=2.5, policy="freshest_first"),
        camera("c", "n"),
    )
    assert sorted(read) == [Path("/bundles/m"), Path("/bundles/n")]
    a, b, c = (registry.route("line", name) for name in "abc")
    assert a is not None
    assert b is not None
    assert c is not None
    assert a.model is b.model
    assert a.model is not c.model
    assert isinstance(a.model, FakeModel)
    assert a.model.warmed == []
    registry.warm_up([1, 8], lambda _model, size: pytest.fail(f"{size} do fit"))
    assert a.model.warmed == [1, 8]
    assert (a.budget_us, b.budget_us) == (1_000_000, 50_000)
    assert (a.classification_threshold, b.classification_threshold) == (None, 0.7)
    assert (a.weight, a.freshest_first) == (1.0, False)
    assert (b.weight, b.freshest_first) == (2.5, True)
    assert a.reference.digest == a.model.digest
    assert judge_of(a)[2:] == (a.model.digest, 0.5, 1.0), "the model's own threshold, the default budget"
    assert judge_of(b)[2:] == (b.model.digest, 0.7, 0.05)
    assert registry.route("line", "stranger") is None
    assert registry.route("", "") is None


def test_models_on_the_same_domain_share_its_masks() -> None:
    def reader(path: Path) -> FakeModel:
        model = FakeModel(THRESHOLDS)
        if path.name != "n":
            domain = ImageDomain.rectangle(0, 0, 32, 32, image_width=64, image_height=64)
            model.preprocess_param = DLPreprocessParam(
                image_width=64, image_height=64, domain_handling="keep_domain", domain=domain
            )
        return model

    assert load(reader, camera("c", "n")).domains == set()
    assert len(load(reader, camera("a"), camera("b", "unused"), camera("c", "n")).domains) == 1


@pytest.mark.parametrize("error", [BundleError("weights.safetensors was altered"), FileNotFoundError("no bundle.json")])
def test_a_bundle_that_cannot_be_trusted_is_refused_with_its_name_and_place(error: Exception) -> None:
    def reader(_path: Path) -> FakeModel:
        raise error

    with pytest.raises(ModelError, match=r"'m' from /bundles/m .*(altered|no bundle)"):
        load(reader, camera("a"))


def test_another_model_than_the_one_of_the_digest_in_the_settings_is_refused() -> None:
    model = FakeModel(THRESHOLDS)
    assert load(lambda _path: model, camera("a"), digests={"m": model.digest}).routes
    with pytest.raises(
        ModelError, match=rf"'m' from /bundles/m is not the one in model_digests.m: .* {model.digest}, not 00"
    ):
        load(lambda _path: model, camera("a"), digests={"m": "00" * 32})


def test_a_model_without_thresholds_is_refused() -> None:
    class Uncalibrated(FakeModel):
        thresholds = None  # type: ignore[assignment]

        def __init__(self) -> None:
            self.batches = []

    with pytest.raises(ModelError, match="no thresholds"):
        load(lambda _path: Uncalibrated(), camera("a"))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    """What the registry takes the time from."""
    clock = FakeClock()
    monkeypatch.setattr("inspector.inflight.registry.time.monotonic", clock.monotonic_s)
    return clock


class Wanting(FakeModel):
    """Has room for so many frames; each takes a second."""

    def __init__(self, room: int, clock: FakeClock) -> None:
        super().__init__(THRESHOLDS)
        self._room = room
        self._clock = clock

    def warm_up(self, batch_sizes: Iterable[int]) -> None:
        sizes = list(batch_sizes)
        self._clock.advance(max(sizes))
        if max(sizes) > self._room:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        super().warm_up(sizes)


def test_a_batch_without_room_when_it_is_tried_is_told_and_a_frame_without_room_is_refused(clock: FakeClock) -> None:
    exceeded: list[tuple[Model, int]] = []
    model = Wanting(3, clock)
    registry = load(lambda _path: model, camera("a"))
    registry.warm_up([1, 8, 16], lambda *told: exceeded.append(told))
    assert exceeded == [(model, 8)], "what is larger is not even tried"
    assert registry.slowest_batch_s == 8
    with pytest.raises(ModelError, match="not have enough memory for one frame of brightness"):
        load(lambda _path: Wanting(0, clock), camera("a")).warm_up([1, 8], lambda *told: exceeded.append(told))
    assert len(exceeded) == 1


def test_the_slowest_batch_is_that_of_any_model_and_size_and_of_any_thread(clock: FakeClock) -> None:
    class First(Wanting):
        """Takes nine seconds the first time."""

        def warm_up(self, batch_sizes: Iterable[int]) -> None:
            if not self.warmed:
                clock.advance(8)
            super().warm_up(batch_sizes)

    registry = load(lambda _path: First(100, clock), camera("a"))
    assert registry.slowest_batch_s == 0
    for _ in range(2):
        registry.warm_up([1, 4], lambda *told: pytest.fail(f"{told} do fit"))
        assert registry.slowest_batch_s == 9
    assert warm_up_model(Wanting(9, clock), [2, 3], lambda *_told: None) == 3
    assert warm_up_model(Wanting(9, clock), [], lambda *_told: None) == 0


def test_a_device_that_may_be_lost_is_lost_only_where_another_try_would_spare_nothing() -> None:
    words = "CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`"

    class Doubtful(FakeModel):
        def warm_up(self, batch_sizes: Iterable[int]) -> None:
            raise RuntimeError(words)

    with pytest.raises(DeviceLostError, match=r"the device is lost: .*NOT_INITIALIZED"):
        warm_up_model(Doubtful(THRESHOLDS), [1], lambda *_told: None)
    with pytest.raises(DeviceLostError):
        load(lambda _path: Doubtful(THRESHOLDS), camera("a")).warm_up([1], lambda *_told: None)
    with pytest.raises(RuntimeError, match="NOT_INITIALIZED"):
        warm_up_model(Doubtful(THRESHOLDS), [1], lambda *_told: None, is_doubt_fatal=False)


def test_an_error_that_says_nothing_of_the_device_comes_as_it_is() -> None:
    class Broken(FakeModel):
        def warm_up(self, batch_sizes: Iterable[int]) -> None:
            raise ZeroDivisionError("a surprise")

    with pytest.raises(ZeroDivisionError, match="a surprise"):
        warm_up_model(Broken(THRESHOLDS), [1], lambda *_told: None)


def test_a_device_that_is_lost_when_it_is_tried_is_told_so() -> None:

    class Lost(FakeModel):
        def warm_up(self, batch_sizes: Iterable[int]) -> None:
            raise RuntimeError("CUDA error: no CUDA-capable device is detected")

    with pytest.raises(DeviceLostError, match="the device is lost: CUDA error: no CUDA-capable"):
        load(lambda _path: Lost(THRESHOLDS), camera("a")).warm_up([1], lambda _model, _size: None)


def judge(camera_id: str, *, budget_us: int = 1_000_000) -> Route:
    """The route of a camera to a model of its own."""
    reference = ModelReference(name="m", version="7", digest="0f" * 32)
    return Route(f"line/{camera_id}", FakeModel(THRESHOLDS), reference, None, budget_us)


def test_a_release_exchanges_who_judges_a_camera_and_the_settings_are_kept() -> None:
    first, second, canary, other = judge("a"), judge("a"), judge("a"), judge("b")
    registry = Registry({("line", "a"): first, ("line", "b"): other})
    registry.replace(second, canary=canary, share=part_share("P-000043"))
    below, at = "P-000042", "P-000043"
    assert part_share(below) < part_share(at)
    assert registry.route("line", "a", below) is canary
    assert registry.route("line", "a", at) is second, "the share is what lies below it"
    assert registry.route("line", "a", None) is second, "a part without a name has no share"
    assert registry.route("line", "b", below) is other
    assert (registry.configured("line", "a"), registry.configured("line", "c")) == (first, None)
    assert registry.routes == [second, other]
    assert registry.models == {first.model, second.model, canary.model, other.model}
    registry.replace(second)
    assert registry.route("line", "a", below) is second
    assert canary.model not in registry.models


def test_a_model_that_is_tried_judges_nothing_and_is_gone_when_its_trial_is() -> None:
    active, tried = judge("a"), judge("a")
    registry = Registry({("line", "a"): active})
    assert (registry.shadow("line/a"), registry.shadow("line/stranger")) == (None, None)
    registry.try_out("line/a", tried)
    assert registry.shadow("line/a") is tried
    assert registry.route("line", "a", "P-1") is active
    assert registry.models == {active.model, tried.model}
    registry.try_out("line/a", None)
    assert (registry.shadow("line/a"), registry.models) == (None, {active.model})
    registry.replace(active, shadow=tried)
    assert registry.shadow("line/a") is tried


def test_the_shortest_budget_is_that_of_the_models_that_judge_now() -> None:
    assert Registry({}).shortest_budget_s == 0
    registry = Registry({("line", "a"): judge("a"), ("line", "b"): judge("b", budget_us=500_000)})
    assert registry.shortest_budget_s == 0.5
    registry.replace(judge("b", budget_us=2_000_000))
    assert registry.shortest_budget_s == 1.0


def test_the_last_picture_of_a_camera_is_remembered() -> None:
    registry = Registry({})
    assert registry.seen("line/a") is None
    pictures = [DLSample(np.empty((0, 0), np.uint8), width, 4, 1) for width in (5, 6)]
    for picture in pictures:
        registry.saw("line/a", picture)
    assert registry.seen("line/a") is pictures[1]
    assert registry.seen("line/b") is None


def test_what_judges_is_told_by_its_reference_and_without_thresholds_by_no_number() -> None:
    route = judge("a")
    assert judge_of(route)[:2] == ("m", "7")
    route.model.thresholds = None  # type: ignore[misc]
    assert math.isnan(judge_of(route)[3])


def test_a_digest_is_that_of_its_own_model_alone() -> None:
    assert load(lambda _path: FakeModel(THRESHOLDS), camera("a"), digests={"n": "00" * 32}).routes
    with pytest.raises(ModelError, match="'n' from /bundles/n is not the one"):
        load(lambda _path: FakeModel(THRESHOLDS), camera("a"), camera("b", "n"), digests={"n": "00" * 32})
