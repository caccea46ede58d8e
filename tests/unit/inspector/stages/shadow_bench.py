"""The stage of models on trial between a line that is idle or not, and a device that answers when asked."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry
from typing_extensions import override

from inspector.anomaly.types import DLResult, DLSample, Thresholds
from inspector.bus.ports import ProducedRecord
from inspector.inflight.budget import FRAME_OVERHEAD_BYTES, Budget
from inspector.inflight.frame import Frame, Refusal, Trial
from inspector.inflight.route import Model, Route
from inspector.loop.workers import Workers
from inspector.observe.shadow import ShadowMetrics
from inspector.stages.shadow import ShadowParts, ShadowStage
from schemas import ModelReference, Reason
from tests.fakes import FakeBroker, FakeClock, FakeModel, FakeProducer
from tests.frames import camera_frame, png
from tests.inflight import inflight_frame

Done = Callable[[list[DLResult | Refusal]], None]

PICTURE_BYTES = FRAME_OVERHEAD_BYTES + len(png())


class Hands(Workers):
    """Threads whose jobs run when the test says so."""

    def __init__(self) -> None:
        super().__init__(1, lambda function: function(), lambda _exc: None)
        self.jobs: deque[tuple[Callable[[], Any], Callable[[Any], None]]] = deque()

    @override
    def submit(self, job: Callable[[], Any], done: Callable[[Any], None], *, urgent: bool = False) -> None:
        self.jobs.append((job, done))

    def run_all(self) -> None:
        while self.jobs:
            job, done = self.jobs.popleft()
            done(job())


class Scene:
    """A stage between a line that is idle or not, and a device that answers when asked."""

    def __init__(self, *, max_bytes: int = 1 << 20, budget_s: float = 1.0) -> None:
        self.clock, self.hands = FakeClock(), Hands()
        self.idle = True
        self.trials = {camera: route(camera) for camera in ("line/a", "line/b")}
        self.at_device: deque[tuple[Model, Done]] = deque()
        self.encoded: list[tuple[Trial, Reason]] = []
        self.ended: list[str] = []
        self.registry = CollectorRegistry()
        self.broker = FakeBroker({"shadow": 1})
        self.producer = FakeProducer(self.broker)
        metrics = ShadowMetrics(self.registry, list(self.trials))
        self.stage = ShadowStage(
            ShadowParts(self.hands, self.producer, metrics, self._end),
            max_bytes=max_bytes,
            find=self.trials.get,
            is_idle=lambda: self.idle,
            shortest_budget_s=lambda: budget_s,
            decode=self._decode,
            encode=self._encode,
            device=self,
            wake=lambda: None,
            clock=self.clock,
        )
        self.undecodable: Refusal | None = None

    def _end(self, ended: Route, why: str) -> None:
        self.ended.append(why)
        self.trials.pop(ended.camera, None)

    def _decode(self, _trial: Trial) -> DLSample | Refusal:
        if self.undecodable is not None:
            return self.undecodable
        return DLSample(np.zeros((4, 4), np.uint8), original_width=4, original_height=4, channels=1)

    def _encode(
        self, trial: Trial, _sample: DLSample | Refusal, outcome: DLResult | Refusal
    ) -> tuple[ProducedRecord, Reason]:
        reason: Reason = outcome.reason if isinstance(outcome, Refusal) else "none"
        self.encoded.append((trial, reason))
        return ProducedRecord("shadow", trial.camera.encode(), b"said", []), reason

    def try_out(self, model: Model, image: NDArray[np.uint8], done: Done) -> None:
        assert image.shape == (4, 4)
        self.at_device.append((model, done))

    def answer(self, outcome: DLResult | Refusal | None = None, *, took_s: float = 0.0) -> None:
        """Let the device give a score, or this."""
        self.clock.advance(took_s)
        _, done = self.at_device.popleft()
        done([outcome or DLResult(anomaly_score=0.1, anomaly_image=np.zeros((4, 4), np.float32))])

    def go(self, outcome: DLResult | Refusal | None = None, *, took_s: float = 0.0) -> None:
        """Take one frame the whole way."""
        self.stage.start()
        self.hands.run_all()
        self.stage.start()
        if self.at_device:
            self.answer(outcome, took_s=took_s)
        self.hands.run_all()

    def offer(self, *seqs: int, camera: str = "a") -> None:
        self.stage.offer([frame(camera, seq) for seq in seqs])

    def count(self, name: str, camera: str = "line/a") -> float:
        return self.registry.get_sample_value(f"inspector_shadow_{name}_total", {"camera": camera}) or 0


def route(camera: str) -> Route:
    model = FakeModel(Thresholds(classification=0.5, segmentation=0.5))
    return Route(camera, model, ModelReference(name="b", version="1", digest="b" * 64), None, 1_000_000)


def frame(camera: str, seq: int) -> Frame:
    made = inflight_frame(Budget(1 << 30).hold(0))
    made.message = camera_frame(camera, seq, 0)
    made.camera, made.identity = f"line/{camera}", made.message.identity
    return made
