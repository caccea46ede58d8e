"""Settings of the traces: off by default, one plain address, a ratio that is one."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from inspector.settings.watch.tracing import TracingSettings
from schemas.refusal import refusals


def test_by_default_nothing_is_traced() -> None:
    assert TracingSettings().traces_url is None


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [
        ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
        ("http://127.0.0.1:4318/", "http://127.0.0.1:4318/v1/traces"),
        ("http://127.0.0.1:4318/v1/traces", "http://127.0.0.1:4318/v1/traces"),
        ("https://host/otlp", "https://host/otlp/v1/traces"),
    ],
)
def test_spans_go_behind_the_base_address(endpoint: str, url: str) -> None:
    assert TracingSettings(endpoint=endpoint).traces_url == url


@pytest.mark.parametrize(
    ("values", "words"),
    [
        *(
            ({"endpoint": endpoint}, "is not an address such as http://127.0.0.1:4318")
            for endpoint in (
                "127.0.0.1:4318",
                "grpc://host:4317",
                "http://",
                "http://host:0",
                "http://host:x",
                "http://h/?q=1",
                "",
            )
        ),
        ({"sample_ratio": 1.5}, "less than or equal to 1"),
        ({"sample_ratio": -0.1}, "greater than or equal to 0"),
        ({"max_queued_frames": 0}, "greater than or equal to 1"),
        ({"service_name": ""}, "at least 1 character"),
        ({"ratio": 1}, "ratio"),
    ],
)
def test_what_cannot_be_is_refused(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError) as refusal:
        TracingSettings(**values)
    assert words in " ".join(refusals(refusal.value))


def test_a_password_in_the_address_is_refused_and_not_told() -> None:
    with pytest.raises(ValidationError) as refusal:
        TracingSettings(endpoint="http://user:secret@host:4318")
    words = " ".join(refusals(refusal.value))
    assert "without user" in words
    assert "secret" not in words
