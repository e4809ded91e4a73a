"""A server on loopback that answers as a test tells it: for what a hub that works never does."""

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from autoresearch.hub.client.credentials import Credentials


@dataclass
class Asked:
    """One request."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Answer:
    """What is answered to it."""

    status: int = 200
    body: Any = None
    """JSON, or bytes as they are."""
    headers: dict[str, str] = field(default_factory=dict)
    drip_s: float = 0.0
    """Pause before each byte of the body."""


@dataclass
class Scripted:
    """Such a server; `answer` may be replaced at any time."""

    url: str
    answer: Callable[[Asked], Answer]
    asked: list[Asked] = field(default_factory=list)

    @property
    def who(self) -> Credentials:
        return Credentials(self.url, "k3y", "agent")

    def told(self) -> list[tuple[str, str]]:
        """Method and path of each request."""
        return [(one.method, one.path) for one in self.asked]


@contextmanager
def serving(*answers: Answer | Callable[[Asked], Answer]) -> Iterator[Scripted]:
    """Answer requests one after the other; the last answer, or function, serves all that follow."""
    steps = list(answers)

    def step(asked: Asked) -> Answer:
        found = steps.pop(0) if len(steps) > 1 else steps[0]
        return found(asked) if callable(found) else found

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            made.asked.append(Asked(self.command, self.path, dict(self.headers), body))
            answer = made.answer(made.asked[-1])
            content = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
            with contextlib.suppress(OSError):
                self.send_response(answer.status)
                for name, value in {"Content-Length": str(len(content)), **answer.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                pieces = [content[i : i + 1] for i in range(len(content))] if answer.drip_s else [content]
                for piece in pieces:
                    time.sleep(answer.drip_s)
                    self.wfile.write(piece)

        do_GET = do_POST = do_DELETE = do_any

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made = Scripted(f"http://127.0.0.1:{server.server_address[1]}", step)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        thread.join(20)
        server.server_close()


@contextmanager
def silent() -> Iterator[str]:
    """The address of one who takes connections and never says anything."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def nobody() -> str:
    """An address at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return f"http://127.0.0.1:{listening.getsockname()[1]}"
