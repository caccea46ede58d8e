"""Faults of the device: want of memory halves batches and is forgotten again, a lost device is never glossed over."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from typing_extensions import override

from inspector.anomaly.types import Thresholds
from inspector.errors import DeviceLostError
from inspector.inflight.frame import Refusal
from inspector.inflight.room import PATIENCE
from inspector.stages.score import Outcome
from tests.device import OUT_OF_MEMORY, DeviceModel
from tests.fakes import FakePending
from tests.unit.inspector.stages.score_bench import Bench, scores

THRESHOLDS = Thresholds(classification=0.5, segmentation=0.5)


@pytest.fixture(params=[(1, 1), (1, 2), (3, 1)], ids=["one at a time", "overlapping", "side by side"])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    bench = Bench(*request.param)
    yield bench
    bench.engine.stop(30)


def test_a_batch_that_does_not_fit_is_scored_in_halves(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    model = DeviceModel(THRESHOLDS, room=3)
    bench.submit(model, *range(1, 9))
    bench.until_done(1)
    assert scores(bench.outcomes[0]) == list(range(1, 9))
    assert model.batches == [8, 4, 2, 2, 4, 2, 2]
    assert bench.engine.room.limit(model) == 2
    assert bench.rooms == [(True, 4), (True, 2), (True, 2)]
    assert caplog.text.count("the device does not have enough memory for 8 frames of brightness at once") == 1


def test_the_size_that_fits_is_kept_and_larger_ones_are_tried_after_a_while() -> None:
    bench = Bench()
    model = DeviceModel(THRESHOLDS, room=2)
    bench.submit(model, *range(1, 9))
    bench.until_done(1)
    assert bench.engine.room.limit(model) == 2
    model.room = 100
    for number in range(2, 3 + 3 * PATIENCE):
        bench.submit(model, *range(1, 1 + (bench.engine.room.limit(model) or 8)))
        bench.until_done(number)
    bench.engine.stop(30)
    while bench.loop.waiting:
        bench.loop.run_one()
    assert bench.engine.room.limit(model) is None
    assert bench.rooms[-3:] == [(False, 4), (False, 8), (False, None)]


def test_parts_of_a_batch_that_fit_count_as_batches_that_did() -> None:
    bench = Bench()
    model = DeviceModel(THRESHOLDS, room=4)
    bench.submit(model, *range(1, 9))
    bench.until_done(1)
    for number in range(2, PATIENCE):
        assert bench.engine.room.limit(model) == 4
        bench.submit(model, 1, 2, 3, 4)
        bench.until_done(number)
    assert bench.engine.room.limit(model) == 8
    bench.engine.stop(30)


def test_one_frame_for_which_there_is_no_room_is_refused_and_its_neighbours_are_not(bench: Bench) -> None:
    model = DeviceModel(THRESHOLDS, room=8)
    bench.submit(model, 1, DeviceModel.TOO_LARGE, 3)
    bench.until_done(1)
    assert scores(bench.outcomes[0]) == [1, "out_of_memory", 3]
    refusal = bench.outcomes[0][1]
    assert isinstance(refusal, Refusal)
    assert refusal.detail
    assert bench.crashes == []


@pytest.mark.parametrize(
    "error", [*OUT_OF_MEMORY, torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")]
)
def test_want_of_memory_is_named_and_survived(bench: Bench, error: Exception) -> None:
    model = DeviceModel(THRESHOLDS, room=0, error=error)
    bench.submit(model, 1)
    bench.until_done(1)
    assert scores(bench.outcomes[0]) == ["out_of_memory"]
    model.room = 8
    bench.submit(model, 2)
    bench.until_done(2)
    assert scores(bench.outcomes[1]) == [2]
    assert bench.crashes == []


def test_a_batch_that_did_not_fit_beside_another_waits_for_it_before_it_is_halved() -> None:
    """What was launched behind it holds memory, too."""
    bench = Bench(1, 2, start=False)
    held: set[int] = set()

    class Sharing(DeviceModel):
        """The device has room for four frames in all; a batch asks for it when it is finished."""

        @override
        def launch(self, images: Sequence[NDArray[np.uint8]]) -> FakePending:
            pending = super().launch(images)
            number = len(self.batches)
            held.add(number)

            class Holding(FakePending):
                @override
                def finish(self) -> list[object]:  # type: ignore[override]
                    others = len(held - {number})
                    held.discard(number)
                    if others:
                        raise torch.OutOfMemoryError("CUDA out of memory.")
                    return list(pending.finish())

            return Holding([], short=False)

    model = Sharing(THRESHOLDS, room=8)
    bench.submit(model, 1, 2)
    bench.submit(model, 3, 4)
    bench.engine.start()
    bench.until_done(2)
    bench.engine.stop(30)
    assert sorted(scores(outcomes) for outcomes in bench.outcomes) == [[1, 2], [3, 4]]
    assert model.batches == [2, 2, 1, 1], "the second was whole; only then the first was halved"


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("CUDA error: device-side assert triggered"),
        torch.AcceleratorError("CUDA error: an illegal memory access was encountered", 700),
        RuntimeError("CUDA error: unspecified launch failure"),
        RuntimeError("CUDA error: uncorrectable ECC error encountered"),
        RuntimeError("CUDA error: no CUDA-capable device is detected"),
        RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
        RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm`"),
    ],
)
def test_a_lost_device_is_a_crash_at_once_and_gives_no_verdict(error: Exception) -> None:
    bench = Bench()
    model = DeviceModel(THRESHOLDS, room=8)
    model.lost = error
    bench.submit(model, 1, 2, 3)
    bench.until_done(1)
    bench.engine.stop(30)
    assert isinstance(bench.crashes[0], DeviceLostError)
    assert bench.outcomes == []
    assert model.batches == [3], "no frame was tried alone"


NO_HANDLE = RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`")
"""What a lost device says, and one that has no room for a handle at the moment."""


@pytest.mark.parametrize("again", [0, 1, 2])
def test_a_device_that_has_no_room_for_a_handle_is_not_lost_while_it_scores_any_frame(again: int) -> None:
    bench = Bench()
    model = DeviceModel(THRESHOLDS, room=8)
    model.faults = iter([NO_HANDLE] * (1 + again))
    bench.submit(model, 1, 2, 3)
    bench.until_done(1)
    bench.engine.stop(30)
    assert bench.crashes == []
    assert scores(bench.outcomes[0]) == ["device"] * again + [1, 2, 3][again:]
    assert model.batches == [3, 1, 1, 1]


@pytest.mark.parametrize("size", [1, 3])
def test_a_device_that_gives_no_handle_for_any_frame_alone_is_lost(size: int) -> None:
    bench = Bench()
    model = DeviceModel(THRESHOLDS, room=8)
    model.lost = NO_HANDLE
    bench.submit(model, *range(1, 1 + size))
    bench.until_done(1)
    bench.engine.stop(30)
    assert isinstance(bench.crashes[0], DeviceLostError)
    assert "CUBLAS_STATUS_NOT_INITIALIZED" in str(bench.crashes[0])
    assert bench.outcomes == []
    assert model.batches == [size, *[1] * size], "each was tried alone"


def test_what_is_computed_is_told_until_it_is_done() -> None:
    bench = Bench()
    model = DeviceModel(THRESHOLDS, room=8)
    held = threading.Event()
    model.hang = held
    bench.submit(model, 1)
    assert model.hangs.wait(30)
    assert set(bench.engine.scoring.steps()) == {"device-0"}
    assert bench.engine.calling.steps() == {}
    held.set()
    bench.until_done(1)
    bench.engine.call(lambda: None).result(30)
    assert bench.engine.scoring.steps() == {}
    bench.engine.stop(30)


@pytest.mark.gpu
def test_a_real_gpu_without_memory_halves_batches_and_goes_on() -> None:
    free_bytes, _ = torch.cuda.mem_get_info()
    bench = Bench(1, 2)

    class Hungry(DeviceModel):
        """Needs a third of the GPU's free memory for each frame."""

        @override
        def launch(self, images: Sequence[NDArray[np.uint8]]) -> FakePending:
            needed = torch.empty(len(images) * free_bytes // 3, dtype=torch.uint8, device="cuda")
            needed[:1].fill_(len(images))
            torch.cuda.synchronize()
            return super().launch(images)

    model = Hungry(THRESHOLDS, room=100)
    for number in range(1, 4):
        bench.submit(model, *range(1, 9))
        bench.until_done(number)
    bench.engine.stop(60)
    torch.cuda.empty_cache()
    assert [scores(outcomes) for outcomes in bench.outcomes] == [list(range(1, 9))] * 3
    assert bench.engine.room.limit(model) in {1, 2}
    assert bench.crashes == []


@given(
    st.data(),
    st.sampled_from([(1, 1), (1, 2), (2, 1), (2, 2)]),
    st.lists(st.integers(1, 8), min_size=1, max_size=8),
)
def test_whatever_fails_every_frame_has_one_outcome_at_its_place(
    data: st.DataObject, shape: tuple[int, int], sizes: list[int]
) -> None:
    """Each level stands for one frame; each call to the device may fail in its own way."""
    bench = Bench(*shape)
    model = DeviceModel(THRESHOLDS, room=8)
    model.faults = iter(data.draw(st.lists(st.sampled_from([None, *OUT_OF_MEMORY, RuntimeError("bad")]), max_size=40)))
    levels = iter(range(1, 200))
    batches = [[next(levels) for _ in range(size)] for size in sizes]
    came: dict[int, list[list[float | str]]] = {number: [] for number in range(len(batches))}

    def note(number: int, outcomes: list[Outcome]) -> None:
        came[number].append(scores(outcomes))

    waiting = list(enumerate(batches))
    while waiting or not all(came.values()):
        while waiting and bench.engine.free_slots:
            number, batch = waiting.pop(0)
            images = [np.full((4, 4), level, np.uint8) for level in batch]
            bench.engine.submit(model, images, partial(note, number))
        bench.loop.run_one()
    bench.engine.stop(30)
    assert bench.crashes == []
    for number, batch in enumerate(batches):
        (outcomes,) = came[number]
        assert len(outcomes) == len(batch)
        for level, outcome in zip(batch, outcomes, strict=True):
            assert outcome in {level, "out_of_memory", "device"}


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (torch.OutOfMemoryError("CUDA out of memory."), "out_of_memory"),
        (RuntimeError("CUBLAS_STATUS_NOT_INITIALIZED"), "device"),
        (ZeroDivisionError(), "device"),
    ],
)
def test_a_model_on_trial_is_not_tried_again_and_no_batch_of_the_line_is_halved_for_it(
    bench: Bench, error: Exception, reason: str
) -> None:
    model = DeviceModel(THRESHOLDS, room=0, error=error)
    bench.engine.try_out(model, np.full((4, 4), 1, np.uint8), bench.outcomes.append)
    bench.until_done(1)
    assert scores(bench.outcomes[0]) == [reason]
    assert (model.batches, bench.retries, bench.rooms, bench.crashes) == ([1], 0, [], [])
    assert bench.engine.room.limit(model) is None
    model.room = 8
    bench.submit(model, 2)
    bench.until_done(2)
    assert scores(bench.outcomes[1]) == [2], "the line goes on"


@pytest.mark.parametrize("tries", [1, 2], ids=["it fits alone", "it does not fit alone either"])
def test_a_batch_that_lacks_memory_beside_a_model_on_trial_is_scored_again_whole_before_any_is_halved(
    tries: int,
) -> None:
    bench = Bench(1, 2, start=False)
    candidate, model = DeviceModel(THRESHOLDS, room=8), DeviceModel(THRESHOLDS, room=8)
    model.faults = iter([OUT_OF_MEMORY[2]] * tries)
    bench.engine.try_out(candidate, np.full((4, 4), 1, np.uint8), bench.outcomes.append)
    was_trying = bench.engine.is_trying
    bench.submit(model, 2, 3, 4, 5)
    bench.engine.start()
    bench.until_done(2)
    assert [scores(outcomes) for outcomes in bench.outcomes] == [[1], [2, 3, 4, 5]]
    assert (was_trying, bench.engine.is_trying) == (True, False)
    halved = tries == 2
    assert model.batches == ([4, 4, 2, 2] if halved else [4, 4])
    assert bench.rooms == ([(True, None), (True, 2)] if halved else [(True, None)]), "the trial is to end"
    assert (bench.engine.room.limit(model), bench.retries) == ((2, 1) if halved else (None, 0))

    model.faults = iter([OUT_OF_MEMORY[2]])
    bench.submit(model, 6, 7)
    bench.until_done(3)
    assert model.batches[-3:] == [2, 1, 1], "that trial is over: it is the batch that does not fit"
    bench.engine.stop(30)


def test_a_model_on_trial_that_comes_behind_a_batch_has_no_part_of_that_ones_room_either() -> None:
    """The batch was submitted before it, and asked for its memory when both lay on the device."""
    bench = Bench(1, 3, start=False)
    model = DeviceModel(THRESHOLDS, room=8)
    launch, launched = model.launch, []

    class Late(FakePending):
        @override
        def finish(self) -> list[object]:  # type: ignore[override]
            raise OUT_OF_MEMORY[2]

    def late_at_first(images: Sequence[NDArray[np.uint8]]) -> FakePending:
        launched.append(len(images))
        return Late([], short=False) if len(launched) == 1 else launch(images)

    model.launch = late_at_first  # type: ignore[method-assign]
    bench.submit(model, 2, 3)
    bench.engine.try_out(DeviceModel(THRESHOLDS, room=8), np.full((4, 4), 1, np.uint8), bench.outcomes.append)
    bench.engine.start()
    bench.until_done(2)
    bench.engine.stop(30)
    assert sorted(scores(outcomes) for outcomes in bench.outcomes) == [[1], [2, 3]]
    assert (launched, bench.engine.room.limit(model)) == ([2, 2], None)


def test_a_device_that_a_model_on_trial_loses_is_lost(bench: Bench) -> None:
    model = DeviceModel(THRESHOLDS, room=0, error=RuntimeError("CUDA error: an illegal memory access was encountered"))
    bench.engine.try_out(model, np.full((4, 4), 1, np.uint8), bench.outcomes.append)
    bench.until_done(1)
    assert isinstance(bench.crashes[0], DeviceLostError)
