"""Stores of pictures for tests: a small S3 on a port of its own, which counts what is asked of it and may misbehave."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from typing_extensions import override

from schemas import CameraFrame, image_digest
from tests.frames import camera_frame, png


class Asked(NamedTuple):
    """A request as it came."""

    method: str
    path: str
    range: str | None
    is_signed: bool


class S3Like:
    """Objects by bucket and key, over HTTP/1.1 with ranges, as S3 answers path-style requests.

    `misbehave` names what goes wrong for a path: `hang`, `drip`, `cut`, `redirect`, `longer`, `endless`, `busy`, `no http`.
    """

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.misbehave: dict[str, str] = {}
        self.redirect_to = ""
        self.asked: list[Asked] = []
        self.sent_bytes = 0
        self.released = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"store": self}))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def put(self, key: str, data: bytes) -> str:
        """Keep an object as `bucket/key`; return its URI."""
        self.objects[f"/{key}"] = data
        return f"s3://{key}"

    def stop(self) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextmanager
def s3_like() -> Iterator[S3Like]:
    store = S3Like()
    try:
        yield store
    finally:
        store.stop()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    store: S3Like

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        self.store.asked.append(Asked(self.command, path, self.headers.get("Range"), "X-Amz-Signature=" in query))
        fault = self.store.misbehave.get(path, "")
        try:
            if fault in {"hang", "redirect", "busy", "no http", "endless"}:
                self._misbehave(path, fault)
            elif path in self.store.objects:
                self._send(self.store.objects[path], fault)
            else:
                self._head(404, 0)
        except OSError:
            self.close_connection = True
        if fault:
            self.close_connection = True

    def _misbehave(self, path: str, fault: str) -> None:
        if fault == "hang":
            self.store.released.wait(60)
        elif fault == "redirect":
            self._head(307, 0, ("Location", self.store.redirect_to + path))
        elif fault == "busy":
            self._head(503, 0)
        elif fault == "no http":
            self._write(b"220 mail.example.com ESMTP\r\n\r\n")
        else:
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            while True:
                self._write(b"1000\r\n" + bytes(4096) + b"\r\n")

    def _send(self, data: bytes, fault: str) -> None:
        first, last = self.headers["Range"].removeprefix("bytes=").split("-")
        part = data[int(first) : int(last) + 1]
        self._head(206, len(part), ("Content-Range", f"bytes {first}-{int(first) + len(part) - 1}/{len(data)}"))
        if fault == "drip":
            self._write(part[:10])
            self.store.released.wait(60)
        self._write(part[: len(part) // 2] if fault == "cut" else part + bytes(1000) * (fault == "longer"))

    def _head(self, status: int, length: int, *headers: tuple[str, str]) -> None:
        self.send_response(status)
        for name, value in (("Content-Length", str(length)), *headers):
            self.send_header(name, value)
        self.end_headers()

    def _write(self, data: bytes) -> None:
        self.wfile.write(data)
        self.store.sent_bytes += len(data)

    @override
    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


def claim(
    camera_id: str, seq: int, captured_at: int, uri: str, image: bytes | None = None, **fields: Any
) -> CameraFrame:
    """Return a frame that names its picture; `fields` replace what is made up."""
    image = png() if image is None else image
    values = {"image_uri": uri, "image_bytes": len(image), "image_digest": image_digest(image)} | fields
    frame = camera_frame(camera_id, seq, captured_at)
    carried = {name for name in CameraFrame.model_fields if name.startswith("image")}
    return CameraFrame(**{k: v for k, v in frame if k not in carried} | values)
