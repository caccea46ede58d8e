"""Settings of the traces: whether frames are recorded as spans, how many of them, and where those are sent."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from inspector.settings.section import Positive, Section

TRACES_PATH = "/v1/traces"
"""Where a collector takes spans, behind its base address (OTLP/HTTP)."""


class TracingSettings(Section):
    """One trace a frame by OpenTelemetry; nothing is traced, and nothing of OpenTelemetry loaded, without an endpoint."""

    endpoint: str | None = Field(
        None,
        description="base address of a collector that takes OTLP over HTTP, such as http://127.0.0.1:4318 (it gets /v1/traces); needs"
        " the extra otel; without it nothing is traced",
    )
    sample_ratio: float = Field(
        0.01,
        ge=0,
        le=1,
        description="share of the frames without a traceparent of their own that are traced; those with one follow its sampled flag",
    )
    service_name: str = Field("line-inspector", min_length=1, max_length=128, description="service.name of the spans")
    max_queued_frames: Positive = Field(
        2048,
        le=100_000,
        description="traced frames that wait to be sent, 8 KiB each at most; one more is dropped and counted",
    )

    @field_validator("endpoint")
    @classmethod
    def _is_an_address(cls, endpoint: str | None) -> str | None:
        if endpoint is None:
            return None
        shown = re.sub("//.*@", "//...@", endpoint)  # who writes a password there must not read it in a log
        message = f"{shown!r} is no address such as http://127.0.0.1:4318 or https://collector.example.com, without user, query or fragment"
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
