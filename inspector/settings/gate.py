"""Settings of `inspector gate`: the line whose parts it passes, how long it waits, and its addresses."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Self

from pydantic import Field, model_validator

from inspector.settings.section import Identifier, Port, Positive, Section

PART_NUMBER = "{number}"
MAX_PART_ID = 64
MAX_NUMBER_DIGITS = 10
MAX_ALIVE_MS = 500


class GateSettings(Section):
    """The fail-safe gate between the results topics and the rejector of one line."""

    line_id: Identifier | None = Field(None, description="the line that the gate serves")
    cameras: tuple[Identifier, ...] = Field(
        (), description="ids of the cameras that must all say ok; empty: all [[cameras]] of this line"
    )
    window_ms: Positive = Field(
        1_000,
        description="time from the announcement of a part until it is at the rejector, unless the announcement "
        "says otherwise",
    )
    max_window_ms: Positive = Field(60_000, description="longest window that an announcement may ask for")
    lead_ms: Positive = Field(50, description="how long before the end of this window the decision is sent")
    fault_after: Positive = Field(
        3,
        description="number of consecutive parts without an ok or nok in time from every camera, after which the "
        "gate enters the fault state",
    )
    max_age_ms: Positive = Field(
        5_000,
        description="a picture taken earlier than this before the part's announcement is taken to show an "
        "earlier part with the same id",
    )
    max_clock_skew_ms: Annotated[int, Field(ge=0)] = Field(
        50, description="a picture whose capture time is further ahead of the gate's clock does not pass a part"
    )
    keep_s: float = Field(
        120.0, gt=0, description="how long a decided part is remembered; after that its id can be used again"
    )
    max_parts: Positive = Field(
        10_000,
        description="maximum number of parts known at the same time; further announcements are refused, so "
        "those parts are rejected",
    )
    announced: bool = Field(
        True, description="whether the line announces each part; off: a part begins with its first result"
    )
    accept_unseen_silence: bool = Field(
        False,
        description="must be on if announced is off: confirms that the gate never rejects a part for which "
        "there is no result at all",
    )
    accept_simulated: bool = Field(False, description="whether simulated pictures (is_simulated) count; for trials")
    heartbeat_timeout_ms: Positive | None = Field(
        None,
        description="if a camera's inspector sends no heartbeat for this long, the gate enters the fault state; needs "
        "[heartbeat] in the inspector's settings",
    )
    host: str = Field("127.0.0.1", min_length=1, description="address on which both ports listen; there is no login")
    tcp_port: Port | None = Field(7000, description="port of the text protocol")
    modbus_port: Port | None = Field(
        None, description="port of Modbus TCP; the usual port 502 needs CAP_NET_BIND_SERVICE on Linux"
    )
    modbus_part_id: str = Field(
        "part-{number}", description="how a part number of the PLC becomes a part id; must contain {number}"
    )
    alive_ms: Positive = Field(200, description="how often the gate tells the line that it is working; at most 500")

    @property
    def is_served(self) -> bool:
        """Whether there is a port at all."""
        return self.tcp_port is not None or self.modbus_port is not None

    def disagreement(self, heartbeat_ms: int | None, known: Collection[str]) -> str | None:
        """Return what contradicts the rest of the settings, as a sentence; None: nothing.

        Args:
            heartbeat_ms: heartbeat.interval_ms; None: no heartbeats here.
            known: ids of the [[cameras]] of the line; empty: the file lists none.
        """
        timeout_ms = self.heartbeat_timeout_ms
        if timeout_ms is not None and heartbeat_ms is not None and timeout_ms <= heartbeat_ms:
            return (
                f"gate.heartbeat_timeout_ms must be more than heartbeat.interval_ms, {heartbeat_ms}, otherwise the "
                "gate enters the fault state between two heartbeats; start with three times as much"
            )
        strangers = sorted(set(self.cameras) - set(known))
        if known and strangers:
            return (
                f"gate.cameras names {strangers[0]}, which is not one of the [[cameras]] of line {self.line_id} "
                f"({', '.join(sorted(known))}); every part would be rejected"
            )
        return None

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.alive_ms > MAX_ALIVE_MS:
            raise ValueError(
                f"alive_ms must be at most {MAX_ALIVE_MS}: the line stops if it does not get ALIVE for a second"
            )
        if self.modbus_port is not None and self.modbus_port == self.tcp_port != 0:
            raise ValueError("tcp_port and modbus_port must be different ports")
        if self.lead_ms >= self.window_ms:
            raise ValueError(
                "lead_ms must be less than window_ms, otherwise a decision would be sent before its part is announced"
            )
        if self.window_ms > self.max_window_ms:
            raise ValueError("window_ms must be at most max_window_ms")
        if self.keep_s * 1000 < self.max_age_ms + self.max_window_ms:
            raise ValueError(
                "keep_s must be at least max_age_ms plus max_window_ms, otherwise an old picture could pass a new part"
            )
        if not self.announced and not self.accept_unseen_silence:
            raise ValueError(
                "with announced = false the gate never rejects a part for which there is no result at all; let the "
                "line announce its parts, or set accept_unseen_silence = true"
            )
        if not self.announced and self.modbus_port is not None:
            raise ValueError("modbus_port needs announced = true, because the PLC announces parts by number")
        longest = self.modbus_part_id.replace(PART_NUMBER, "9" * MAX_NUMBER_DIGITS)
        is_id = (
            len(longest) <= MAX_PART_ID and longest.replace("-", "a").replace("_", "a").isalnum() and longest.isascii()
        )
        if self.modbus_part_id.count(PART_NUMBER) != 1 or not is_id:
            raise ValueError(
                f"modbus_part_id must contain {PART_NUMBER} once and otherwise only letters, digits, _ and -; at most "
                f"{MAX_PART_ID} characters with the number"
            )
        return self
