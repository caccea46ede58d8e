"""The encoder: what the messages say, where they go, and that nothing but a positive verdict is ok."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from inspector.anomaly.types import DLResult, DLSample, Thresholds
from inspector.bus.ports import ProducedRecord
from inspector.inflight.budget import Budget
from inspector.inflight.frame import Frame, Refusal
from inspector.inflight.lease import Lease
from inspector.inflight.route import Route
from inspector.settings.topics import TopicSettings
from inspector.stages.encode import Encoder
from schemas import DeadLetter, DLResultMessage, Identity, ModelReference, RecordSource, RegionMessage, decode
from tests.fakes import FakeClock, FakeModel

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


def test_a_frame_knows_the_refusal_that_it_is_answered_with() -> None:
    whole, partly = frame(), frame(identity=IDENTITY._replace(seq=None))
    encoder().refused(whole, Refusal("failed", "geometry", "too wide"))
    encoder().refused(partly, Refusal("failed", "geometry", "too wide"))
    assert whole.refusal == Refusal("failed", "geometry", "too wide")
    assert partly.refusal == Refusal("undecodable", "malformed", "too wide"), (
        "only frames with a whole identity can fail"
    )


def test_an_expired_frame_leaves_no_letter() -> None:
    assert encoder().refused(frame(), Refusal("expired", "late_before_send")).deadletter is None


def test_a_letter_carries_the_value_where_asked_and_short_enough() -> None:
    kept = encoder(keep_value=True).refused(frame(), Refusal("failed", "geometry")).deadletter
    long = encoder(keep_value=True).refused(frame(value=bytes(101)), Refusal("failed", "geometry")).deadletter
    assert kept is not None
    assert long is not None
    assert decode(DeadLetter, kept.value).value == b"value"
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
