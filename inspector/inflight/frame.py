"""A frame inside the service, from the record that was read to the records that are sent, and the reasons to refuse it."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import NamedTuple

from inspector.anomaly.types import DLResult, DLSample
from inspector.bus.ports import ProducedRecord
from inspector.inflight.budget import Reservation
from inspector.inflight.lease import Lease
from inspector.inflight.route import Model, Route
from inspector.observe.metrics import AnomalyClass, Stage
from inspector.store.allowed import AllowedPlace
from schemas import CameraFrame, Identity, Reason, RecordSource, Status, TraceContext


class Refusal(NamedTuple):
    """Why a frame gets the verdict `nok` unseen."""

    status: Status
    reason: Reason
    detail: str = ""


@dataclass(slots=True, eq=False)
class Frame:
    """One record and everything that the stages found out about it.

    It belongs to the event loop; a worker or a device thread has it only between being given it and handing it back.
    Large parts are dropped as soon as no later stage needs them.
    """

    lease: Lease
    source: RecordSource
    key: bytes | None
    value: bytes | None
    identity: Identity
    camera: str
    """`line_id/camera_id`, or `topic/partition` where the camera is unknown: the queue in which it keeps its order."""
    deadline_at: int | None
    deadline_s: float
    reservation: Reservation
    is_simulated: bool = False
    expected_score: float | None = None
    """Of a heartbeat: the score that its picture had when its model was written; None: the frame is of a camera."""
    message: CameraFrame | None = None
    route: Route | None = None
    decoding_bytes: int = 0
    """What its decoding takes at most, and its map of scores."""
    map_bytes: int = 0
    """That map alone, which is there in the end beside the picture."""
    is_heavy: bool = False
    """Whether decoding it takes so long that it must not keep all workers from the others."""
    claim: AllowedPlace | None = None
    """Where its picture lies, where it does not carry it."""
    refusal: Refusal | None = None
    sample: DLSample | None = None
    result: DLResult | None = None
    batch_size: int | None = None
    """With how many frames it was scored, itself included; None before that."""
    trace: TraceContext | None = None
    """Its place among traces as its result hands it on; None: it belongs to no trace."""
    parent_span_id: str | None = None
    """The sender's span in that trace, where the frame has one of its own."""
    stage: Stage | None = "queue"
    """Where it is; None once it has left for good."""
    entered_s: float = 0.0
    """When it entered the stage that it is in."""
    stage_seconds: dict[str, float] = field(default_factory=dict)
    number: int = field(default_factory=itertools.count().__next__)
    """Grows with every frame that is admitted: the order in which a camera's verdicts leave."""

    @property
    def is_heartbeat(self) -> bool:
        """Whether it is the model's own picture, about no part."""
        return self.expected_score is not None

    @property
    def model(self) -> Model | None:
        """Frames of one model may share a batch."""
        return None if self.route is None else self.route.model

    @property
    def weight(self) -> float:
        """Of its camera, see `Route`."""
        return 1.0 if self.route is None else self.route.weight

    @property
    def freshest_first(self) -> bool:
        """Whether newer frames of its camera supersede it while it waits."""
        return self.route is not None and self.route.freshest_first

    @property
    def live(self) -> bool:
        """Whether it is still worth any work: neither answered nor given up, and its lease holds."""
        return self.stage is not None and not self.lease.ended

    @property
    def after_score_s(self) -> float | None:
        """The seconds from its score until its verdict was acknowledged, but for those that it waited for others; None if it has none."""
        spent = self.stage_seconds
        return spent.get("encode", 0.0) + spent.get("send", 0.0) if "score" in spent else None

    def scored(self, outcome: DLResult | Refusal, *, batch_size: int) -> None:
        """Take what the device found, in a batch of `batch_size` frames."""
        self.batch_size = batch_size
        if isinstance(outcome, Refusal):
            self.refusal = outcome
        else:
            self.result = outcome

    def enter(self, stage: Stage | None, now_s: float) -> float:
        """Leave its stage for another, or for good; return the seconds that it spent in the one that it leaves."""
        seconds = max(0.0, now_s - self.entered_s)
        if self.stage is not None:
            # A new dictionary: a worker may be writing a message with the one before.
            spent = self.stage_seconds.get(self.stage, 0.0) + seconds
            self.stage_seconds = {**self.stage_seconds, self.stage: spent}
        self.stage, self.entered_s = stage, now_s
        return seconds


class Trial(NamedTuple):
    """A frame as a model on trial sees it: it owes nobody an answer, and holds nothing of the line's."""

    route: Route
    """To the model on trial."""
    camera: str
    identity: Identity
    source: RecordSource
    message: CameraFrame
    size_bytes: int


@dataclass(slots=True, eq=False)
class Outgoing:
    """A frame's verdict, ready to be sent; done when the broker has acknowledged every record of it."""

    frame: Frame
    status: Status
    reason: Reason
    result: ProducedRecord
    deadletter: ProducedRecord | None = None
    unacknowledged: int = 1
    anomaly_class: AnomalyClass = "nok"
    score_ratio: float | None = None
    """Its score over its threshold; None where the frame was not inspected, or its verdict came too late."""
    is_retried: bool = False
    """Whether a send of it, or one that it had to wait for, failed; its time tells nothing of those to come."""

    @property
    def after_score_s(self) -> float | None:
        """The seconds from the frame's score until its acknowledgement, see `Frame`; None where they tell nothing of the next."""
        return None if self.is_retried else self.frame.after_score_s

    def say_instead(self, other: Outgoing) -> None:
        """Take the verdict of another answer about the same frame; what it owes stays as it is."""
        self.status, self.reason, self.result = other.status, other.reason, other.result
        self.anomaly_class, self.score_ratio = other.anomaly_class, other.score_ratio

    @property
    def size_bytes(self) -> int:
        """What it holds until it is acknowledged."""
        return self.result.size_bytes + (0 if self.deadletter is None else self.deadletter.size_bytes)
