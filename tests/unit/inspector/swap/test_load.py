"""What keeps a bundle from being used here: a reason that another try may mend, one that none does, or a lost device."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
import torch
from typing_extensions import override

from inspector.anomaly.errors import GoldenSampleError
from inspector.errors import DeviceLostError
from inspector.settings.places.releases import ReleaseSettings
from inspector.settings.settings import Settings
from inspector.swap.load import BundleLoader
from inspector.swap.refusal import ReleaseRefusedError
from tests.fakes import FakeModel
from tests.releases import THRESHOLDS, Shelf, bundle, digest_of

NO_HANDLE = RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`")
LOST = RuntimeError("CUDA error: device-side assert triggered")


class Warmed(FakeModel):
    """Fails while it is warmed up with batches of some sizes."""

    def __init__(self, error: Exception | None = None, *, sizes: Iterable[int] = (1,)) -> None:
        super().__init__(THRESHOLDS)
        self.error, self.sizes = error, sizes

    @override
    def warm_up(self, batch_sizes: Iterable[int]) -> None:
        if self.error is not None and set(batch_sizes) & set(self.sizes):
            raise self.error
        super().warm_up(batch_sizes)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(releases=ReleaseSettings(store=f"file://{tmp_path}/store/", cache=tmp_path / "cache"))


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path / "cache")


@pytest.mark.parametrize("size", [1, 8])
def test_a_device_without_room_for_a_handle_refuses_the_release_and_another_try_may_load_it(
    settings: Settings, shelf: Shelf, size: int
) -> None:
    loader = BundleLoader(with_batches(settings, 8), shelf.read)
    model = Warmed(NO_HANDLE, sizes=[size])
    shelf.put("b", model)
    with pytest.raises(ReleaseRefusedError, match="CUBLAS_STATUS_NOT_INITIALIZED") as caught:
        loader.load(bundle("b"))
    assert (caught.value.reason, caught.value.is_final) == ("memory", False)
    model.error = None
    assert loader.load(bundle("b")) is model


def of_golden(cause: Exception) -> Callable[[], None]:
    """Raise what reading a bundle raises whose golden samples the device does not score."""

    def read() -> None:
        raise GoldenSampleError(f"golden sample image_0 cannot be scored: {cause}") from cause

    return read


@pytest.mark.parametrize("cause", [NO_HANDLE, torch.OutOfMemoryError("CUDA out of memory.")])
def test_a_device_without_room_for_golden_samples_says_nothing_against_the_bundle(
    settings: Settings, shelf: Shelf, cause: Exception
) -> None:
    shelf.put("b")
    shelf.on_read[digest_of("b")] = of_golden(cause)
    with pytest.raises(ReleaseRefusedError) as caught:
        BundleLoader(settings, shelf.read).load(bundle("b"))
    assert (caught.value.reason, caught.value.is_final) == ("memory", False)


def test_a_device_that_is_lost_under_golden_samples_is_lost(settings: Settings, shelf: Shelf) -> None:
    shelf.put("b")
    shelf.on_read[digest_of("b")] = of_golden(LOST)
    with pytest.raises(DeviceLostError, match="device-side assert"):
        BundleLoader(settings, shelf.read).load(bundle("b"))


def test_golden_samples_that_cannot_be_scored_for_another_reason_refuse_the_bundle(
    settings: Settings, shelf: Shelf
) -> None:
    shelf.put("b")
    shelf.on_read[digest_of("b")] = of_golden(RuntimeError("sizes do not match"))
    with pytest.raises(ReleaseRefusedError, match="sizes do not match") as caught:
        BundleLoader(settings, shelf.read).load(bundle("b"))
    assert (caught.value.reason, caught.value.is_final) == ("golden", True)


def test_a_device_that_is_certainly_lost_stays_fatal(settings: Settings, shelf: Shelf) -> None:
    shelf.put("b", Warmed(LOST))
    with pytest.raises(DeviceLostError, match="device-side assert"):
        BundleLoader(settings, shelf.read).load(bundle("b"))


class Slow(FakeModel):
    """Takes its time for a frame."""

    @override
    def warm_up(self, batch_sizes: Iterable[int]) -> None:
        time.sleep(0.02)
        super().warm_up(batch_sizes)


def with_batches(settings: Settings, size: int) -> Settings:
    return settings.model_copy(update={"batching": settings.batching.model_copy(update={"max_batch_size": size})})


def test_a_model_on_trial_that_takes_too_long_for_a_frame_is_refused_before_its_first_one(
    settings: Settings, shelf: Shelf
) -> None:
    shelf.put("b", Slow(THRESHOLDS))
    with pytest.raises(ReleaseRefusedError, match=r"takes it 0\.\d+ s, more than 0\.010 s, a quarter of the") as caught:
        BundleLoader(settings, shelf.read).load(bundle("b"), longest_s=0.01)
    assert (caught.value.reason, caught.value.is_final) == ("shadow", True)


def test_a_slow_model_may_judge(settings: Settings, shelf: Shelf) -> None:
    model = shelf.put("b", Slow(THRESHOLDS))
    assert BundleLoader(settings, shelf.read).load(bundle("b")) is model


def test_a_trial_is_warmed_up_for_single_frames_and_for_batches_when_it_is_to_judge(
    settings: Settings, shelf: Shelf
) -> None:
    loader = BundleLoader(with_batches(settings, 8), shelf.read)
    model = shelf.put("b")
    tried = loader.load(bundle("b"), longest_s=3600)
    assert (tried, model.warmed) == (model, [1])
    shelf.on_read[digest_of("b")] = lambda: pytest.fail("it is here already")
    assert loader.load(bundle("b"), tried=tried) is model
    assert model.warmed == [1, 8]
