"""Which frames are traced: the sender's word holds, else the ratio; what is broken is ignored and counted."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from inspector.settings.settings import Settings
from inspector.tracing.counts import TraceCounts
from inspector.tracing.finished import FinishedFrame
from inspector.tracing.tracer import Joined, Tracer, make_tracer
from schemas import TraceContext

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED: list[tuple[str, bytes | None]] = [("traceparent", f"00-{TRACE}-{SPAN}-01".encode()), ("tracestate", b"a=1")]
UNSAMPLED: list[tuple[str, bytes | None]] = [("traceparent", f"00-{TRACE}-{SPAN}-00".encode())]


class Kept:
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.frames: list[FinishedFrame] = []

    def put(self, frame: FinishedFrame) -> None:
        self.frames.append(frame)

    def start(self) -> None: ...

    def stop(self, timeout_s: float) -> bool:
        return True


def tracer(*, on: bool = True, ratio: float = 0.0) -> tuple[Tracer, CollectorRegistry]:
    registry = CollectorRegistry()
    return Tracer(TraceCounts(registry), Kept() if on else None, sample_ratio=ratio), registry


def ignored(registry: CollectorRegistry) -> float | None:
    return registry.get_sample_value("inspector_traceparents_ignored_total")


def test_a_frame_that_its_sender_traces_is_traced_under_the_senders_span() -> None:
    joined = tracer()[0].join(SAMPLED)
    assert joined.context is not None
    assert (joined.context.trace_id, joined.context.state, joined.parent_id) == (TRACE, "a=1", SPAN)
    assert joined.context.is_sampled
    assert joined.context.span_id not in {SPAN, "0" * 16}


def test_a_frame_that_its_sender_does_not_trace_is_not_traced_whatever_the_ratio() -> None:
    assert tracer(ratio=1.0)[0].join(UNSAMPLED) == Joined(TraceContext(TRACE, SPAN, is_sampled=False))


def test_without_traces_the_senders_is_handed_on_as_it_came() -> None:
    off = tracer(on=False, ratio=1.0)[0]
    assert off.join(SAMPLED) == Joined(TraceContext(TRACE, SPAN, is_sampled=True, state="a=1"))
    assert off.join([]) == Joined()


@pytest.mark.parametrize(("ratio", "least", "most"), [(0.0, 0, 0), (0.25, 400, 600), (1.0, 2000, 2000)])
def test_of_other_frames_the_ratio_is_traced_each_in_a_trace_of_its_own(ratio: float, least: int, most: int) -> None:
    """With 2000 frames and a quarter of them, 400 to 600 are five standard deviations to either side."""
    one = tracer(ratio=ratio)[0]
    contexts = [joined.context for joined in (one.join([("line_id", b"line")]) for _ in range(2000)) if joined.context]
    assert least <= len(contexts) <= most
    assert len({context.trace_id for context in contexts}) == len(contexts)
    assert all(context.is_sampled for context in contexts)


@pytest.mark.parametrize("on", [True, False])
def test_a_broken_traceparent_is_ignored_and_counted(on: bool) -> None:  # noqa: FBT001
    one, registry = tracer(on=on)
    assert ignored(registry) == 0
    assert one.join([("traceparent", b"00-nothing")]) == Joined()
    one.join(SAMPLED)
    assert ignored(registry) == 1


def test_nothing_of_opentelemetry_is_loaded_unless_traces_are_asked_for() -> None:
    code = """
import sys
from prometheus_client import CollectorRegistry
from inspector.service import Service
from inspector.settings.settings import Settings
from inspector.tracing.tracer import make_tracer
make_tracer(Settings(), CollectorRegistry(), version="1")
print(any(name.startswith("opentelemetry") for name in sys.modules))
make_tracer(Settings(tracing={"endpoint": "http://127.0.0.1:1"}), CollectorRegistry(), version="1")
print(any(name.startswith("opentelemetry") for name in sys.modules))
"""
    root = Path(__file__).parents[4]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert done.stdout.split() == ["False", "True"]


def test_without_the_extra_traces_are_refused_with_its_name(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    from inspector import cli

    for name in [name for name in sys.modules if name.startswith(("opentelemetry", "inspector.tracing.export"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "opentelemetry", None)

    def start(_given: object) -> int:
        settings = Settings.model_validate({"tracing": {"endpoint": "http://127.0.0.1:1"}})
        make_tracer(settings, CollectorRegistry(), version="1")
        return 0

    monkeypatch.setattr(cli, "_HANDLERS", {"run": start})
    assert cli.main(["run"]) == cli.EXIT_USAGE
    assert capsys.readouterr().err == (
        "inspector: opentelemetry is not installed. In the clone of line-inspector, run: pip install '.[otel]'\n"
    )
