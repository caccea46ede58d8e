"""Messages for tests, valid unless a test changes them."""

from __future__ import annotations

from typing import Any

from schemas import DLResultMessage, RecordSource, ShadowResultMessage, ShadowVerdict, result_id_of_frame

MODEL = {"name": "cookie", "version": "1", "digest": "a" * 64}


def message(**changes: Any) -> DLResultMessage:
    """An inspected `ok` with these fields changed; its id follows the identity."""
    captured_at = 1_700_000_000_000_000
    identity: dict[str, Any] = {
        "line_id": "L1",
        "camera_id": "C1",
        "part_id": "part-1",
        "seq": 5,
        "captured_at": captured_at,
    }
    identity |= {name: changes[name] for name in identity.keys() & changes.keys()}
    fields: dict[str, Any] = {
        **identity,
        "result_id": result_id_of_frame(**identity),
        "source": RecordSource(topic="inspection.frames", partition=0, offset=1),
        "status": "inspected",
        "reason": "none",
        "anomaly_score": 0.25,
        "anomaly_class": "ok",
        "anomaly_class_id": 0,
        "classification_threshold": 0.5,
        "segmentation_threshold": 0.6,
        "model": MODEL,
        "deadline_at": captured_at + 1_000_000,
        "produced_at": captured_at + 42_000,
    }
    return DLResultMessage.model_validate(fields | changes)


def refused(reason: str = "corrupt") -> DLResultMessage:
    """A verdict without a score."""
    return message(
        status="undecodable", reason=reason, anomaly_score=None, anomaly_class="nok", anomaly_class_id=1,
        classification_threshold=None, segmentation_threshold=None, model=None,
    )  # fmt: skip


def shadow_of(
    judged: DLResultMessage, score: float | None, *, digest: str = "b" * 64, reason: str = "device"
) -> ShadowResultMessage:
    """What a model on trial says of the same frame, with a threshold of 0.5; None: it fails, for `reason`."""
    verdict = None
    if score is not None:
        verdict = ShadowVerdict(
            anomaly_score=score,
            anomaly_class="nok" if score >= 0.5 else "ok",
            classification_threshold=0.5,
            segmentation_threshold=0.5,
        )
    return ShadowResultMessage.model_validate(
        {
            "result_id": judged.result_id,
            "source": judged.source,
            **judged.identity._asdict(),
            "role": "shadow",
            "shadow": verdict,
            "failure": "none" if verdict else reason,
            "model": MODEL | {"name": "tried", "digest": digest},
            "scored_at": judged.produced_at,
        }
    )
