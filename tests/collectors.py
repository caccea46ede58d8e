"""A collector of traces: a real HTTP server that takes OTLP as protobuf, and can be slow, refuse, or be gone."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from typing_extensions import override


@dataclass(frozen=True)
class ReceivedSpan:
    """A span as a collector decoded it; ids in hexadecimal, times in nanoseconds UTC."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    start_ns: int
    end_ns: int
    kind: int
    status: int
    words: str
    state: str
    attributes: dict[str, str | int | float]
    resource: dict[str, str | int | float]


@dataclass
class Collector:
    """What came, and how it is answered."""

    url: str = ""
    spans: list[ReceivedSpan] = field(default_factory=list)
    requests: int = 0
    status: int = 200
    gate: threading.Event = field(default_factory=threading.Event)
    """Requests are answered while it is set."""

    def frames(self) -> list[ReceivedSpan]:
        """Return the spans of frames."""
        return [span for span in self.spans if span.name == "inspect"]

    def stages(self, frame: ReceivedSpan) -> list[ReceivedSpan]:
        """Return the spans under one of a frame."""
        return [span for span in self.spans if span.parent_id == frame.span_id]

    def take(self, body: bytes) -> None:
        """Decode a request."""
        for of_resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            resource = _values(of_resource.resource.attributes)
            for of_scope in of_resource.scope_spans:
                self.spans += [
                    ReceivedSpan(
                        name=span.name,
                        trace_id=span.trace_id.hex(),
                        span_id=span.span_id.hex(),
                        parent_id=span.parent_span_id.hex(),
                        start_ns=span.start_time_unix_nano,
                        end_ns=span.end_time_unix_nano,
                        kind=span.kind,
                        status=span.status.code,
                        words=span.status.message,
                        state=span.trace_state,
                        attributes=_values(span.attributes),
                        resource=resource,
                    )
                    for span in of_scope.spans
                ]


def _values(attributes: Any) -> dict[str, str | int | float]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in attributes}


@contextmanager
def running_collector() -> Iterator[Collector]:
    """Run one on a free port of this machine."""
    collector = Collector()
    collector.gate.set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            collector.requests += 1
            collector.gate.wait(60)
            if collector.status == 200:
                assert self.path == "/v1/traces"
                assert self.headers["Content-Type"] == "application/x-protobuf"
                collector.take(gzip.decompress(body) if self.headers["Content-Encoding"] == "gzip" else body)
            answer = ExportTraceServiceResponse().SerializeToString()
            self.send_response(collector.status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        @override
        def log_message(self, format: str, *args: object) -> None: ...

    class Server(ThreadingHTTPServer):
        @override
        def handle_error(self, request: object, client_address: object) -> None: ...  # a client that left early

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        collector.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield collector
        finally:
            collector.gate.set()
            server.shutdown()
            thread.join()
