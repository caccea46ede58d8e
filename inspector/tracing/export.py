"""Sends spans to a collector from a thread of its own; the queue is bounded, failures are counted and affect nothing else.

OpenTelemetry's own BatchSpanProcessor has such a queue too, but does not tell how many spans it drops, and requires that each span is made on the
thread that ends it, which is the event loop here.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from inspector.settings.watch.tracing import TracingSettings
from inspector.tracing.counts import TraceCounts
from inspector.tracing.finished import FinishedFrame
from inspector.tracing.spans import SpanMaker, process_resource

log = logging.getLogger(__name__)

BATCH_FRAMES = 64
"""Sent in one request at most: some 500 spans."""
INTERVAL_S = 1.0
"""How long a frame waits for company."""
REQUEST_TIMEOUT_S = 5.0
"""For one batch, OpenTelemetry's retries included; then its frames are dropped."""


class OtlpExporter:
    """Sends finished frames as OTLP over HTTP (protobuf). `put` never waits; any thread may call anything."""

    def __init__(
        self,
        settings: TracingSettings,
        counts: TraceCounts,
        *,
        deployment: str,
        version: str,
        exporter: SpanExporter | None = None,
    ) -> None:
        """Prepare; nothing is sent before `start`.

        Args:
            settings: where to, and how many frames may wait.
            counts: what became of them.
            deployment: an attribute of all spans, as in the results.
            version: of the program.
            exporter: default: OpenTelemetry's, which also heeds its variables for headers, certificates and compression
                (OTEL_EXPORTER_OTLP_HEADERS and so on).
        """
        self._exporter = exporter or OTLPSpanExporter(settings.traces_url, timeout=REQUEST_TIMEOUT_S)
        resource = process_resource(settings.service_name, version=version, deployment=deployment)
        self._maker = SpanMaker(resource, version)
        self._counts = counts
        self._limit = settings.max_queued_frames
        self._queue: deque[FinishedFrame] = deque()
        self._wake = threading.Event()
        self._is_stopping = False
        self._thread = threading.Thread(target=self._run, name="traces", daemon=True)

    def start(self) -> None:
        """Send from now on."""
        self._thread.start()

    def put(self, frame: FinishedFrame) -> None:
        """Take a frame, or drop it where too many wait already."""
        if len(self._queue) >= self._limit:
            self._counts.frames(1, "queue_full")
            return
        self._queue.append(frame)
        if len(self._queue) >= BATCH_FRAMES and not self._wake.is_set():
            self._wake.set()

    def stop(self, timeout_s: float) -> bool:
        """Send what waits, within `timeout_s` seconds; what is left then is dropped and counted.

        Returns:
            Whether the thread has ended. It may hang in a request, for `REQUEST_TIMEOUT_S` at most.
        """
        deadline_s = time.monotonic() + timeout_s
        self._is_stopping = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s / 2)
            # Ends the waiting between two tries.
            self._exporter.shutdown()
            self._thread.join(max(0.0, deadline_s - time.monotonic()))
        self._counts.frames(len(self._queue), "export_failed")
        self._queue.clear()
        return not self._thread.is_alive()

    def _run(self) -> None:
        while not (self._is_stopping and not self._queue):
            self._wake.wait(INTERVAL_S)
            if not self._is_stopping:
                self._wake.clear()
            while self._queue:
                self._send([self._queue.popleft() for _ in range(min(BATCH_FRAMES, len(self._queue)))])

    def _send(self, frames: list[FinishedFrame]) -> None:
        try:
            result = self._exporter.export([span for frame in frames for span in self._maker.spans(frame)])
            is_sent = result is SpanExportResult.SUCCESS
        except Exception:
            log.exception("spans could not be made or sent")
            is_sent = False
        self._counts.frames(len(frames), "exported" if is_sent else "export_failed")
