"""Whether the heartbeats of all required cameras arrive. Pure: the time is an argument."""

from __future__ import annotations

from collections.abc import Iterable


class Pulse:
    """The last good heartbeat of each camera."""

    def __init__(self, cameras: Iterable[str], timeout_s: float | None) -> None:
        """Watch over these cameras; with a `timeout_s` of None nothing is ever wrong."""
        self._timeout_s = timeout_s
        self._last_s: dict[str, float | None] = dict.fromkeys(sorted(cameras) if timeout_s is not None else ())

    @property
    def is_watched(self) -> bool:
        """Whether heartbeats are wanted at all."""
        return self._timeout_s is not None

    def beat(self, camera_id: str, now_s: float, *, is_good: bool) -> None:
        """Take note of a heartbeat; a wrong one is worse than none."""
        self._last_s[camera_id] = now_s if is_good else None

    def trouble(self, now_s: float) -> str | None:
        """Return which camera's heartbeat is missing, as a sentence; None: none."""
        for camera, last_s in self._last_s.items():
            if last_s is None:
                return f"camera {camera} has not sent a valid heartbeat yet"
            if self._timeout_s is not None and now_s - last_s >= self._timeout_s:
                return f"camera {camera} has had no heartbeat for {now_s - last_s:.1f} s"
        return None

    def fails_s(self) -> float | None:
        """Return when `trouble` will begin if nothing comes; None: never, or it has begun."""
        times = [last_s for last_s in self._last_s.values() if last_s is not None]
        return min(times) + self._timeout_s if times and self._timeout_s is not None else None
