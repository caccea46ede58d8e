"""Settings of the heartbeats that the service sends."""

from __future__ import annotations

from pydantic import Field

from inspector.settings.section import Positive, Section


class HeartbeatSettings(Section):
    """Verdicts on a picture stored in each model, so that a gate can see that the inspector works even when no parts come."""

    interval_ms: Positive | None = Field(
        None,
        description="time between two heartbeats of each camera, such as 500; each one costs the device as much as a "
        "frame. Off unless set",
    )
