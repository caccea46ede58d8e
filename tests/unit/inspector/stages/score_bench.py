"""An engine between a model of the tests and a loop that runs when asked."""

from __future__ import annotations

import queue
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inspector.anomaly.types import Thresholds
from inspector.inflight.frame import Refusal
from inspector.stages.score import Engine, Outcome
from tests.fakes import FakeModel

Image = NDArray[np.uint8]


class Loop:
    """Stands for the event loop: runs what the device thread posts, when the test asks."""

    def __init__(self) -> None:
        self._posted: queue.Queue[Callable[[], None]] = queue.Queue()

    def post(self, function: Callable[[], None]) -> None:
        self._posted.put(function)

    @property
    def waiting(self) -> int:
        return self._posted.qsize()

    def run_one(self) -> None:
        self._posted.get(timeout=30)()


class Bench:
    """An engine, its loop, and what came out of it."""

    def __init__(self, threads: int = 1, overlap: int = 1, *, start: bool = True) -> None:
        self.loop = Loop()
        self.crashes: list[BaseException] = []
        self.retries = 0
        self.rooms: list[tuple[bool, int | None]] = []
        self.outcomes: list[list[Outcome]] = []
        self.engine = Engine(
            threads=threads,
            overlap=overlap,
            post=self.loop.post,
            on_crash=self.crashes.append,
            on_retry=self._retried,
            on_room=lambda is_wanting, limit: self.rooms.append((is_wanting, limit)),
        )
        if start:
            self.engine.start()

    def _retried(self) -> None:
        self.retries += 1

    def until_done(self, batches: int) -> None:
        """Run what is posted until so many batches have their outcomes, or the device is lost."""
        while len(self.outcomes) < batches and not self.crashes:
            self.loop.run_one()

    def submit(self, model: Any, *levels: int) -> None:
        self.engine.submit(model, [image(level) for level in levels], self.outcomes.append)


def image(level: int) -> Image:
    return np.full((4, 4), level, np.uint8)


def model() -> FakeModel:
    return FakeModel(Thresholds(classification=0.5, segmentation=0.5))


def scores(outcomes: Sequence[Outcome]) -> list[float | str]:
    return [o.reason if isinstance(o, Refusal) else o.anomaly_score * 256 for o in outcomes]
