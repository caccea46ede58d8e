"""Settings of the heartbeats that the service sends."""

from __future__ import annotations

from pydantic import Field

from inspector.settings.section import Positive, Section


class HeartbeatSettings(Section):
    """Real verdicts on a picture that comes with each model, so that a gate sees that pictures would be judged."""

    interval_ms: Positive | None = Field(
        None,
        description="one verdict for each camera of this process's partitions so often, such as 500; each costs a score of the device",
    )
