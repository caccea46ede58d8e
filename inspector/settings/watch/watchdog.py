"""Settings of the watchdog."""

from __future__ import annotations

from pydantic import Field

from inspector.settings.section import Section


class WatchdogSettings(Section):
    """How long a part of the process may hang before the process is ended. Time in which the whole process was suspended does not count."""

    loop_s: float = Field(
        30.0,
        ge=2,
        description="maximum time for one step of the event loop, which normally takes milliseconds; exit status 10",
    )
    device_s: float = Field(
        60.0,
        ge=2,
        description="maximum time for computing one batch, or five times what the largest batch took at the start, if that "
        "is longer; exit status 11",
    )
    load_s: float = Field(
        600.0,
        ge=2,
        description="maximum time for loading and warming up all models, including the first call to a GPU; exit status 11",
    )
    worker_s: float = Field(
        60.0,
        ge=2,
        description="maximum time for decoding or encoding one picture; the slowest accepted picture takes a few seconds; "
        "exit status 12",
    )
    send_s: float = Field(
        300.0,
        ge=2,
        description="maximum time for a send that is neither acknowledged nor fails; must be more than 4 x (kafka.request_timeout_ms + "
        "5 s) + 5 s, the time within which a send fails by itself; exit status 14",
    )
