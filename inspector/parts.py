"""What the pipeline is built from: connections to the outside, and threads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from inspector.bus.ports import FrameConsumer, ResultProducer
from inspector.inflight.registry import Registry
from inspector.loop.clock import Clock
from inspector.loop.workers import Workers
from inspector.observe.metrics import Metrics
from inspector.stages.score import Engine
from inspector.stages.shadow import ShadowParts
from inspector.store.pictures import PictureStore
from inspector.tracing.tracer import Tracer


@dataclass(frozen=True, slots=True)
class Parts:
    """All of it, put together by `service`."""

    consumer: FrameConsumer
    producer: ResultProducer
    registry: Registry
    store: PictureStore
    workers: Workers
    engine: Engine
    metrics: Metrics
    tracer: Tracer
    clock: Clock
    shadow: ShadowParts | None
    """None where releases are off: no model can be on trial."""
    on_crash: Callable[[BaseException], None]
    """Told of an error in a callback of the loop, where asyncio would only log it and the service would hang."""
