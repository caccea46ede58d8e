"""Notices cameras whose capture times are in the future; logs this once and shows it as a metric.

A picture that was read before it was captured proves that two clocks disagree, and by how much at least. Then nobody knows how old
the camera's pictures are; other modules decide what follows for their verdicts. A camera whose clock is behind looks the same as one
whose frames take long to arrive: the histogram of offsets shows both.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection

from inspector.observe.fields import camera_fields
from inspector.observe.metrics import Metrics

log = logging.getLogger(__name__)

TOLERANCE_S = 0.01
"""How far clocks kept by NTP may be apart on a good day."""

CALM_S = 60.0
"""After so long without such a frame the clocks agree again."""


class ClockWatch:
    """Looks at the offset of every frame. Event loop only."""

    def __init__(
        self,
        metrics: Metrics,
        cameras: Collection[str],
        *,
        wall_us: Callable[[], int],
        monotonic_s: Callable[[], float],
    ) -> None:
        """Watch over the configured `cameras`; of others anybody could make up names. The rest are the two clocks of this machine."""
        self._metrics = metrics
        self._wall_us = wall_us
        self._monotonic_s = monotonic_s
        self._cameras = frozenset(cameras)
        self._ahead_at_s: dict[str, float] = {}

    def read(self, camera: str, captured_at_us: int) -> None:
        """Take note of a frame that was read now and captured, by its own word, at that time."""
        offset_s = (self._wall_us() - captured_at_us) / 1e6
        self._metrics.clock_offset(camera, offset_s)
        if camera not in self._cameras:
            return
        if offset_s < -TOLERANCE_S:
            if camera not in self._ahead_at_s:
                log.warning(
                    "the clock of %s is ahead of this machine's by at least %.3f s, so the age of its pictures is "
                    "unknown, and a verdict before their capture time is refused; synchronise both clocks (NTP or PTP)",
                    camera,
                    -offset_s,
                    extra=camera_fields(camera),
                )
                self._metrics.clock_alarm(camera, on=True)
            self._ahead_at_s[camera] = self._monotonic_s()

    def look(self) -> None:
        """End the alarm of each camera that was well for long enough, or silent; to be called a few times a second."""
        calm_s = self._monotonic_s() - CALM_S
        for camera in [camera for camera, ahead_at_s in self._ahead_at_s.items() if ahead_at_s <= calm_s]:
            log.info(
                "the clock of %s has not been ahead of this machine's for %.0f s",
                camera,
                CALM_S,
                extra=camera_fields(camera),
            )
            del self._ahead_at_s[camera]
            self._metrics.clock_alarm(camera, on=False)
