"""What was sent and what came back, camera by camera: the demo's own book, kept from the lines that the clients print."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

INSPECTED = "inspected"


@dataclass(frozen=True)
class Sent:
    """A frame that the broker has. Times are µs UTC."""

    file: Path
    part_id: str
    captured_at: int
    result_id: str


@dataclass(frozen=True)
class Received:
    """The first verdict on a frame, as the reader printed it. Times are µs UTC.

    Attributes:
        read_at: when the reader had it: an actuator could act from then on.
        region: `anomaly_region` of the message.
    """

    result_id: str
    camera_id: str
    part_id: str
    status: str
    reason: str
    anomaly_class: str
    score: float | None
    threshold: float | None
    captured_at: int
    deadline_at: int
    read_at: int
    region: Mapping[str, Any] | None = None

    @property
    def latency_ms(self) -> float:
        """From capture to the reader."""
        return (self.read_at - self.captured_at) / 1000

    @property
    def is_on_time(self) -> bool:
        """Whether the part was inspected and the reader had the verdict before its deadline."""
        return self.status == INSPECTED and self.read_at <= self.deadline_at


@dataclass
class CameraAccount:
    """One camera's frames and first verdicts, by `result_id`."""

    sent: dict[str, Sent] = field(default_factory=dict)
    received: dict[str, Received] = field(default_factory=dict)
    duplicates: int = 0

    @property
    def missing(self) -> list[Sent]:
        """Frames without a verdict, in the order of sending."""
        return [sent for result_id, sent in self.sent.items() if result_id not in self.received]

    @property
    def answered(self) -> list[tuple[Sent, Received]]:
        """Frames with their verdicts, in the order of sending."""
        return [(sent, self.received[key]) for key, sent in self.sent.items() if key in self.received]

    @property
    def strangers(self) -> list[Received]:
        """Verdicts on frames that were not sent."""
        return [received for key, received in self.received.items() if key not in self.sent]

    def statuses(self) -> Counter[str]:
        """Count the verdicts by status."""
        return Counter(received.status for received in self.received.values())

    def count(self, anomaly_class: str) -> int:
        """Count the inspected frames of a class."""
        return sum(r.status == INSPECTED and r.anomaly_class == anomaly_class for r in self.received.values())

    def latency_ms(self, percent: float) -> float | None:
        """Return a percentile of the time from capture to the reader; None of nothing."""
        return percentile([received.latency_ms for received in self.received.values()], percent)

    def by_image(self) -> dict[Path, list[Received]]:
        """Return the inspected verdicts on each image, in the order of sending; an image without any has an empty list."""
        images: dict[Path, list[Received]] = {sent.file: [] for sent in self.sent.values()}
        for sent, received in self.answered:
            if received.status == INSPECTED:
                images[sent.file].append(received)
        return images


class Account:
    """The book of one replay. Not thread-safe: lines are handed over to the thread that keeps it."""

    def __init__(self, camera_ids: Iterable[str]) -> None:
        self.cameras = {camera_id: CameraAccount() for camera_id in camera_ids}
        self.unreadable: list[str] = []

    def take_replay_line(self, camera_id: str, line: str) -> None:
        """Enter a line of `inspector replay --json`."""
        event = json.loads(line)
        if event["event"] == "sent":
            sent = Sent(Path(event["file"]), event["part_id"], event["captured_at"], event["result_id"])
            self.cameras[camera_id].sent[sent.result_id] = sent

    def take_result_line(self, line: str, read_at: int) -> Received | None:
        """Enter a line of `inspector results --json`; return a first verdict, None for what is none."""
        event = json.loads(line)
        account = self.cameras.get(event.get("camera_id"))
        if account is None or "result_id" not in event:
            self.unreadable.append(line)
            return None
        if event["result_id"] in account.received:
            account.duplicates += 1
            return None
        received = _received(event, read_at)
        account.received[received.result_id] = received
        return received

    @property
    def num_sent(self) -> int:
        """Frames that the broker has."""
        return sum(len(camera.sent) for camera in self.cameras.values())

    @property
    def num_missing(self) -> int:
        """Frames without a verdict."""
        return sum(len(camera.missing) for camera in self.cameras.values())

    def received(self) -> list[Received]:
        """Return all first verdicts."""
        return [received for camera in self.cameras.values() for received in camera.received.values()]

    @property
    def offered_fps(self) -> float:
        """Frames a second, from the first capture to the last."""
        return _rate([sent.captured_at for camera in self.cameras.values() for sent in camera.sent.values()])

    @property
    def throughput_fps(self) -> float:
        """Verdicts a second, from the first read to the last."""
        return _rate([received.read_at for received in self.received()])


def _received(event: Mapping[str, Any], read_at: int) -> Received:
    return Received(
        result_id=event["result_id"],
        camera_id=event["camera_id"],
        part_id=event["part_id"],
        status=event["status"],
        reason=event["reason"],
        anomaly_class=event["anomaly_class"],
        score=event["anomaly_score"],
        threshold=event["classification_threshold"],
        captured_at=event["captured_at"],
        deadline_at=event["deadline_at"],
        read_at=read_at,
        region=event["anomaly_region"],
    )


def _rate(times_us: list[int]) -> float:
    """Events a second between the first and the last; 0 where there are fewer than two moments."""
    span_us = max(times_us, default=0) - min(times_us, default=0)
    return (len(times_us) - 1) / (span_us / 1e6) if span_us > 0 else 0.0


def percentile(values: list[float], percent: float) -> float | None:
    """Return a percentile, None of nothing."""
    return float(np.percentile(values, percent)) if values else None
