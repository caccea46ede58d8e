"""The encoder: what the messages say, where they go, and that nothing but a positive verdict is ok."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from inspector.anomaly.types import DLResult, DLSample, Thresholds
from inspector.bus.ports import ProducedRecord
from inspector.inflight.budget import Budget
from inspector.inflight.frame import Frame, Refusal, Trial
from inspector.inflight.lease import Lease
from inspector.inflight.route import Route
from inspector.settings.topics import TopicSettings
from inspector.stages.encode import Encoder
from schemas import (
    DeadLetter,
    DLResultMessage,
    Identity,
    ModelReference,
    RecordSource,
    RegionMessage,
    ShadowResultMessage,
    TraceContext,
    decode,
    expected_score_from_headers,
    result_id_of,
    trace_from_headers,
)
from tests.fakes import FakeClock, FakeModel
from tests.frames import camera_frame

IDENTITY = Identity("line", "a", "part", 3, 1_000_000)
MODEL = FakeModel(Thresholds(classification=0.5, segmentation=0.5))


def encoder(**options: Any) -> Encoder:
    defaults: dict[str, Any] = {"keep_value": False, "max_deadletter_bytes": 100, "clock": FakeClock()}
    return Encoder(options.pop("topics", TopicSettings()), **(defaults | options))


def frame(
    *,
    identity: Identity = IDENTITY,
    score: float | None = None,
    threshold: float | None = None,
    known: bool = True,
    value: bytes = b"value",
) -> Frame:
    route = Route("line/a", MODEL, ModelReference(name="m", version="1", digest="0" * 64), threshold, 1)
    return Frame(
        lease=Lease(("frames", 0), 1, cap=1),
        source=RecordSource(topic="frames", partition=0, offset=9),
        key=b"incoming",
        value=value,
        identity=identity,
        camera="line/a",
        deadline_at=None if identity.captured_at is None else 2_000_000,
        deadline_s=0.0,
        reservation=Budget(1).hold(0),
        route=route if known else None,
        sample=DLSample(np.zeros((64, 64), np.uint8), 64, 64, 1),
        result=None if score is None else DLResult(score, np.zeros((64, 64), np.float32)),
        stage_seconds={"score": 0.5},
    )


@pytest.mark.parametrize(
    ("score", "threshold", "class_id"), [(0.49, None, 0), (0.5, None, 1), (0.49, 0.4, 1), (0.59, 0.6, 0)]
)
def test_the_class_follows_the_cameras_threshold(score: float, threshold: float | None, class_id: int) -> None:
    outgoing = encoder().encode(frame(score=score, threshold=threshold))
    message = decode(DLResultMessage, outgoing.result.value)
    assert (message.status, message.anomaly_class_id, message.anomaly_score) == ("inspected", class_id, score)
    assert message.classification_threshold == (threshold or 0.5)
    assert outgoing.deadletter is None
    assert outgoing.unacknowledged == 1
    assert message.stage_seconds == {"score": 0.5}
    assert (outgoing.status, outgoing.reason, outgoing.anomaly_class) == ("inspected", "none", ("ok", "nok")[class_id])
    assert outgoing.score_ratio == pytest.approx(score / (threshold or 0.5))


@pytest.mark.parametrize("score", [float("nan"), float("inf")])
def test_a_score_that_is_no_number_is_nok(score: float) -> None:
    outgoing = encoder().encode(frame(score=score))
    message = decode(DLResultMessage, outgoing.result.value)
    assert (message.status, message.reason, message.anomaly_class_id) == ("failed", "non_finite", 1)
    assert outgoing.unacknowledged == 2


def test_a_score_that_the_contract_does_not_allow_is_a_failure_and_not_a_verdict() -> None:
    message = decode(DLResultMessage, encoder().encode(frame(score=-0.5)).result.value)
    assert (message.status, message.reason, message.anomaly_class_id) == ("failed", "internal", 1)


def test_a_refusal_names_the_frame_and_leaves_a_letter() -> None:
    outgoing = encoder().refused(frame(), Refusal("failed", "geometry", "too wide"))
    message = decode(DLResultMessage, outgoing.result.value)
    assert outgoing.deadletter is not None
    letter = decode(DeadLetter, outgoing.deadletter.value)
    assert message.result_id == letter.result_id
    assert message.identity == letter.identity == IDENTITY
    assert (letter.reason, letter.detail, letter.value_bytes, letter.value) == ("geometry", "too wide", 5, None)
    assert (outgoing.result.key, outgoing.deadletter.key) == (b"line/a", b"incoming")
    assert (letter.key, letter.source, letter.status) == (b"incoming", message.source, "failed")
    assert (outgoing.status, outgoing.reason, outgoing.anomaly_class) == ("failed", "geometry", "nok")
    assert (outgoing.score_ratio, outgoing.unacknowledged, outgoing.deadletter.headers) == (None, 2, [])
    topics = TopicSettings()
    assert (outgoing.result.topic, outgoing.deadletter.topic) == (
        topics.results_topic("line", "a"),
        topics.deadletters_topic,
    )


def test_a_frame_knows_the_refusal_that_it_is_answered_with() -> None:
    whole, partly = frame(), frame(identity=IDENTITY._replace(seq=None))
    encoder().refused(whole, Refusal("failed", "geometry", "too wide"))
    encoder().refused(partly, Refusal("failed", "geometry", "too wide"))
    assert whole.refusal == Refusal("failed", "geometry", "too wide")
    assert partly.refusal == Refusal("undecodable", "malformed", "too wide"), (
        "only frames with a whole identity can fail"
    )


def test_an_expired_frame_leaves_no_letter() -> None:
    outgoing = encoder().refused(frame(), Refusal("expired", "late_before_send"))
    assert (outgoing.deadletter, outgoing.unacknowledged) == (None, 1)


@pytest.mark.parametrize("score", [0.1, None])
def test_a_verdict_says_which_record_it_answers_when_it_was_due_and_made_and_which_model_was_meant(
    score: float | None,
) -> None:
    one, clock = frame(score=score), FakeClock()
    one.is_simulated = True
    one.refusal = None if score is not None else Refusal("failed", "device")
    message = decode(DLResultMessage, encoder(clock=clock).encode(one).result.value)
    assert (message.source, message.identity, message.deadline_at) == (one.source, IDENTITY, 2_000_000)
    assert (message.produced_at, message.is_simulated) == (clock.wall_us(), True)
    assert message.model == ModelReference(name="m", version="1", digest="0" * 64)
    assert message.stage_seconds == {"score": 0.5}
    assert not decode(DLResultMessage, encoder().encode(frame(score=0.1)).result.value).is_simulated


def test_the_letter_of_a_frame_says_when_it_was_written() -> None:
    clock = FakeClock()
    letter = encoder(clock=clock).refused(frame(), Refusal("failed", "geometry")).deadletter
    assert letter is not None
    assert decode(DeadLetter, letter.value).produced_at == clock.wall_us()


@pytest.mark.parametrize(
    ("identity", "key", "result_key", "letter_key"),
    [
        (IDENTITY, None, b"line/a", b"line/a"),
        (Identity(), b"incoming", b"incoming", b"incoming"),
        (Identity("line"), b"incoming", b"incoming", b"incoming"),
        (Identity(camera_id="a"), None, b"unknown", b"unknown"),
        (Identity(), b"", b"unknown", b""),
    ],
)
def test_records_have_the_cameras_key_or_that_of_the_record_or_unknown(
    identity: Identity, key: bytes | None, result_key: bytes, letter_key: bytes
) -> None:
    """One partition for one camera, so that its verdicts keep their order."""
    nameless = frame(identity=identity, known=identity is IDENTITY)
    nameless.key = key
    outgoing = encoder().refused(nameless, Refusal("undecodable", "malformed"))
    assert outgoing.deadletter is not None
    assert (outgoing.result.key, outgoing.deadletter.key) == (result_key, letter_key)
    assert outgoing.result.topic == TopicSettings().stray_results_topic


def test_a_model_without_thresholds_judges_nothing() -> None:
    uncalibrated = frame(score=0.1)
    model = FakeModel(Thresholds(classification=0.5, segmentation=0.5))
    model.thresholds = None  # type: ignore[assignment]
    uncalibrated.route = Route("line/a", model, ModelReference(name="m", version="1", digest="0" * 64), None, 1)
    message = decode(DLResultMessage, encoder().encode(uncalibrated).result.value)
    assert (message.status, message.reason, message.anomaly_class_id) == ("no_model", "uncalibrated", 1)
    assert uncalibrated.refusal is not None
    assert uncalibrated.refusal.detail == "model brightness has no thresholds"


@pytest.mark.parametrize(("ahead_us", "status"), [(0, "inspected"), (1, "expired")])
def test_a_picture_that_is_judged_before_its_capture_gets_no_verdict(ahead_us: int, status: str) -> None:
    clock = FakeClock()
    early = frame(identity=IDENTITY._replace(captured_at=clock.wall_us() + ahead_us), score=0.1)
    early.deadline_at = clock.wall_us() + 2_000_000
    outgoing = encoder(clock=clock).encode(early)
    assert outgoing.status == status
    if ahead_us:
        assert (outgoing.reason, outgoing.anomaly_class, outgoing.deadletter) == ("captured_in_future", "nok", None)


@pytest.mark.parametrize("refusal", [None, Refusal("failed", "device")])
def test_a_heartbeat_goes_to_its_own_topic_with_the_score_that_it_must_have_and_leaves_no_letter(
    refusal: Refusal | None,
) -> None:
    beat = frame(score=0.25)
    beat.camera, beat.expected_score, beat.refusal = "heartbeat/line/a", 0.125, refusal
    outgoing = encoder().encode(beat)
    record = outgoing.result
    assert (record.topic, record.key) == (TopicSettings().heartbeats_topic, b"heartbeat/line/a")
    assert expected_score_from_headers(record.headers) == 0.125
    message = decode(DLResultMessage, record.value)
    assert dict(record.headers)["result_id"] == message.result_id.encode()
    assert message.status == (refusal.status if refusal else "inspected")
    assert outgoing.deadletter is None


def test_a_result_hands_the_trace_of_its_frame_on() -> None:
    traced = frame(score=0.1)
    traced.trace = TraceContext("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", is_sampled=True)
    assert trace_from_headers(encoder().encode(traced).result.headers) == traced.trace
    assert trace_from_headers(encoder().encode(frame(score=0.1)).result.headers) is None


def shadow_of(
    outcome: DLResult | Refusal, sample: DLSample | Refusal | None = None, **options: Any
) -> tuple[ProducedRecord, ShadowResultMessage, str]:
    """What is sent of a frame that a model on trial scored so, its message, and why it says nothing."""
    judged = frame()
    assert judged.route is not None
    assert judged.sample is not None
    message = camera_frame("a", 3, 1_000_000, is_simulated=True)
    trial = Trial(judged.route, "line/a", message.identity, judged.source, message, 1)
    record, failure = encoder(**options).shadow(trial, judged.sample if sample is None else sample, outcome)
    return record, decode(ShadowResultMessage, record.value), failure


def test_a_model_on_trial_says_what_it_would_judge_on_a_topic_of_its_own() -> None:
    clock = FakeClock()
    heat = np.zeros((64, 64), np.float32)
    heat[:8] = 0.9
    record, message, failure = shadow_of(DLResult(0.9, heat), deployment="line-1", clock=clock)
    assert (record.topic, record.key) == (TopicSettings().shadow_topic, b"line/a")
    assert dict(record.headers) == {"role": b"shadow", "result_id": message.result_id.encode()}
    assert (failure, message.failure, message.is_simulated, message.deployment) == ("none", "none", True, "line-1")
    assert (message.identity.part_id, message.source.offset) == ("part-3", 9)
    assert message.result_id == result_id_of(message.identity, message.source), "that of the verdict that counts"
    assert (message.model.name, message.scored_at) == ("m", clock.wall_us())
    verdict = message.shadow
    assert verdict is not None
    assert (verdict.anomaly_score, verdict.anomaly_class) == (0.9, "nok")
    assert (verdict.classification_threshold, verdict.segmentation_threshold) == (0.5, 0.5)
    assert verdict.anomaly_region is not None
    assert verdict.anomaly_region.area == 8 * 64
    _, passing, _ = shadow_of(DLResult(0.1, np.zeros((64, 64), np.float32)))
    assert passing.shadow is not None
    assert (passing.shadow.anomaly_class, passing.shadow.anomaly_region, passing.deployment) == ("ok", None, None)


@pytest.mark.parametrize(
    ("sample", "outcome", "reason"),
    [
        (None, Refusal("failed", "device"), "device"),
        (Refusal("failed", "geometry"), Refusal("failed", "device"), "geometry"),
        (None, DLResult(float("nan"), np.zeros((64, 64), np.float32)), "non_finite"),
        (None, DLResult(-0.5, np.zeros((64, 64), np.float32)), "internal"),
    ],
)
def test_a_model_on_trial_that_cannot_score_says_why(
    sample: Refusal | None, outcome: DLResult | Refusal, reason: str
) -> None:
    _, message, failure = shadow_of(outcome, sample)
    assert (message.shadow, message.failure, failure) == (None, reason, reason)


def test_a_letter_carries_the_value_where_asked_and_short_enough() -> None:
    kept = encoder(keep_value=True).refused(frame(), Refusal("failed", "geometry")).deadletter
    longest = encoder(keep_value=True).refused(frame(value=bytes(100)), Refusal("failed", "geometry")).deadletter
    long = encoder(keep_value=True).refused(frame(value=bytes(101)), Refusal("failed", "geometry")).deadletter
    assert kept is not None
    assert longest is not None
    assert long is not None
    assert decode(DeadLetter, kept.value).value == b"value"
    assert decode(DeadLetter, longest.value).value == bytes(100)
    assert decode(DeadLetter, long.value).value is None


def test_topics_may_be_by_camera_but_strangers_make_up_none() -> None:
    topics = TopicSettings(results="{prefix}.results.{line_id}.{camera_id}")
    known = encoder(topics=topics).encode(frame(score=0.1)).result.topic
    stranger = encoder(topics=topics).refused(frame(known=False), Refusal("no_model", "unknown_camera")).result.topic
    assert (known, stranger) == ("inspection.results.line.a", "inspection.results.unknown.unknown")


def test_a_frame_that_is_not_named_completely_is_undecodable_whatever_else_is_wrong() -> None:
    partly = Identity("line", "a", None, 3, 1_000_000)
    message = decode(
        DLResultMessage, encoder().refused(frame(identity=partly), Refusal("no_model", "unknown_camera")).result.value
    )
    assert (message.status, message.reason) == ("undecodable", "malformed")


def striped(*, rows: int, size: int = 64) -> Frame:
    """A frame whose map passes in every other one of its first `rows` rows: that many runs in each column, as many components."""
    judged = frame(score=0.9)
    judged.sample = DLSample(np.zeros((size, size), np.uint8), size, size, 1)
    heat = np.zeros((size, size), np.float32)
    heat[:rows:2] = 0.9
    judged.result = DLResult(0.9, heat)
    return judged


def region_of(record: ProducedRecord) -> RegionMessage | None:
    return decode(DLResultMessage, record.value).anomaly_region


def test_a_region_tells_its_pixels_and_the_largest_components() -> None:
    region = region_of(encoder().encode(striped(rows=8)).result)
    assert region is not None
    assert (region.width, region.height, region.area, region.num_components) == (64, 64, 4 * 64, 4)
    assert [component.area for component in region.components] == [64] * 4
    assert not region.region_truncated
    many = region_of(encoder().encode(striped(rows=600, size=600)).result)
    assert many is not None
    assert (len(many.components), many.num_components) == (256, 300)


def test_a_region_code_that_is_too_long_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    region = region_of(encoder().encode(striped(rows=8)).result)
    assert region is not None
    assert region.counts is not None
    monkeypatch.setattr("inspector.stages.encode.MAX_RLE_BYTES", len(region.counts))
    assert region_of(encoder().encode(striped(rows=8)).result) == region
    monkeypatch.setattr("inspector.stages.encode.MAX_RLE_BYTES", len(region.counts) - 1)
    left = region_of(encoder().encode(striped(rows=8)).result)
    assert left == region.model_copy(update={"counts": None, "region_truncated": True})


def test_a_nok_picture_without_a_pixel_over_its_threshold_has_no_region() -> None:
    assert region_of(encoder().encode(frame(score=0.9)).result) is None


def test_what_is_too_large_for_the_broker_loses_its_bulk_and_not_its_verdict() -> None:
    encoding = encoder(keep_value=True)
    letter = encoding.refused(frame(), Refusal("failed", "geometry")).deadletter
    assert letter is not None
    smaller = encoding.smaller(letter)
    assert smaller is not None
    assert decode(DeadLetter, smaller.value).value is None
    assert encoding.smaller(smaller) is None

    assert encoding.smaller(encoding.encode(frame(score=0.9)).result) is None
    bulky = encoding.encode(striped(rows=8)).result
    slim = encoding.smaller(bulky)
    assert slim is not None
    assert (slim.topic, slim.key, slim.headers) == (bulky.topic, bulky.key, bulky.headers)
    assert encoding.smaller(slim) is None
    result = decode(DLResultMessage, slim.value)
    assert result.anomaly_class_id == 1
    assert result.anomaly_region is not None
    assert (result.anomaly_region.counts, result.anomaly_region.region_truncated) == (None, True)


@pytest.mark.parametrize("score", [0.1, None])
def test_every_result_says_which_deployment_wrote_it(score: float | None) -> None:
    one = frame(score=score)
    one.refusal = None if score is not None else Refusal("failed", "internal")
    record = encoder(deployment="line-1").encode(one).result
    assert decode(DLResultMessage, record.value).deployment == "line-1"
    assert dict(record.headers)["deployment"] == b"line-1"
    nameless = encoder().encode(frame(score=0.1)).result
    assert "deployment" not in dict(nameless.headers)
