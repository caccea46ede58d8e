"""Metrics of releases: which one judges each camera, which one is wanted, and why one was refused."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge

from inspector.swap.refusal import REASONS


class ReleaseMetrics:
    """One set of series for each configured camera. Any thread may call any verb."""

    def __init__(self, registry: CollectorRegistry, cameras: Iterable[str]) -> None:
        """Register the series; every one is there from the start."""
        cameras = list(cameras)
        self._applied = Counter(
            "inspector_releases_applied", "Releases that were applied", ["camera"], registry=registry
        )
        self._refused = Counter(
            "inspector_releases_refused",
            "Releases that were not applied, by reason; each attempt counts if a release waits for the store",
            ["camera", "reason"],
            registry=registry,
        )
        self._number = Gauge(
            "inspector_release_number",
            "Number of the release that judges a camera; 0 if the settings' model judges",
            ["camera"],
            registry=registry,
        )
        self._wanted = Gauge(
            "inspector_release_wanted_number",
            "Number of the last release that was read for a camera; if it differs from inspector_release_number, the release was refused or is being loaded",
            ["camera"],
            registry=registry,
        )
        self._readable = Gauge(
            "inspector_releases_readable", "1 while the topic of releases can be read, else 0", registry=registry
        )
        for camera in cameras:
            self._applied.labels(camera)
            self._number.labels(camera)
            self._wanted.labels(camera)
            for reason in REASONS:
                self._refused.labels(camera, reason)

    def wanted(self, camera: str, number: int) -> None:
        """A release of a camera was read."""
        self._wanted.labels(camera).set(number)

    def applied(self, camera: str, number: int) -> None:
        """A camera is judged by a release from now on."""
        self._applied.labels(camera).inc()
        self._number.labels(camera).set(number)

    def refused(self, camera: str, reason: str) -> None:
        """A release was not applied."""
        self._refused.labels(camera, reason).inc()

    def readable(self, *, is_so: bool) -> None:
        """The topic of releases can be read, or not."""
        self._readable.set(is_so)
