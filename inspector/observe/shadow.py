"""Metrics of models on trial: which one scores each camera, and what happened to the frames that it was offered."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge

from schemas import ModelReference


class ShadowMetrics:
    """One set of series for each configured camera, and one model for each. One thread may show, any may read."""

    def __init__(self, registry: CollectorRegistry, cameras: Iterable[str]) -> None:
        """Register the series; the counters are there from the start."""
        self._scored = Counter(
            "inspector_shadow_scored", "Frames that a model on trial has scored", ["camera"], registry=registry
        )
        self._shed = Counter(
            "inspector_shadow_shed",
            "Frames that a model on trial did not score because the line needed the device, there was no room or the picture cannot be decoded, or whose score was not sent",
            ["camera"],
            registry=registry,
        )
        self._failed = Counter(
            "inspector_shadow_failed",
            "Frames that a model on trial could not score; it would reject them if it judged",
            ["camera"],
            registry=registry,
        )
        self._in_use = Gauge(
            "inspector_shadow_in_use",
            "1 for the model that is on trial at a camera; no series without one",
            ["camera", "model", "version", "digest"],
            registry=registry,
        )
        self._shown: dict[str, ModelReference] = {}
        for camera in cameras:
            for counter in (self._scored, self._shed, self._failed):
                counter.labels(camera)

    def scored(self, camera: str) -> None:
        """A frame of a camera was scored."""
        self._scored.labels(camera).inc()

    def shed(self, camera: str, frames: int = 1) -> None:
        """So many frames were not."""
        self._shed.labels(camera).inc(frames)

    def failed(self, camera: str) -> None:
        """The model could not score one."""
        self._failed.labels(camera).inc()

    def show(self, camera: str, model: ModelReference | None) -> None:
        """Show what is on trial at a camera now."""
        before = self._shown.get(camera)
        if model == before:
            return
        if before is not None:
            self._in_use.remove(camera, before.name, before.version, before.digest)
            del self._shown[camera]
        if model is not None:
            self._in_use.labels(camera, model.name, model.version, model.digest).set(1)
            self._shown[camera] = model
