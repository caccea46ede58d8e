"""Settings of the traces: whether frames are recorded as spans, how many of them, and where those are sent."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from inspector.settings.section import Positive, Section

TRACES_PATH = "/v1/traces"
"""Where a collector takes spans, behind its base address (OTLP/HTTP)."""


class TracingSettings(Section):
    """One OpenTelemetry trace per frame. Without an endpoint nothing is traced and OpenTelemetry is not loaded."""

    endpoint: str | None = Field(
        None,
        description="base address of a collector that accepts OTLP over HTTP, such as http://127.0.0.1:4318 "
        "(/v1/traces is added); needs the extra otel. Without an address nothing is traced",
    )
    sample_ratio: float = Field(
        0.01,
        ge=0,
        le=1,
        description="share of frames to trace, for frames without a header traceparent; if there is one, its sampled "
        "flag decides",
    )
    service_name: str = Field("line-inspector", min_length=1, max_length=128, description="service.name of the spans")
    max_queued_frames: Positive = Field(
        2048,
        le=100_000,
        description="maximum number of traced frames waiting to be sent, each up to 8 KiB; further ones are dropped "
        "and counted",
    )

    @field_validator("endpoint")
    @classmethod
    def _is_an_address(cls, endpoint: str | None) -> str | None:
        if endpoint is None:
            return None
        shown = re.sub("//.*@", "//...@", endpoint)  # who writes a password there must not read it in a log
        message = f"{shown!r} is not an address such as http://127.0.0.1:4318 or https://collector.example.com, without user, query or fragment"
        try:
            parts = urlsplit(endpoint)
            is_plain = parts.port != 0 and not (parts.query or parts.fragment or "@" in parts.netloc)
        except ValueError as exc:
            raise ValueError(message) from exc
        if parts.scheme not in {"http", "https"} or not parts.hostname or not is_plain or not endpoint.isascii():
            raise ValueError(message)
        return endpoint

    @property
    def traces_url(self) -> str | None:
        """Where the spans go; None: nowhere."""
        return (
            None if self.endpoint is None else self.endpoint.removesuffix("/").removesuffix(TRACES_PATH) + TRACES_PATH
        )
