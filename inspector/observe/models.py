"""Metrics about what judges each camera: its model, since when, its threshold, and its time budget."""

from __future__ import annotations

from typing import NamedTuple

from prometheus_client import CollectorRegistry, Gauge


class Judge(NamedTuple):
    """What judges a camera."""

    model: str
    version: str
    digest: str
    """SHA-256 of the manifest of the model's bundle."""
    classification_threshold: float
    """The score from which on a frame is nok."""
    budget_s: float
    """How long after its capture a frame's verdict must be there."""


class ModelMetrics:
    """One model for each configured camera, so the series are bounded by the configuration. One thread may show, any may read."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Register the series; a camera has them from `show` on."""
        self._shown: dict[str, Judge] = {}
        self._in_use = Gauge(
            "inspector_model_in_use",
            "1 for the model that scores a camera",
            ["camera", "model", "version", "digest"],
            registry=registry,
        )
        self._since = Gauge(
            "inspector_model_since_timestamp_seconds",
            "Since when this process has scored a camera by its present model, in seconds since 1970",
            ["camera"],
            registry=registry,
        )
        self._threshold = Gauge(
            "inspector_classification_threshold_ratio",
            "The anomaly score, 0 to 1, from which on a frame of a camera is nok",
            ["camera"],
            registry=registry,
        )
        self._budget = Gauge(
            "inspector_budget_seconds",
            "Time budget of a camera: how long after a frame's capture its verdict must be there, unless the frame says otherwise",
            ["camera"],
            registry=registry,
        )

    def show(self, camera: str, judge: Judge, now_s: float) -> None:
        """Show what judges a configured camera now; does nothing where it is shown already, so it may be called again and again.

        Args:
            camera: `line_id/camera_id`.
            judge: what judges it; the model before it disappears from the metrics.
            now_s: the time in seconds since 1970, which a model that is new here has judged since.
        """
        before = self._shown.get(camera)
        if before == judge:
            return
        identity = (judge.model, judge.version, judge.digest)
        if before is None or before[:3] != identity:
            if before is not None:
                self._in_use.remove(camera, *before[:3])
            self._in_use.labels(camera, *identity).set(1)
            self._since.labels(camera).set(now_s)
        self._threshold.labels(camera).set(judge.classification_threshold)
        self._budget.labels(camera).set(judge.budget_s)
        self._shown[camera] = judge
