"""Turns verdicts into records: threshold, region, the message with its headers, and the dead letter. On a worker thread."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence

from inspector.anomaly.errors import UncalibratedError
from inspector.anomaly.types import AnomalyRegion, DLResult, DLSample
from inspector.anomaly.verdict.threshold import threshold_dl_anomaly_results
from inspector.bus.ports import ProducedRecord
from inspector.inflight.frame import Frame, Outgoing, Refusal, Trial
from inspector.inflight.route import Route
from inspector.loop.clock import Clock
from inspector.observe.fields import about
from inspector.settings.topics import TopicSettings
from schemas import (
    MAX_RLE_BYTES,
    ComponentMessage,
    DeadLetter,
    DLResultMessage,
    Reason,
    RegionMessage,
    ShadowResultMessage,
    ShadowVerdict,
    decode,
    encode,
    heartbeat_headers,
    result_headers,
    result_id_of,
    shadow_headers,
)

log = logging.getLogger(__name__)

UNKNOWN = "unknown"
"""Stands for a key where neither the camera nor the record's own key is known."""


class Encoder:
    """Makes the records of a frame's verdict. Thread safe; never raises for what is wrong with a frame."""

    def __init__(
        self,
        topics: TopicSettings,
        *,
        keep_value: bool,
        max_deadletter_bytes: int,
        clock: Clock,
        deployment: str | None = None,
    ) -> None:
        """Send to `topics`.

        Args:
            topics: names of the topics.
            keep_value: whether a dead letter carries the record's value, where that is up to `max_deadletter_bytes` long.
            max_deadletter_bytes: see `keep_value`.
            clock: for `produced_at`.
            deployment: who writes, as results say it.
        """
        self._topics = topics
        self._keep_value = keep_value
        self._max_deadletter_bytes = max_deadletter_bytes
        self._clock = clock
        self._deployment = deployment

    def encode(self, frame: Frame) -> Outgoing:
        """Return the records of a frame that has either a `refusal` or a `sample` and a `result`."""
        if frame.refusal is None:
            try:
                return self._inspected(frame)
            except UncalibratedError as exc:
                frame.refusal = Refusal("no_model", "uncalibrated", str(exc))
            except Exception as exc:  # noqa: BLE001 told with its stack, by a logger that is bound to the frame
                about(log, frame).exception("encoding a verdict failed unexpectedly")
                frame.refusal = Refusal("failed", "internal", f"{type(exc).__name__}: {exc}")
        return self.refused(frame, frame.refusal)

    def refused(self, frame: Frame, refusal: Refusal) -> Outgoing:
        """Return the records of a frame that was not inspected, or whose verdict came too late."""
        identity = frame.identity
        if refusal.status != "undecodable" and not identity.is_complete:
            refusal = Refusal("undecodable", "malformed", refusal.detail)
        frame.refusal = refusal
        message = DLResultMessage(
            result_id=result_id_of(identity, frame.source),
            source=frame.source,
            **identity._asdict(),
            status=refusal.status,
            reason=refusal.reason,
            anomaly_class="nok",
            anomaly_class_id=1,
            deadline_at=frame.deadline_at,
            produced_at=self._clock.wall_us(),
            model=None if frame.route is None else frame.route.reference,
            stage_seconds=frame.stage_seconds,
            is_simulated=frame.is_simulated,
            deployment=self._deployment,
        )
        deadletter = self._deadletter(frame, refusal)
        return Outgoing(
            frame,
            refusal.status,
            refusal.reason,
            self._result(frame, message),
            deadletter,
            1 + (deadletter is not None),
        )

    def shadow(
        self, trial: Trial, sample: DLSample | Refusal, outcome: DLResult | Refusal
    ) -> tuple[ProducedRecord, Reason]:
        """Return the record of what a model on trial says of a frame, and why it says nothing (`none` where it does)."""
        verdict, failure = None, "internal"  # type: tuple[ShadowVerdict | None, Reason]
        try:
            if isinstance(sample, Refusal):
                failure = sample.reason
            elif isinstance(outcome, Refusal):
                failure = outcome.reason
            elif not math.isfinite(outcome.anomaly_score):
                failure = "non_finite"
            else:
                verdict, failure = _shadow_verdict(trial.route, sample, outcome), "none"
        except Exception:  # told with its stack; it is the candidate's fault, and nobody waits for it
            log.exception("encoding what a model on trial says failed unexpectedly")
        message = ShadowResultMessage(
            result_id=result_id_of(trial.identity, trial.source),
            source=trial.source,
            **trial.identity._asdict(),
            role="shadow",
            shadow=verdict,
            failure=failure,
            model=trial.route.reference,
            scored_at=self._clock.wall_us(),
            is_simulated=trial.message.is_simulated,
            deployment=self._deployment,
        )
        key = trial.camera.encode()
        return ProducedRecord(self._topics.shadow_topic, key, encode(message), shadow_headers(message)), failure

    def smaller(self, record: ProducedRecord) -> ProducedRecord | None:
        """Return a record again without what can be left out of it; None if there is nothing of the kind.

        That is the value in a dead letter, and the run-length code in a result's region. The verdict stays.
        """
        if record.topic == self._topics.deadletters_topic:
            letter = decode(DeadLetter, record.value)
            return (
                None
                if letter.value is None
                else record._replace(value=encode(letter.model_copy(update={"value": None})))
            )
        result = decode(DLResultMessage, record.value)
        region = result.anomaly_region
        if region is None or region.counts is None:
            return None
        shorter = region.model_copy(update={"counts": None, "region_truncated": True})
        return record._replace(value=encode(result.model_copy(update={"anomaly_region": shorter})))

    def _inspected(self, frame: Frame) -> Outgoing:
        route, sample, result = frame.route, frame.sample, frame.result
        if route is None or sample is None or result is None:
            raise ValueError("a frame without route, sample or result reached the encoder")
        if not math.isfinite(result.anomaly_score):
            return self.refused(frame, Refusal("failed", "non_finite", f"the score is {result.anomaly_score}"))
        produced_at = self._clock.wall_us()
        if frame.identity.captured_at is not None and produced_at < frame.identity.captured_at:
            # Our clock is behind the camera's, or the camera's ahead: how old the picture is, nobody knows.
            behind_s = (frame.identity.captured_at - produced_at) / 1e6
            return self.refused(
                frame, Refusal("expired", "captured_in_future", f"judged {behind_s:.3f} s before its capture")
            )
        _judge(route, sample, result)
        message = self._message(frame, result, produced_at)
        return Outgoing(
            frame,
            "inspected",
            "none",
            self._result(frame, message),
            anomaly_class=message.anomaly_class,
            score_ratio=result.anomaly_score / message.classification_threshold
            if message.classification_threshold
            else None,
        )

    def _message(self, frame: Frame, result: DLResult, produced_at: int) -> DLResultMessage:
        if result.anomaly_class is None or result.anomaly_class_id is None:
            raise ValueError("the verdict has no class")
        identity = frame.identity
        return DLResultMessage(
            result_id=result_id_of(identity, frame.source),
            source=frame.source,
            **identity._asdict(),
            status="inspected",
            reason="none",
            anomaly_score=result.anomaly_score,
            anomaly_class=result.anomaly_class,
            anomaly_class_id=result.anomaly_class_id,
            anomaly_region=_region(result.anomaly_region),
            classification_threshold=result.classification_threshold,
            segmentation_threshold=result.segmentation_threshold,
            deadline_at=frame.deadline_at,
            produced_at=produced_at,
            model=None if frame.route is None else frame.route.reference,
            stage_seconds=frame.stage_seconds,
            is_simulated=frame.is_simulated,
            deployment=self._deployment,
        )

    def _result(self, frame: Frame, message: DLResultMessage) -> ProducedRecord:
        if frame.expected_score is not None:
            headers = heartbeat_headers(message, frame.expected_score)
            return ProducedRecord(self._topics.heartbeats_topic, self._key(frame), encode(message), headers)
        identity = frame.identity
        # A camera that is not configured must not make up names of topics.
        if frame.route is None or identity.line_id is None or identity.camera_id is None:
            topic = self._topics.stray_results_topic
        else:
            topic = self._topics.results_topic(identity.line_id, identity.camera_id)
        return ProducedRecord(topic, self._key(frame), encode(message), result_headers(message, frame.trace))

    def _deadletter(self, frame: Frame, refusal: Refusal) -> ProducedRecord | None:
        status = refusal.status
        if status == "inspected" or status == "expired" or frame.is_heartbeat:  # noqa: PLR1714 narrows the type
            return None
        value = frame.value or b""
        letter = DeadLetter.of_record(
            source=frame.source,
            key=frame.key,
            value=value,
            identity=frame.identity,
            status=status,
            reason=refusal.reason,
            detail=refusal.detail,
            produced_at=self._clock.wall_us(),
            keep_value=self._keep_value and len(value) <= self._max_deadletter_bytes,
        )
        key = self._key(frame) if frame.key is None else frame.key
        return ProducedRecord(self._topics.deadletters_topic, key, encode(letter), [])

    @staticmethod
    def _key(frame: Frame) -> bytes:
        identity = frame.identity
        if identity.line_id is not None and identity.camera_id is not None:
            return frame.camera.encode()
        return frame.key or UNKNOWN.encode()


def _judge(route: Route, sample: DLSample, result: DLResult) -> None:
    """Add class, region and thresholds to a result.

    Raises:
        UncalibratedError: The model has no thresholds.
    """
    if route.model.thresholds is None:
        raise UncalibratedError(f"model {route.model.name} has no thresholds")
    threshold_dl_anomaly_results(
        route.model.thresholds, sample, result, classification_threshold=route.classification_threshold
    )


def _shadow_verdict(route: Route, sample: DLSample, result: DLResult) -> ShadowVerdict:
    _judge(route, sample, result)
    if result.anomaly_class is None or result.classification_threshold is None or result.segmentation_threshold is None:
        raise ValueError("the verdict has no class")
    return ShadowVerdict(
        anomaly_score=result.anomaly_score,
        anomaly_class=result.anomaly_class,
        anomaly_region=_region(result.anomaly_region),
        classification_threshold=result.classification_threshold,
        segmentation_threshold=result.segmentation_threshold,
    )


def _region(region: AnomalyRegion | None) -> RegionMessage | None:
    """Return the wire form; None where no pixel reaches the threshold. A code that is too long is left out.

    Components are at most as many as the wire allows already: `inspector.anomaly.verdict.region` keeps the largest.
    """
    if region is None or region.area == 0:
        return None
    truncated = len(region.counts) > MAX_RLE_BYTES
    components: Sequence[ComponentMessage] = [
        ComponentMessage(x=c.x, y=c.y, width=c.width, height=c.height, area=c.area, max_score=c.max_score)
        for c in region.components
    ]
    return RegionMessage(
        width=region.width,
        height=region.height,
        counts=None if truncated else region.counts,
        region_truncated=truncated,
        area=region.area,
        num_components=region.num_components,
        components=tuple(components),
    )
