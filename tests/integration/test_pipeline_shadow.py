"""A model on trial beside the one that judges: it says what it would, and nothing of the line changes for it."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from inspector.bus.reading.result import result_of
from inspector.gate.decide import Gate, Rules
from inspector.gate.intake import Intake
from inspector.service import Service
from inspector.settings.topics import TopicSettings
from schemas import DLResultMessage, SchemaError, decode
from tests.buses import wait_until
from tests.device import DeviceModel
from tests.fakes import FakeModel
from tests.frames import png
from tests.lines import ShadowLine, shadow, tried
from tests.releases import THRESHOLDS, digest_of, release
from tests.stage import CAMERAS, metric, sequences


def count(service: Service, name: str) -> float:
    return metric(service, f"shadow_{name}_total", camera="line/a")


@pytest.fixture
async def line(topic_names: TopicSettings, tmp_path: Path) -> ShadowLine:
    line = ShadowLine(topic_names, tmp_path)
    await line.bus.make_topics(line.settings)
    return line


async def test_it_says_what_it_would_of_the_same_frames_and_the_verdicts_stay_the_active_models(
    line: ShadowLine,
) -> None:
    line.shelf.put("b")
    line.shelf.put("c").thresholds = THRESHOLDS.__class__(classification=0.1, segmentation=0.5)
    line.release(release("a", 1, "b", candidate=shadow("c")))
    async with line.running() as service:
        await line.until_tried(service, "c")
        for seq in range(5):
            await line.stage.publish("a", seq, is_simulated=seq == 0)
            await line.until_said(seq + 1)
        results = await line.bus.wait_for_results(5)
        await line.stage.publish("b", 1)
        results = await line.bus.wait_for_results(6)
        assert (count(service, "scored"), count(service, "shed"), count(service, "failed")) == (5, 0, 0)
    said = line.said()
    assert {one.result_id for one in said} == {one.result_id for one in results if one.camera_id == "a"}
    assert [one.seq for one in said] == list(range(5))
    assert {one.model.digest for one in results if one.camera_id == "a" and one.model} == {digest_of("b")}
    assert {one.anomaly_class for one in results} == {"ok"}
    assert {one.model.digest for one in said} == {digest_of("c")}
    assert {(one.role, one.shadow and one.shadow.anomaly_class) for one in said} == {("shadow", "nok")}
    assert [one.is_simulated for one in said] == [True, False, False, False, False]
    assert line.outcomes() == [("applied", 1, ""), ("applied", 1, "shadow")]


async def test_no_reader_of_verdicts_takes_what_it_says_for_one(line: ShadowLine) -> None:
    line.shelf.put("b")
    line.shelf.put("c")
    line.release(release("a", 1, "b", candidate=shadow("c")))
    async with line.running() as service:
        await line.until_tried(service, "c")
        await line.stage.publish("a", 1)
        await line.until_said(1)
        await line.bus.wait_for_results(1)
    topics = line.settings.topics
    written = {topic for (topic, _), records in line.bus.broker.logs.items() if records}
    assert written == {
        topics.frames_topic,
        topics.results_topic("", ""),
        topics.models_topic,
        topics.audit_topic,
        line.topic,
    }
    assert len(await line.bus.results()) == 1, "and none of them on a topic that actuators read"
    (record,) = line.bus.broker.log((line.topic, 0))
    assert result_of(record) is None, "the gate, the archive and the results command read by this"
    with pytest.raises(SchemaError):
        decode(DLResultMessage, record.value or b"")
    assert {name for name, _ in record.headers} == {"role", "result_id"}, (
        "nor do its headers say ok, as a gate might read"
    )
    gate = Gate(Rules(frozenset({"a"}), heartbeat_s=10.0), now_us=0)
    intake = Intake(gate, "line", topics.heartbeats_topic, skew_us=0, takes_simulated=True, clock=line.stage.clock)
    intake.take([record])
    assert intake.counts.results == 0, "wherever it might turn up, it is nobody's verdict"


async def test_it_is_shed_first_while_the_line_has_work_and_every_frame_has_its_verdict(line: ShadowLine) -> None:
    active = line.shelf.put("b")
    candidate = line.shelf.put("c")
    room = 3 * (4096 + len(png()))
    line.settings = line.settings.model_copy(
        update={"releases": line.settings.releases.model_copy(update={"shadow_bytes": room})}
    )
    line.release(release("a", 1, "b", candidate=shadow("c")))
    async with line.running() as service:
        await line.until_tried(service, "c")
        warm = len(candidate.batches)
        held = line.stage.hold_device(active)
        for seq in range(20):
            await line.stage.publish("a", seq)
        await asyncio.to_thread(held.scoring.wait, 60)
        await wait_until(lambda: count(service, "shed") >= 7)
        assert len(candidate.batches) == warm, "nothing of it goes to the device while the line's frames wait"
        assert service.pipeline is not None
        assert service.pipeline.shadow is not None
        assert service.pipeline.shadow.used_bytes <= room
        used = service.pipeline.budget.used_bytes
        held.gate.set()
        results = await line.bus.wait_for_results(20)
        await wait_until(lambda: count(service, "shed") + count(service, "scored") == 20)
        assert used > 0
        await wait_until(lambda: service.pipeline is not None and service.pipeline.budget.used_bytes == 0)
        # What it scores or sheds holds no offset up, and the next commit is some milliseconds away.
        place = line.bus.topics.frames_topic, CAMERAS.index("a")
        await wait_until(lambda: line.bus.broker.committed.get(place) == 20)
    assert sequences(results) == {"a": list(range(20))}
    assert count(service, "scored") >= 3


async def test_the_last_free_slot_of_the_device_is_the_lines(line: ShadowLine) -> None:
    line.settings = line.settings.model_copy(update={"device_threads": 2})
    active = line.shelf.put("b")
    candidate = line.shelf.put("c")
    line.release(release("a", 1, "b", candidate=shadow("c")))
    async with line.running() as service:
        await line.until_tried(service, "c")
        warm, pipeline = len(candidate.batches), service.pipeline
        assert pipeline is not None
        assert pipeline.shadow is not None
        held = line.stage.hold_device(active)
        await line.stage.publish("a", 1)
        await asyncio.to_thread(held.scoring.wait, 60)
        for _ in range(3):
            pipeline._pump()
        assert (len(pipeline.shadow), pipeline.shadow._current) == (1, None), "one slot is free, and it waits"
        held.gate.set()
        await line.until_said(1)
        assert len(candidate.batches) == warm + 1


async def test_a_batch_that_shares_the_device_with_it_teaches_nothing_of_the_lines_pace(line: ShadowLine) -> None:
    line.settings = line.settings.model_copy(update={"device_threads": 2})
    active, candidate, clock = line.shelf.put("b"), line.shelf.put("c"), line.stage.clock
    line.release(release("a", 1, "b", candidate=shadow("c")))

    async with line.running() as service:
        await line.until_tried(service, "c")

        async def capacity_after(seq: int, *, takes_s: float) -> float:
            active.on_launch = lambda _size: clock.advance(takes_s)
            await line.stage.publish("a", seq)
            await line.bus.wait_for_results(seq)
            return metric(service, "capacity_frames_per_second", camera="line/a")

        held = line.stage.hold_device(candidate)
        alone = await capacity_after(1, takes_s=0.1)
        assert alone == pytest.approx(2 / 0.1), "two threads, each with a frame in a tenth of a second"
        await asyncio.to_thread(held.scoring.wait, 60)
        assert await capacity_after(2, takes_s=0.2) == alone, "the trial had the device, too"
        held.gate.set()
        await wait_until(lambda: count(service, "scored") == 2)
        assert await capacity_after(3, takes_s=0.2) < alone, "it was slow by itself"


async def test_its_threads_have_the_priority_of_the_lines(line: ShadowLine) -> None:
    """One that held the interpreter's lock and were not given a core would stop the event loop."""
    found: list[int] = []
    async with line.running() as service:
        assert service._models.shadow is not None
        workers = service._models.shadow.workers
        for is_urgent in (False, True):
            workers.submit(lambda: os.getpriority(os.PRIO_PROCESS, 0), found.append, urgent=is_urgent)
        await wait_until(lambda: len(found) == 2)
    assert found == [os.getpriority(os.PRIO_PROCESS, 0)] * 2


async def test_nothing_is_begun_for_it_while_a_frame_of_the_line_waits_for_company(line: ShadowLine) -> None:
    batching = line.settings.batching.model_copy(update={"linger_ms": 500})
    line.settings = line.settings.model_copy(update={"batching": batching})
    line.shelf.put("b")
    line.shelf.put("c")
    line.release(release("a", 1, "b", candidate=shadow("c")))
    async with line.running() as service:
        await line.until_tried(service, "c")
        pipeline = service.pipeline
        assert pipeline is not None
        assert pipeline.shadow is not None
        await line.stage.publish("a", 1)
        await wait_until(lambda: len(pipeline._batcher) == 1)
        for _ in range(3):
            pipeline._pump()
        assert (len(pipeline.shadow), pipeline.shadow._current) == (1, None)
        line.stage.clock.advance(0.6)
        pipeline._pump()
        assert len(await line.bus.wait_for_results(1)) == 1
        await line.until_said(1)


@pytest.mark.parametrize("end", ["rollback", "release", "another"])
async def test_a_trial_ends_by_a_rollback_a_release_or_another_trial(line: ShadowLine, end: str) -> None:
    for letter in "bcd":
        line.shelf.put(letter)
    line.release(release("a", 1, "b", candidate=shadow("c")))
    async with line.running() as service:
        await line.until_tried(service, "c")
        if end == "rollback":
            line.release(release("a", 2, "b"))
        elif end == "release":
            line.release(release("a", 2, "c"))
        else:
            line.release(release("a", 2, "b", candidate=shadow("d")))
        await wait_until(lambda: tried(service, "line/a") == ("d" if end == "another" else None))
        await line.stage.publish("a", 1)
        (result,) = await line.bus.wait_for_results(1)
        assert result.model is not None
        assert result.model.digest == digest_of("c" if end == "release" else "b")
        said = await line.until_said(1) if end == "another" else line.said()
        assert [one.model.digest for one in said] == ([digest_of("d")] if end == "another" else [])


async def test_a_change_of_the_threshold_goes_on_with_the_trial_and_loads_nothing(line: ShadowLine) -> None:
    for letter in "bc":
        line.shelf.put(letter)
    line.release(release("a", 1, "b", candidate=shadow("c")))
    async with line.running() as service:
        await line.until_tried(service, "c")
        line.shelf.on_read[digest_of("c")] = lambda: pytest.fail("it is here already")
        line.release(release("a", 2, "b", candidate=shadow("c"), classification_threshold=0.25))
        await wait_until(lambda: line.outcomes()[-1:] == [("applied", 2, "shadow")])
        assert tried(service, "line/a") == "c"


async def test_a_model_that_cannot_be_tried_keeps_no_release_from_judging(
    line: ShadowLine, caplog: pytest.LogCaptureFixture
) -> None:
    line.shelf.put("b")
    line.shelf.put("c").thresholds = None  # type: ignore[assignment]
    line.release(release("a", 1, "b", candidate=shadow("c")))
    async with line.running() as service:
        await wait_until(lambda: len(line.outcomes()) == 2)
        assert line.outcomes() == [("applied", 1, ""), ("refused", 1, "thresholds")]
        assert metric(service, "release_number", camera="line/a") == 1
        assert metric(service, "releases_refused_total", camera="line/a", reason="thresholds") == 1
        await line.stage.publish("a", 1)
        (result,) = await line.bus.wait_for_results(1)
        assert result.model is not None
        assert result.model.digest == digest_of("b")
    assert (line.said(), tried(service, "line/a")) == ([], None)
    assert "the one that judges goes on" in caplog.text


@pytest.mark.parametrize("fault", ["memory", "raises", "nan"])
async def test_a_model_that_fails_while_it_scores_is_dropped_and_the_line_does_not_notice(
    line: ShadowLine, fault: str
) -> None:
    line.shelf.put("b")
    bad = {"raises": FakeModel.RAISES_ALWAYS, "nan": FakeModel.NOT_FINITE}
    candidate = DeviceModel(THRESHOLDS, room=100)
    line.shelf.put("c", candidate)
    line.release(release("a", 1, "b", candidate=shadow("c")))
    async with line.running() as service:
        await line.until_tried(service, "c")
        if fault == "memory":
            candidate.room = 0
        else:
            active: Any = line.shelf.models[digest_of("b")]
            active.launch = FakeModel(THRESHOLDS).launch if fault == "raises" else active.launch
            launch = candidate.launch
            candidate.launch = lambda images: launch([image * 0 + bad[fault] for image in images])  # type: ignore[method-assign]
        for seq in range(1 if fault == "memory" else 5):
            await line.stage.publish("a", seq)
            await line.until_said(seq + 1)
        await wait_until(lambda: tried(service, "line/a") is None)
        await line.stage.publish("a", 9)
        results = await line.bus.wait_for_results(2 if fault == "memory" else 6)
        assert {result.status for result in results} == {"inspected"}
        assert metric(service, "batch_retries_total") == 0
        assert line.outcomes()[-1] == ("refused", 1, "shadow")
    said = {one.failure for one in line.said()}
    assert said == {{"memory": "out_of_memory", "raises": "device", "nan": "non_finite"}[fault]}


async def test_want_of_memory_of_the_lines_own_batches_ends_the_trial(line: ShadowLine) -> None:
    active = DeviceModel(THRESHOLDS, room=8)
    line.shelf.put("b", active)
    line.shelf.put("c")
    line.release(release("a", 1, "b", candidate=shadow("c")))
    async with line.running() as service:
        await line.until_tried(service, "c")
        active.room = 0
        await line.stage.publish("b", 1)
        await line.bus.wait_for_results(1)
        assert tried(service, "line/a") == "c", "camera b has the settings' model, which has room"
        await line.stage.publish("a", 1)
        await wait_until(lambda: tried(service, "line/a") is None)
        assert line.outcomes()[-1] == ("refused", 1, "shadow")


async def test_without_a_topic_for_it_the_line_goes_on(line: ShadowLine, caplog: pytest.LogCaptureFixture) -> None:
    del line.bus.broker.partitions[line.topic]
    line.shelf.put("b")
    line.shelf.put("c")
    line.release(release("a", 1, "b", candidate=shadow("c")))
    async with line.running() as service:
        await line.until_tried(service, "c")
        await line.stage.publish("a", 1)
        await wait_until(lambda: count(service, "shed") == 1)
        assert len(await line.bus.wait_for_results(1)) == 1
    assert "what models on trial say cannot be sent" in caplog.text
