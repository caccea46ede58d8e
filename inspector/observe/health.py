"""/metrics, /healthz and /readyz on a thread of their own, so that they answer even if the event loop hangs.

/healthz only tells about this process: the loop runs, and nothing has failed permanently. A broker that is away must not cause a restart.
/readyz also tells whether everything is there that frames need. Both give the reasons in their body.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import logging
import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Protocol
from urllib.parse import urlsplit

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from typing_extensions import override

from inspector.credentials.certificates import server_context
from inspector.errors import ConfigError
from inspector.settings.watch.http import HttpSettings

log = logging.getLogger(__name__)

HEARTBEAT_S = 0.25
REQUEST_TIMEOUT_S = 10.0
_TEXT = "text/plain; charset=utf-8"
_CERTIFICATE, _TOKEN = "http.tls_certfile with its key", "http.token_file"
_PROTECTION = {
    (True, True): (_CERTIFICATE, _TOKEN),
    (True, False): (_CERTIFICATE,),
    (False, True): (_TOKEN,),
}
"""What is missing: by whether there is no certificate, and no token."""


class LoopLag(Protocol):
    """Metrics that tell how late the event loop is."""

    def loop_lag(self, seconds: float) -> None:
        """The event loop ran its heartbeat so much later than asked."""
        ...


class Health:
    """What is known of the process's state. Any thread may call anything."""

    def __init__(
        self, *, hang_after_s: float, awaits: Iterable[str] = (), clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Begin alive and, unless nothing is awaited, not ready.

        Args:
            hang_after_s: a loop that has not beaten for so long hangs.
            awaits: names of what must be there before ready, such as `models`.
            clock: monotonic seconds.
        """
        self._hang_after_s = hang_after_s
        self._clock = clock
        self._lock = threading.Lock()
        self._beat_at = clock()
        self.beats = 0
        """How often the event loop has told that it runs."""
        self._failure: str | None = None
        self._missing = dict.fromkeys(awaits, "not there yet")

    def beat(self) -> None:
        """Tell that the event loop runs."""
        self._beat_at = self._clock()
        self.beats += 1

    async def keep_beating(self, metrics: LoopLag, *, interval_s: float = HEARTBEAT_S) -> None:
        """Beat until cancelled, on the loop that is watched; measures how late the loop is."""
        while True:
            asked = self._clock()
            await asyncio.sleep(interval_s)
            self.beat()
            metrics.loop_lag(self._clock() - asked - interval_s)

    def missing(self, part: str, why: str) -> None:
        """Tell that a part is not (or no longer) there, and why: not ready."""
        with self._lock:
            self._missing[part] = why

    def there(self, part: str) -> None:
        """Tell that a part is there."""
        with self._lock:
            self._missing.pop(part, None)

    def fail(self, why: str) -> None:
        """Tell that this process can never work again; the first reason stays."""
        with self._lock:
            self._failure = self._failure or why

    @property
    def has_running_loop(self) -> bool:
        """Whether the event loop has run within the time that counts as a hang."""
        return self._silent_s <= self._hang_after_s

    @property
    def _silent_s(self) -> float:
        return self._clock() - self._beat_at

    def not_alive(self) -> list[str]:
        """Return why the process should be restarted; empty: it should not."""
        silent_s = self._silent_s
        hangs = [f"event loop: has not run for {silent_s:.1f} s"] if silent_s > self._hang_after_s else []
        with self._lock:
            return hangs + ([f"failed: {self._failure}"] if self._failure else [])

    def not_ready(self) -> list[str]:
        """Return why no frames flow; empty: they do."""
        reasons = self.not_alive()
        with self._lock:
            return reasons + [f"{part}: {why}" for part, why in self._missing.items()]


class HealthServer:
    """The HTTP server. `start` and `stop` from any thread; requests are answered on its own."""

    def __init__(self, settings: HttpSettings, health: Health, registry: CollectorRegistry) -> None:
        """Bind the port; nothing is answered before `start`.

        Raises:
            ConfigError: The address cannot be bound, or certificate, key or token cannot be used.
        """
        token = settings.read_token()
        tls = None
        if settings.tls_certfile is not None and settings.tls_keyfile is not None:
            tls = server_context(settings.tls_certfile, settings.tls_keyfile)
        self._scheme = "http" if tls is None else "https"
        if (tls is None or token is None) and not _is_loopback(settings.host):
            log.warning(
                "http.host is %s: anyone who can reach this address can read metrics and health%s; set %s, or use "
                "127.0.0.1",
                settings.host,
                "" if token is None else ", or intercept the token",
                " and ".join(_PROTECTION[tls is None, token is None]),
            )
        try:
            self._server = _Server((settings.host, settings.port), health, registry, tls=tls, token=token)
        except OSError as exc:
            raise ConfigError(f"http: cannot listen on {settings.host}:{settings.port}: {exc.strerror or exc}") from exc
        self._thread = threading.Thread(target=self._server.serve_forever, name="health", daemon=True, args=(0.1,))

    @property
    def port(self) -> int:
        """The port, also where a free one was asked for."""
        return self._server.server_port

    def start(self) -> None:
        """Answer from now on."""
        self._thread.start()
        log.info("metrics and health on %s://%s:%d", self._scheme, self._server.server_name, self.port)

    def stop(self) -> None:
        """Answer no more and give the port back; also where it was never started."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(
        self,
        address: tuple[str, int],
        health: Health,
        registry: CollectorRegistry,
        *,
        tls: ssl.SSLContext | None,
        token: str | None,
    ) -> None:
        super().__init__(address, _Handler)
        self.health = health
        self.registry = registry
        self._token = None if token is None else token.encode()
        if tls is not None:
            # The handshake waits for the handler's thread: a client that is slow with it holds up nobody else.
            self.socket = tls.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    def lets_in(self, authorization: str) -> bool:
        """Whether who sends this header may see all; takes as long for a token that is nearly right."""
        scheme, _, given = authorization.partition(" ")
        if self._token is None:
            return True
        return scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), self._token)

    @override
    def handle_error(self, request: object, client_address: object) -> None:
        """Say in the log, not on standard error, that a client left early or spoke no TLS."""
        log.debug("a request from %s failed: %r", client_address, sys.exception())

    @override
    def server_bind(self) -> None:
        """Skip the reverse name look-up of HTTPServer, which may take seconds on a plant network."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    server_version = "inspector"
    sys_version = ""
    timeout = REQUEST_TIMEOUT_S

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if path == "/metrics":
            if not self._is_let_in():
                self._answer(HTTPStatus.UNAUTHORIZED, b"send the token: Authorization: Bearer ...\n", _TEXT)
                return
            encode, content_type = choose_encoder(self.headers.get("Accept", ""))
            self._answer(HTTPStatus.OK, encode(self.server.registry), content_type)
        elif path == "/healthz":
            self._report(self.server.health.not_alive())
        elif path == "/readyz":
            self._report(self.server.health.not_ready())
        else:
            self._answer(HTTPStatus.NOT_FOUND, b"there are /metrics, /healthz and /readyz\n", _TEXT)

    do_HEAD = do_GET  # noqa: N815

    def _report(self, reasons: list[str]) -> None:
        status = HTTPStatus.SERVICE_UNAVAILABLE if reasons else HTTPStatus.OK
        if reasons and not self._is_let_in():
            reasons = ["the reasons are only shown to clients that send the token"]
        self._answer(status, "".join(f"{line}\n" for line in reasons or ["ok"]).encode(), _TEXT)

    def _is_let_in(self) -> bool:
        return self.server.lets_in(self.headers.get("Authorization", ""))

    def _answer(self, status: HTTPStatus, body: bytes, content_type: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        if status == HTTPStatus.UNAUTHORIZED:
            self.send_header("WWW-Authenticate", "Bearer")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    @override
    def log_message(self, format: str, *args: object) -> None:
        log.debug(format, *args)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
