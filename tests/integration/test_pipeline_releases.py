"""Models exchanged while frames flow: nothing is lost, reordered or judged by two models, and what is wrong changes nothing."""

from __future__ import annotations

import asyncio
import gc
import weakref
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from inspector.anomaly.errors import BundleError, GeometryError, GoldenSampleError
from inspector.anomaly.types import DLSample, Thresholds
from inspector.releases.chain import read_audit, verify
from inspector.service import Service
from inspector.settings.topics import TopicSettings
from schemas import part_share
from tests.buses import wait_until
from tests.fakes import FakeModel
from tests.frames import png
from tests.lines import Line
from tests.releases import digest_of, release
from tests.stage import CAMERAS, by_seq, metric, sequences


@pytest.fixture
async def line(topic_names: TopicSettings, tmp_path: Path) -> Line:
    line = Line(topic_names, tmp_path)
    await line.bus.make_topics(line.settings)
    return line


def applied(service: Service, camera: str = "line/a") -> float:
    return metric(service, "release_number", camera=camera)


async def until_applied(service: Service, number: int) -> None:
    await wait_until(lambda: applied(service) == number)


async def test_a_swap_under_load_loses_and_reorders_nothing_and_no_batch_has_two_models(line: Line) -> None:
    new = line.shelf.put("b")
    line.release()
    async with line.running() as service:
        held = line.stage.hold_device()
        line.shelf.settings_model.on_launch = line.stage.model.on_launch
        for seq in range(30):
            for camera in CAMERAS:
                await line.stage.publish(camera, seq)
        await asyncio.to_thread(held.scoring.wait, 60)
        line.release(*(release(camera, 1, "b") for camera in CAMERAS))
        await wait_until(lambda: all(applied(service, f"line/{camera}") == 1 for camera in CAMERAS))
        for seq in range(30, 60):
            for camera in CAMERAS:
                await line.stage.publish(camera, seq)
        held.gate.set()
        results = await line.bus.wait_for_results(60 * len(CAMERAS))
    assert sequences(results) == {camera: list(range(60)) for camera in CAMERAS}
    for camera in CAMERAS:
        judged = [result.model.digest for result in results if result.camera_id == camera and result.model]
        assert len(judged) == 60
        assert judged[-1] == digest_of("b"), "what was admitted after the swap is judged by the new model"
        assert judged[0] != digest_of("b"), "what was in flight finishes with the old one"
        assert sum(before != after for before, after in pairwise(judged)) == 1, "and none goes back"
    assert sum(new.batches) + sum(line.shelf.settings_model.batches) == 60 * len(CAMERAS)
    assert [outcome[:2] for outcome in line.outcomes()] == [("applied", 1)] * 4
    records = line.bus.broker.log((line.settings.topics.audit_topic, 0))
    assert verify(read_audit(records), {}).faults == [], "the process's own chain is whole"


class Refusing(FakeModel):
    """Takes pictures in colour alone."""

    def check_geometry(self, sample: DLSample) -> None:
        if sample.channels != 3:
            raise GeometryError("it learnt from colour")


async def test_whatever_is_wrong_with_a_release_the_old_model_goes_on_and_it_is_said_why(
    line: Line, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(exc: Exception) -> Any:
        def read() -> None:
            raise exc

        return read

    line.shelf.put("b")
    line.shelf.put("c").digest = digest_of("d")
    line.shelf.put("e", Refusing(Thresholds(classification=0.5, segmentation=0.5)))
    for letter in "1234":
        line.shelf.put(letter)
    line.shelf.on_read[digest_of("1")] = fail(GoldenSampleError("golden sample image_0 scores 0.9, recorded was 0.1"))
    line.shelf.on_read[digest_of("2")] = fail(BundleError("detector.safetensors was changed"))
    line.shelf.put("5")
    line.shelf.put("6")
    line.shelf.on_read[digest_of("5")] = fail(MemoryError())
    line.shelf.on_read[digest_of("6")] = fail(ZeroDivisionError("nobody thought of it"))
    line.shelf.models[digest_of("3")].thresholds = None  # type: ignore[misc]
    line.release(release("a", 1, "b"))
    async with line.running() as service:
        assert applied(service) == 1
        broken = [release("a", number, letter) for number, letter in enumerate("c12e356f", start=2)]
        for one in broken:
            line.release(one)
            await line.until_told(one.number)
        await line.stage.publish("a", 1)
        (result,) = await line.bus.wait_for_results(1)
        assert result.model is not None
        assert result.model.digest == digest_of("b")
        assert applied(service) == 1
        assert metric(service, "release_wanted_number", camera="line/a") == 9
        refused = [reason for action, _, reason in line.outcomes() if action == "refused"]
        assert refused == [
            "bundle",
            "golden",
            "bundle",
            "geometry",
            "thresholds",
            "memory",
            "bundle",
            "unreachable",
        ]
        assert metric(service, "releases_refused_total", camera="line/a", reason="golden") == 1
        assert "the previous model stays in use" in caplog.text
        line.release(release("a", 11, "4"))
        await wait_until(lambda: applied(service) == 11)
        line.release(release("a", 3, "b"))
        await wait_until(lambda: "is older than 11" in caplog.text)
        assert applied(service) == 11


async def test_the_last_known_good_serves_where_the_topic_is_away_and_what_comes_later_is_applied(line: Line) -> None:
    for letter in "bcd":
        line.shelf.put(letter)
    line.release(release("a", 1, "b"), release("b", 1, "c"), release("a", 2, "c"))
    async with line.running() as service:
        assert (applied(service), applied(service, "line/b"), applied(service, "line/c")) == (2, 1, 0)
    line.log.is_away = True
    async with line.running() as service:
        assert (applied(service), applied(service, "line/b"), applied(service, "line/c")) == (2, 1, 0)
        assert metric(service, "releases_readable") == 0
        await line.stage.publish("a", 1)
        (result,) = await line.bus.wait_for_results(1)
        assert result.model is not None
        assert result.model.digest == digest_of("c")
        line.log.is_away = False
        line.release(release("a", 3, "d"))
        await wait_until(lambda: applied(service) == 3)
        assert metric(service, "releases_readable") == 1


async def test_a_release_that_cannot_be_loaded_at_the_start_leaves_the_last_known_good(line: Line) -> None:
    line.shelf.put("b")
    line.release(release("a", 1, "b"))
    async with line.running():
        pass
    line.release(release("a", 2, "f"))  # not in the cache, and the store is not there
    async with line.running() as service:
        assert applied(service) == 1
        assert metric(service, "release_wanted_number", camera="line/a") == 2


async def test_a_canary_judges_its_parts_and_no_others_and_a_threshold_set_live_is_the_active_models(
    line: Line,
) -> None:
    line.shelf.put("b")
    line.shelf.put("c")
    line.release(release("a", 1, "b", canary=("c", 30.0), classification_threshold=0.1, budget_us=77_000_000))
    async with line.running():
        for seq in range(60):
            await line.stage.publish("a", seq, image=png(40))
        results = by_seq(await line.bus.wait_for_results(60))
    canary = {seq for seq in range(60) if part_share(f"part-{seq}") < 0.3}
    assert 5 < len(canary) < 35
    for seq, result in results.items():
        assert result.model is not None
        assert result.model.digest == digest_of("c" if seq in canary else "b")
        assert result.classification_threshold == (0.5 if seq in canary else 0.1)
        assert result.anomaly_class == ("ok" if seq in canary else "nok")
        assert result.deadline_at == result.captured_at + 77_000_000 if result.captured_at else False


async def test_models_that_were_replaced_are_given_back(line: Line) -> None:
    line.release()
    gone: list[weakref.ref[Any]] = []
    async with line.running() as service:
        for number in range(1, 6):
            letter = "abcdef"[number]
            gone.append(weakref.ref(line.shelf.put(letter)))
            line.release(release("a", number, letter))
            await until_applied(service, number)
            for camera in CAMERAS:  # every thread has another job since, and the gauges were set
                for seq in range(4):
                    await line.stage.publish(camera, 10 * number + seq)
            await line.bus.wait_for_results(16 * number)
            line.shelf.models.clear()

        def left() -> int:
            gc.collect()
            return sum(ref() is not None for ref in gone)

        await wait_until(lambda: left() == 1)


async def test_a_model_that_was_refused_is_given_back_at_once(line: Line) -> None:
    held: list[weakref.ref[FakeModel]] = []

    def read() -> None:
        model = FakeModel(Thresholds(classification=0.5, segmentation=0.5))
        held.append(weakref.ref(model))
        raise GoldenSampleError("it scores otherwise")

    line.shelf.put("b")
    line.shelf.on_read[digest_of("b")] = read
    line.release()
    async with line.running():
        gc.disable()  # an error and its frames hold each other
        try:
            line.release(release("a", 1, "b"))
            await line.until_told(1)
            assert held[0]() is None
        finally:
            gc.enable()
