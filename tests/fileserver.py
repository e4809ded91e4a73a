"""A file server on loopback that fails on request, as servers on the internet do unasked."""

import contextlib
import re
import socket
import struct
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Fault:
    """What goes wrong with one request; the defaults are an honest answer."""

    status: int = 0
    """Answer this status and no body; 0 means none."""
    headers: dict[str, str] = field(default_factory=dict)
    """Headers to add or, where the server sets them too, to replace."""
    body: bytes | None = None
    """Serve this instead of the file."""
    send_frac: float = 1.0
    """Share of the body that is sent before the connection ends."""
    reset: bool = False
    """End with a reset instead of a clean close."""
    state_length: bool = True
    """Whether Content-Length is sent."""
    ignore_range: bool = False
    """Answer 200 with the whole file to a request for a range."""
    redirect: bool = False
    """Answer 302 to another address of the same file; `headers` go with the redirect."""
    delay_s: float = 0.0
    """Wait before the answer, and between 8 pieces of the body."""


@dataclass
class FileServer:
    """The server as a test sees it."""

    url: str
    files: dict[str, bytes] = field(default_factory=dict)
    """Content by path, without the leading slash."""
    faults: dict[str, deque[Fault]] = field(default_factory=lambda: defaultdict(deque))
    """Faults by path, one per request, in order; afterwards answers are honest."""
    always: dict[str, Fault] = field(default_factory=dict)
    """A fault by path for every request that has none in `faults`."""
    requests: list[tuple[str, str]] = field(default_factory=list)
    """(path, Range header or empty) of every request so far."""
    on_request: Callable[[str], None] = lambda path: None
    """Called with the path before each answer."""


def _handler(server: FileServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

        def do_GET(self) -> None:
            path = self.path.lstrip("/")
            server.requests.append((path, self.headers.get("Range", "")))
            server.on_request(path)
            fault = server.faults[path].popleft() if server.faults[path] else server.always.get(path, Fault())
            time.sleep(fault.delay_s)
            content = server.files.get(path.removeprefix("elsewhere/")) if fault.body is None else fault.body
            if fault.redirect:
                self.answer(302, {"Location": f"/elsewhere/{path}", "Content-Length": "0", **fault.headers})
            elif fault.status or content is None:
                self.answer(fault.status or 404, {"Content-Length": "0", **fault.headers})
            else:
                self.serve(content, fault)

        def answer(self, status: int, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()

        def serve(self, content: bytes, fault: Fault) -> None:
            wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
            begin = int(wanted[1]) if wanted and not fault.ignore_range else 0
            if begin >= len(content):
                self.answer(416, {"Content-Range": f"bytes */{len(content)}", "Content-Length": "0"})
                return
            body, headers = content[begin:], {}
            if begin:
                headers["Content-Range"] = f"bytes {begin}-{len(content) - 1}/{len(content)}"
            if fault.state_length:
                headers["Content-Length"] = str(len(body))
            self.answer(206 if begin else 200, headers | fault.headers)
            body = body[: int(len(body) * fault.send_frac)]
            piece = len(body) // 8 + 1
            for start in range(0, len(body), piece):
                self.wfile.write(body[start : start + piece])
                time.sleep(fault.delay_s)
            if fault.reset:  # linger 0: closing sends RST
                self.wfile.flush()
                time.sleep(0.1)  # a reset discards what the other side has not read yet
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()

    return Handler


class _Listener(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Connections that we broke, or the client left, are no news."""


@contextlib.contextmanager
def serve() -> Iterator[FileServer]:
    """Run a file server for as long as the block lasts."""
    server = FileServer("")
    listener = _Listener(("127.0.0.1", 0), _handler(server))
    server.url = f"http://127.0.0.1:{listener.server_address[1]}"
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        listener.shutdown()
        listener.server_close()
        thread.join()
