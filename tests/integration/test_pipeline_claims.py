"""Frames that name their pictures: fetched, judged like any other, refused with reasons, and harmless to those that carry theirs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from inspector.settings.settings import Settings
from inspector.settings.topics import TopicSettings
from tests.buses import MemoryBus, wait_until
from tests.frames import png, record_of
from tests.stage import CAMERAS, Stage, by_seq, metric, sequences
from tests.stores import S3Like, claim, s3_like


@pytest.fixture
def s3() -> Iterator[S3Like]:
    with s3_like() as store:
        yield store


@pytest.fixture
async def alone(topic_names: TopicSettings) -> Stage:
    """On the bus in memory alone: what follows concerns stores, and Kafka has no part in it."""
    stage = Stage(MemoryBus(topic_names))
    await stage.bus.make_topics(stage.settings())
    return stage


def settings_of(stage: Stage, s3: S3Like, *prefixes: str, **store: Any) -> Settings:
    section = {"allowed_prefixes": ("s3://bucket/lines/", *prefixes), "endpoint": s3.endpoint} | store
    return stage.settings(store=section)


async def publish(stage: Stage, camera: str, seq: int, uri: str, image: bytes | None = None, **fields: Any) -> None:
    captured_at = fields.pop("captured_at", stage.clock.wall_us())
    record = record_of(claim(camera, seq, captured_at, uri, image, **fields))
    await stage.bus.publish(CAMERAS.index(camera), *record)


async def test_pictures_in_a_store_are_judged_as_those_that_are_carried(
    stage: Stage, s3: S3Like, tmp_path: Path
) -> None:
    (tmp_path / "3.png").write_bytes(png(200))
    s3.put("bucket/lines/1.png", png(40))
    s3.put("bucket/lines/2.png", png(200))
    await stage.publish("a", 0)
    await publish(stage, "a", 1, "s3://bucket/lines/1.png", png(40))
    await publish(stage, "a", 2, "s3://bucket/lines/2.png", png(200))
    await publish(stage, "a", 3, f"file://{tmp_path}/3.png", png(200))
    await stage.publish("a", 4)
    async with stage.service(settings_of(stage, s3, f"file://{tmp_path}/")) as service:
        results = await stage.bus.wait_for_results(5)
        await wait_until(lambda: metric(service, "stage_seconds_count", stage="fetch") == 3)
        assert metric(service, "stage_seconds_count", stage="queue") == 5
    assert [by_seq(results)[seq].anomaly_class for seq in range(5)] == ["ok", "ok", "nok", "nok", "ok"]
    assert {result.status for result in results} == {"inspected"}
    assert sequences(results) == {"a": [0, 1, 2, 3, 4]}
    assert "fetch" in by_seq(results)[1].stage_seconds
    assert len(s3.asked) == 2
    assert await stage.bus.deadletters() == []
    assert await stage.bus.committed(0) == 5


async def test_what_may_not_be_had_is_refused_with_a_reason_and_a_dead_letter_and_no_other_host_is_asked(
    alone: Stage, s3: S3Like
) -> None:
    s3.put("bucket/lines/1.png", png(200))
    s3.put("bucket/lines/moved.png", png())
    with s3_like() as elsewhere:
        s3.misbehave |= {"/bucket/lines/moved.png": "redirect", "/bucket/lines/busy.png": "busy"}
        s3.redirect_to = elsewhere.endpoint
        host = elsewhere.endpoint.removeprefix("http://")
        wrong: dict[int, tuple[str, str, dict[str, Any]]] = {
            1: ("s3://bucket/lines/1.png", "image_mismatch", {"image_digest": "0" * 64, "image": png(200)}),
            2: ("s3://bucket/lines/1.png", "image_mismatch", {"image_bytes": 50}),
            3: ("s3://bucket/lines/none.png", "image_missing", {}),
            4: ("s3://bucket/lines/busy.png", "image_unreachable", {}),
            5: ("s3://bucket/lines/moved.png", "image_refused", {}),
            6: (f"http://{host}/bucket/lines/1.png", "image_refused", {}),
            7: (f"s3://{host}/lines/1.png", "image_refused", {}),
            8: ("s3://bucket/lines/../other/1.png", "image_refused", {}),
            9: ("file:///etc/hostname", "image_refused", {}),
            10: ("s3://bucket/lines/1.png", "too_large", {"image_bytes": 100_001}),
        }
        for seq, (uri, _, fields) in wrong.items():
            changed = dict(fields)
            await publish(alone, "a", seq, uri, changed.pop("image", None), **changed)
        await alone.publish("b", 20)
        async with alone.service(settings_of(alone, s3)):
            results = await alone.bus.wait_for_results(len(wrong) + 1)
        assert elsewhere.asked == []
    found = by_seq(results)
    assert {seq: found[seq].reason for seq in wrong} == {seq: reason for seq, (_, reason, _) in wrong.items()}
    assert {found[seq].anomaly_class_id for seq in wrong} == {1}
    assert found[4].status == "failed"
    assert found[20].anomaly_class == "ok"
    assert {asked.path for asked in s3.asked} == {
        f"/bucket/lines/{name}.png" for name in ("1", "none", "busy", "moved")
    }
    letters = {letter.seq: letter for letter in await alone.bus.deadletters()}
    assert letters.keys() == wrong.keys()
    assert "redirects are not followed" in letters[5].detail
    assert all(letters[seq].detail for seq in wrong)


async def test_without_a_store_every_claim_is_refused(alone: Stage) -> None:
    await publish(alone, "a", 1, "s3://bucket/lines/1.png")
    async with alone.service():
        (result,) = await alone.bus.wait_for_results(1)
    assert (result.status, result.reason) == ("undecodable", "image_refused")
    (letter,) = await alone.bus.deadletters()
    assert "store.allowed_prefixes is empty" in letter.detail


async def test_a_store_that_hangs_delays_no_frame_that_carries_its_picture(alone: Stage, s3: S3Like) -> None:
    for seq in range(20):
        s3.put(f"bucket/lines/{seq}.png", png())
        s3.misbehave[f"/bucket/lines/{seq}.png"] = "hang"
        await publish(alone, "a", seq, f"s3://bucket/lines/{seq}.png")
    async with alone.service(settings_of(alone, s3, concurrency=4, fetch_timeout_ms=500)):
        await wait_until(lambda: len(s3.asked) == 3)  # one of the places is left to others
        for seq in range(20):
            await alone.publish("b", 100 + seq)
        s3.put("bucket/lines/c.png", png())
        await publish(alone, "c", 200, "s3://bucket/lines/c.png")
        results = await alone.bus.wait_for_results(41)
    found = by_seq(results)
    assert {found[seq].status for seq in (*range(100, 120), 200)} == {"inspected"}
    assert {(found[seq].status, found[seq].reason) for seq in range(20)} <= {
        ("failed", "image_unreachable"),
        ("expired", "late_before_decode"),
    }


async def test_a_frame_whose_time_is_over_is_answered_as_late_and_not_fetched(alone: Stage, s3: S3Like) -> None:
    s3.put("bucket/lines/1.png", png())
    captured_at = alone.clock.wall_us() - 5_000_000
    await publish(alone, "a", 1, "s3://bucket/lines/1.png", captured_at=captured_at, budget_us=1_000_000)
    async with alone.service(settings_of(alone, s3)):
        (result,) = await alone.bus.wait_for_results(1)
    assert (result.status, result.reason) == ("expired", "late_before_decode")
    assert s3.asked == []


async def test_a_stop_does_not_wait_for_a_store_that_hangs(alone: Stage, s3: S3Like) -> None:
    s3.put("bucket/lines/1.png", png())
    s3.misbehave["/bucket/lines/1.png"] = "hang"
    await publish(alone, "a", 1, "s3://bucket/lines/1.png")
    async with alone.service(settings_of(alone, s3, concurrency=1, fetch_timeout_ms=300)):
        await wait_until(lambda: len(s3.asked) == 1)
        await publish(alone, "a", 2, "s3://bucket/lines/1.png")
    found = by_seq(await alone.bus.results())
    assert found[1].status in {"failed", "expired"}
    s3.misbehave.clear()
    async with alone.service(settings_of(alone, s3)):
        results = await alone.bus.wait_for_results(2)
    assert by_seq(results)[2].status in {"inspected", "expired"}
