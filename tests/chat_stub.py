"""An OpenAI-compatible server on loopback that answers what a test scripts, and fails on request as real ones do."""

import contextlib
import json
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Answer:
    """One answer; the defaults are an honest completion that says `content`."""

    content: str | None = ""
    """What the model says."""
    status: int = 200
    """HTTP status; an error says `content` as its message."""
    headers: dict[str, str] = field(default_factory=dict)
    """Headers to add or, where the server sets them too, to replace; an empty value leaves one out."""
    body: bytes | None = None
    """Send this instead of a completion."""
    send_frac: float = 1.0
    """Share of the body that is sent before the connection ends."""
    reset: bool = False
    """End with a reset before anything is sent."""
    hold: bool = False
    """Say nothing until the stub is closed."""
    drip_s: float = 0.0
    """Send the body byte by byte, with this pause between two."""
    finish: str = "stop"
    """Why the model ended."""
    message: dict[str, Any] = field(default_factory=dict)
    """Fields to add to the message."""
    usage: dict[str, Any] | None = field(default_factory=lambda: {"prompt_tokens": 10, "completion_tokens": 5})


@dataclass
class Request:
    """One request as it arrived."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]

    @property
    def text(self) -> str:
        """All that was said to the model."""
        return "\n".join(message["content"] for message in self.body["messages"])


@dataclass
class Stub:
    """The server as a test sees it."""

    url: str = ""
    script: deque[Answer] = field(default_factory=deque)
    """Answers in order."""
    always: Answer | Callable[[Request], Answer] | None = None
    """The answer once the script is at its end, or what makes it; without one that is HTTP 599."""
    requests: list[Request] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)

    def say(self, *contents: Any) -> None:
        """Add honest answers to the script; what is no text is sent as JSON."""
        self.script += [Answer(one if isinstance(one, str) else json.dumps(one)) for one in contents]

    def next(self, request: Request) -> Answer:
        self.requests.append(request)
        if self.script:
            return self.script.popleft()
        return self.always(request) if callable(self.always) else self.always or Answer("unscripted", status=599)


def _handler(stub: Stub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

        def do_POST(self) -> None:
            given = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            answer = stub.next(Request(self.path, {k.lower(): v for k, v in self.headers.items()}, given))
            if answer.hold:
                stub.closing.wait(20)
            elif answer.reset:  # linger 0: closing sends RST
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()
            else:
                self.answer(answer, body_of(answer, given))

        def answer(self, answer: Answer, body: bytes) -> None:
            headers = {"Server": "stub", "Date": self.date_time_string(), "Content-Type": "application/json"}
            headers |= {"Content-Length": str(len(body))} | answer.headers
            self.send_response_only(answer.status)
            for name, value in headers.items():
                if value:
                    self.send_header(name, value)
            self.end_headers()
            body = body[: int(len(body) * answer.send_frac)]
            if not answer.drip_s:
                self.wfile.write(body)
            for byte in body if answer.drip_s else b"":
                self.wfile.write(bytes([byte]))
                if stub.closing.wait(answer.drip_s):
                    break

    return Handler


def body_of(answer: Answer, given: dict[str, Any]) -> bytes:
    """What is sent."""
    if answer.body is not None:
        return answer.body
    if answer.status != 200:
        return json.dumps({"error": {"message": answer.content, "type": "stub"}}).encode()
    message = {"role": "assistant", "content": answer.content} | answer.message
    choice = {"index": 0, "finish_reason": answer.finish, "message": message}
    head = {"id": "stub-1", "object": "chat.completion", "created": 1, "model": given["model"]}
    return json.dumps(head | {"choices": [choice], "usage": answer.usage}).encode()


class _Listener(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Connections that we broke, or the client left, are no news."""


@contextlib.contextmanager
def serve() -> Iterator[Stub]:
    """Run a stub for as long as the block lasts."""
    stub = Stub()
    listener = _Listener(("127.0.0.1", 0), _handler(stub))
    stub.url = f"http://127.0.0.1:{listener.server_address[1]}/v1"
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield stub
    finally:
        stub.closing.set()
        listener.shutdown()
        listener.server_close()
        thread.join()
