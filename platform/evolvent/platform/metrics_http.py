"""The HTTP side of the metrics: `/metrics` and `/healthz`, in a thread, so that a scrape never holds the loop."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import structlog

from evolvent.events.errors import Category, EvolventError

_log = structlog.get_logger(__name__)
Render = Callable[[str], tuple[str, bytes]]
"""From an Accept header to a content type and a body."""
Health = Callable[[], str | None]
"""Why the service is not well, or None."""


class MetricsPortTaken(EvolventError):
    """The port of the metrics endpoint cannot be used; set EVOLVENT_METRICS__PORT to a free one, or to 0."""

    code, category = "metrics.port", Category.RESOURCE


class MetricsServer:
    """Serves until it is stopped."""

    def __init__(self, host: str, port: int, *, render: Render, health: Health) -> None:
        try:
            self._server = _Server((host, port), _handler(render, health))
        except OSError as error:
            raise MetricsPortTaken(
                f"The metrics endpoint cannot listen on {host}:{port} ({error.strerror or error}); "
                "set EVOLVENT_METRICS__PORT to a free port, or to 0."
            ) from error
        self.address = f"http://{_in_url(host)}:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="metrics", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Close the port; a scrape under way is cut off."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(2.0)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: object, client_address: object) -> None:
        """Say it in the log; the base class prints to stderr."""
        _log.debug("scrape failed", exc_info=True)


def _in_url(host: str) -> str:
    """Return a host that a scraper on this machine can use."""
    if host in ("0.0.0.0", "::", ""):  # noqa: S104  # compared, not bound
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host


def _handler(render: Render, health: Health) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 5
        server_version, sys_version = "evolvent", ""
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path = urlsplit(self.path).path
            if path == "/metrics":
                self._say(200, *render(self.headers.get("Accept", "")))
            elif path == "/healthz":
                reason = health()
                body = {"ready": reason is None} | ({"reason": reason} if reason else {})
                self._say(503 if reason else 200, "application/json", json.dumps(body).encode())
            else:
                self._say(404, "text/plain; charset=utf-8", b"There are /metrics and /healthz here.\n")

        def do_HEAD(self) -> None:
            self.do_GET()

        def _say(self, status: int, content_type: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            _log.debug("scrape", request=format % args)

    return Handler
