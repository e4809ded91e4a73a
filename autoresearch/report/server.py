"""The page, served on loopback and kept up to date; it only reads.

A page of another site cannot read it either: requests must name this very address, which a rebound name does not.
"""

import json
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from autoresearch.errors import Refused
from autoresearch.report import evidence, page, sources, story

HOST = "127.0.0.1"
NAMES = (HOST, "localhost")
ADDRESS_IN_USE = (13, 48, 98)  # no permission (ports below 1024), in use on macOS, in use on Linux


class Live:
    """What is served, made anew only when something that it tells of has changed."""

    def __init__(self, source: sources.Source, now: Callable[[], str], is_alive: Callable[[], bool]):
        self.source, self.now, self.is_alive = source, now, is_alive
        self.lock = threading.Lock()
        self.stamp, self.html = "", ""
        self.told: story.Story | None = None

    def _refresh(self) -> story.Story:
        """The story as it now stands; to be called under the lock."""
        alive = self.is_alive()
        stamp = f"{sources.stamp(self.source)}{'+' if alive else '-'}"
        if stamp != self.stamp or self.told is None:
            self.told, self.stamp, self.html = story.tell(sources.read(self.source), alive), stamp, ""
        return self.told

    def page(self) -> str:
        """The page."""
        with self.lock:
            told = self._refresh()
            if not self.html:
                self.html = page.render(told, self.now(), self.stamp)
            return self.html

    def news(self) -> str:
        """What changes from second to second, as JSON: the trial under way, and of what the page should be made."""
        with self.lock:
            told = self._refresh()
            under_way = evidence.under_way(told.found) if told.is_alive else None
            return json.dumps({"stamp": self.stamp, "under_way": under_way})


class Server(ThreadingHTTPServer):
    """Listens on loopback only."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, live: Live, port: int):
        """Bind.

        Raises:
            Refused: the port is taken, or not ours to take.
        """
        self.live = live
        try:
            super().__init__((HOST, port), Handler)
        except OSError as error:
            if error.errno not in ADDRESS_IN_USE:
                raise
            raise Refused(
                f"port {port} must be free but: {error.strerror}; choose another with --port, or --port 0 for any"
            ) from error

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that has gone away is no error."""
        if not isinstance(sys.exc_info()[1], ConnectionError | TimeoutError):
            super().handle_error(request, client_address)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://{HOST}:{self.server_port}/"


class Handler(BaseHTTPRequestHandler):
    """One request."""

    server: Server
    server_version, sys_version = "autoresearch", ""
    timeout = 30

    def do_GET(self) -> None:
        """Answer."""
        if self.headers.get("Host", "") not in {f"{name}:{self.server.server_port}" for name in NAMES}:
            self._answer(403, "text/plain", f"ask for {self.server.url}\n")
        elif self.path == "/":
            self._answer(200, "text/html", self.server.live.page())
        elif self.path == "/live.json":
            self._answer(200, "application/json", self.server.live.news())
        else:
            self._answer(404, "text/plain", "there is / and /live.json\n")

    do_HEAD = do_GET

    def _answer(self, code: int, kind: str, text: str) -> None:
        body = text.encode()
        self.send_response(code)
        headers = {
            "Content-Type": f"{kind}; charset=utf-8",
            "Content-Length": str(len(body)),
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cross-Origin-Resource-Policy": "same-origin",
            "X-Frame-Options": "DENY",
        }
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: whoever serves is told by the page itself."""
