"""Settings of the watchdog."""

from __future__ import annotations

from pydantic import Field

from inspector.settings.section import Section


class WatchdogSettings(Section):
    """How long something may stand still before the process ends. Time in which the whole process was suspended does not count."""

    loop_s: float = Field(30.0, ge=2, description="the event loop, which does milliseconds at a time; exit status 10")
    device_s: float = Field(
        60.0,
        ge=2,
        description="the computing of one batch, or five times what the largest took at the start; exit status 11",
    )
    load_s: float = Field(
        600.0, ge=2, description="loading and warming up all models, the first call to a GPU included; exit status 11"
    )
    worker_s: float = Field(
        60.0, ge=2, description="decoding or encoding: the worst admitted picture takes seconds; exit status 12"
    )
    send_s: float = Field(
        300.0,
        ge=2,
        description="a send that is neither acknowledged nor fails; above 4 x (kafka.request_timeout_ms + 5 s) + 5 s,"
        " within which it fails by itself; exit status 14",
    )
