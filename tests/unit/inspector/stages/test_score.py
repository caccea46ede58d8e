"""The engine: order kept, a slot for a slot, a bad picture isolated, a lost device never glossed over."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pytest

from inspector.anomaly.types import DLResult, Thresholds
from inspector.errors import DeviceError
from inspector.inflight.frame import Refusal
from inspector.stages.batch import Batcher
from tests.fakes import FakeModel, FakePending
from tests.unit.inspector.stages.score_bench import Bench, Image, image, model, scores


@pytest.fixture(params=[(1, 1), (1, 2), (3, 1)], ids=["one at a time", "overlapping", "side by side"])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    bench = Bench(*request.param)
    yield bench
    bench.engine.stop(30)


def test_results_come_back_in_the_order_of_the_images(bench: Bench) -> None:
    bench.submit(model(), 1, 2, 3)
    bench.loop.run_one()
    assert scores(bench.outcomes[0]) == [1, 2, 3]


def test_a_slot_is_taken_until_the_loop_has_the_results() -> None:
    bench = Bench()
    bench.submit(model(), 1)
    assert bench.engine.free_slots == 0
    with pytest.raises(DeviceError, match="no slot"):
        bench.submit(model(), 2)
    bench.loop.run_one()
    assert bench.engine.free_slots == 1
    bench.engine.stop(30)


def test_threads_score_side_by_side() -> None:
    bench = Bench(threads=3)
    together = threading.Barrier(3)

    class Meeting(FakeModel):
        def launch(self, images: Sequence[Image]) -> FakePending:
            together.wait(30)  # breaks unless three batches are computed at once
            return super().launch(images)

    meeting = Meeting(Thresholds(classification=0.5, segmentation=0.5))
    for level in (1, 2, 3):
        bench.submit(meeting, level)
    assert bench.engine.free_slots == 0
    for _ in range(3):
        bench.loop.run_one()
    assert sorted(scores(outcomes) for outcomes in bench.outcomes) == [[1], [2], [3]]
    assert bench.engine.free_slots == 3
    bench.engine.stop(30)


def test_a_call_on_each_runs_on_every_thread_once() -> None:
    bench = Bench(threads=3)
    names: list[str] = []
    for future in bench.engine.call_on_each(lambda: names.append(threading.current_thread().name)):
        future.result(30)
    assert sorted(names) == ["device-0", "device-1", "device-2"]
    bench.engine.stop(30)


def test_an_error_of_a_call_on_each_comes_back() -> None:
    bench = Bench(threads=2)

    def fail() -> None:
        raise ValueError("mine")

    for future in bench.engine.call_on_each(fail):
        with pytest.raises(ValueError, match="mine"):
            future.result(30)
    bench.engine.stop(30)


def test_the_second_batch_is_launched_before_the_first_is_finished_where_they_overlap() -> None:
    bench = Bench(overlap=2)
    events: list[str] = []
    second_submitted = threading.Event()

    class Slow(FakePending):
        def finish(self) -> list[DLResult]:
            events.append("finish")
            return super().finish()

    class Overlapping(FakeModel):
        def launch(self, images: Sequence[Image]) -> FakePending:
            second_submitted.wait(30)
            events.append("launch")
            return Slow([1] * len(images), short=False)

    overlapping = Overlapping(Thresholds(classification=0.5, segmentation=0.5))
    bench.submit(overlapping, 1)
    bench.submit(overlapping, 2)
    second_submitted.set()
    bench.loop.run_one()
    bench.loop.run_one()
    assert events == ["launch", "launch", "finish", "finish"]
    bench.engine.stop(30)


def test_a_picture_that_breaks_a_batch_is_refused_alone(bench: Bench) -> None:
    bench.submit(model(), 1, FakeModel.RAISES_ALWAYS, 3, FakeModel.RAISES_IN_BATCH)
    bench.loop.run_one()
    bench.loop.run_one()
    assert bench.retries == 1
    assert scores(bench.outcomes[0]) == [1, "device", 3, FakeModel.RAISES_IN_BATCH]


def test_too_few_results_are_never_matched_to_images(bench: Bench) -> None:
    short = model()
    short.drops_a_result = True
    bench.submit(short, 1, 2, 3)
    bench.loop.run_one()
    bench.loop.run_one()
    assert bench.retries == 1
    assert scores(bench.outcomes[0]) == [1, 2, 3]


def test_no_result_for_a_single_image_is_a_failure(bench: Bench) -> None:
    class Silent(FakeModel):
        def launch(self, images: Sequence[Image]) -> FakePending:
            return FakePending([], short=False)

    bench.submit(Silent(Thresholds(classification=0.5, segmentation=0.5)), 1)
    bench.loop.run_one()
    bench.loop.run_one()
    assert scores(bench.outcomes[0]) == ["internal"]


def test_calls_run_on_a_device_thread_and_their_errors_come_back(bench: Bench) -> None:
    assert bench.engine.call(lambda: threading.current_thread().name).result(30).startswith("device-")

    def fail() -> None:
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        bench.engine.call(fail).result(30)


def test_a_call_that_nobody_waits_for_any_more_harms_no_thread() -> None:
    """A service that is stopped while it loads its models cancels what it waits for."""
    bench = Bench(threads=2, start=False)
    ran: list[str] = []
    given_up, *others = bench.engine.call_on_each(lambda: ran.append(threading.current_thread().name))
    assert given_up.cancel()
    bench.engine.start()
    for future in others:
        future.result(30)
    assert bench.engine.call(lambda: 7).result(30) == 7
    bench.engine.stop(30)
    assert sorted(ran) == ["device-0", "device-1"]
    assert bench.loop.waiting == 0, "no thread has died and told of it"


@pytest.mark.parametrize(("threads", "overlap"), [(1, 1), (1, 2), (1, 3), (2, 2), (3, 1)])
def test_a_stop_finishes_the_batches_that_it_has(threads: int, overlap: int) -> None:
    slots = threads * overlap
    bench = Bench(threads, overlap)
    for level in range(slots):
        bench.submit(model(), level)
    bench.engine.stop(30)
    assert bench.loop.waiting == slots, "the threads have ended, and all was done before"
    for _ in range(slots):
        bench.loop.run_one()
    assert sorted(scores(outcomes) for outcomes in bench.outcomes) == [[level] for level in range(slots)]


@dataclass(frozen=True)
class Waiter:
    camera: int
    model: str = "m"
    deadline_s: float = 100.0


@pytest.mark.parametrize(
    ("threads", "overlap", "waiting", "sizes"),
    [
        (1, 2, 8, [8]),  # a GPU: halves would cost it nearly twice the time
        (1, 2, 12, [8, 4]),
        (1, 2, 3, [3]),
        (2, 1, 8, [4, 4]),  # a CPU: neither core idles
        (4, 1, 3, [1, 1, 1]),
        (2, 2, 8, [4, 4]),
        (1, 1, 8, [8]),
    ],
)
def test_an_idle_engine_shares_what_waits_among_its_threads_and_not_their_slots(
    threads: int, overlap: int, waiting: int, sizes: list[int]
) -> None:
    engine = Bench(threads, overlap, start=False).engine
    batcher: Batcher[Waiter] = Batcher(max_size=8)
    for number in range(waiting):
        batcher.push(Waiter(number), 0.0)
    taken = []
    while engine.free_slots and (batch := batcher.pull(0.0, slots=engine.shares).batch):
        engine.submit(model(), [image(1)] * len(batch), lambda _outcomes: None)
        taken.append(len(batch))
    assert taken == sizes


def test_a_gpu_that_computes_takes_the_next_batch_whole() -> None:
    engine = Bench(1, 2, start=False).engine
    engine.submit(model(), [image(1)], lambda _outcomes: None)
    assert (engine.free_slots, engine.shares) == (1, 1)


def test_a_stop_tells_whether_the_threads_have_ended() -> None:
    bench, held, begun = Bench(), threading.Event(), threading.Event()

    def hold() -> None:
        begun.set()
        held.wait(30)

    done = bench.engine.call(hold)
    assert begun.wait(30)
    assert bench.engine.calling.steps().keys() == {"device-0"}
    assert bench.engine.stop(0.0) is False
    held.set()
    done.result(30)
    assert bench.engine.stop(30) is True
    assert Bench(start=False).engine.stop(0.0) is True, "threads that never began"


def test_what_is_wrong_with_the_results_is_told_in_numbers() -> None:
    bench = Bench()

    class Silent(FakeModel):
        def launch(self, images: Sequence[Image]) -> FakePending:
            return FakePending([7] * 2, short=False)

    silent = Silent(Thresholds(classification=0.5, segmentation=0.5))
    for number, levels in enumerate(((1,), (1, 2, 3)), 1):
        bench.submit(silent, *levels)
        bench.until_done(number)
    bench.engine.stop(30)
    details = [outcome.detail for outcomes in bench.outcomes for outcome in outcomes if isinstance(outcome, Refusal)]
    assert details == ["the model gave 2 results for 1 image"] * 4


def test_a_picture_that_breaks_a_model_is_refused_with_its_error(bench: Bench) -> None:
    bench.submit(model(), FakeModel.RAISES_ALWAYS)
    bench.until_done(1)
    (outcome,) = bench.outcomes[0]
    assert outcome == Refusal("failed", "device", "RuntimeError: this picture breaks the model")


def test_a_trial_needs_a_free_slot_too() -> None:
    bench = Bench(start=False)
    bench.engine.try_out(model(), image(1), bench.outcomes.append)
    assert bench.engine.is_trying
    with pytest.raises(DeviceError, match="no slot"):
        bench.engine.try_out(model(), image(1), bench.outcomes.append)
    bench.engine.start()
    bench.until_done(1)
    assert (bench.engine.is_trying, bench.engine.free_slots) == (False, 1)
    for number in (2, 3):
        bench.engine.try_out(model(), image(1), bench.outcomes.append)
        assert bench.engine.is_trying, "each trial for itself"
        bench.until_done(number)
        assert not bench.engine.is_trying
    bench.engine.stop(30)
