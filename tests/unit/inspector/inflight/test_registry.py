"""The registry: models are loaded once and warm, cameras share them, and what cannot be trusted is refused by name."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from inspector.anomaly.domain.domain import ImageDomain
from inspector.anomaly.errors import BundleError
from inspector.anomaly.preprocess.param import DLPreprocessParam
from inspector.anomaly.types import Thresholds
from inspector.errors import DeviceLostError, ModelError
from inspector.inflight.registry import Registry, judge_of, load_routes
from inspector.settings.settings import CameraSettings
from tests.fakes import FakeModel

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


class Wanting(FakeModel):
    """Has room for so many frames; each takes a while."""

    def __init__(self, room: int) -> None:
        super().__init__(THRESHOLDS)
        self._room = room

    def warm_up(self, batch_sizes: Iterable[int]) -> None:
        sizes = list(batch_sizes)
        time.sleep(0.001 * max(sizes))
        if max(sizes) > self._room:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        super().warm_up(sizes)


def test_a_batch_without_room_when_it_is_tried_is_told_and_a_frame_without_room_is_refused() -> None:
    exceeded: list[int] = []
    registry = load(lambda _path: Wanting(3), camera("a"))
    registry.warm_up([1, 8, 16], lambda _model, size: exceeded.append(size))
    assert exceeded == [8], "what is larger is not even tried"
    assert registry.slowest_batch_s >= 0.008
    with pytest.raises(ModelError, match="not have enough memory for one frame of brightness"):
        load(lambda _path: Wanting(0), camera("a")).warm_up([1, 8], lambda _model, size: exceeded.append(size))
    assert exceeded == [8]


def test_a_device_that_is_lost_when_it_is_tried_is_told_so() -> None:

    class Lost(FakeModel):
        def warm_up(self, batch_sizes: Iterable[int]) -> None:
            raise RuntimeError("CUDA error: no CUDA-capable device is detected")

    with pytest.raises(DeviceLostError, match="the device is lost: CUDA error: no CUDA-capable"):
        load(lambda _path: Lost(THRESHOLDS), camera("a")).warm_up([1], lambda _model, _size: None)
