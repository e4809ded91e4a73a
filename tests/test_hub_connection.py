"""autoresearch/hub/server/connection.py: what is no HTTP, clients that are slow, clients that are many."""

import contextlib
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hubs import Live, serving
from wire import exchange, head

from autoresearch.hub.limits import Limits


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with serving(tmp_path_factory.mktemp("hub"), patience_s=1.0) as one:
        yield one


@pytest.mark.parametrize(
    "data",
    [b"\x16\x03\x01\x02\x00\x01\n\n\n\n", b"GET\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n",
     b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: " + b"y" * 70_000,
     b"POST /api/register HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n",
     b"POST /api/register HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n"],
    ids=lambda data: repr(data[:20]),
)  # fmt: skip
def test_connection_what_is_no_http_is_refused_and_the_hub_goes_on(live: Live, data: bytes) -> None:
    received = exchange(live, data)
    assert received.startswith(b"HTTP/1.1 400 ") and received.endswith(b'{"error":"invalid http request"}\n')
    assert live.anybody().get("/api/health").status_code == 200


@pytest.mark.parametrize(
    "pieces",
    [
        [head("POST", "/api/register", "Content-Length: 60000"), *[b" "] * 60],
        [b"GET / HTTP/1.1\r\n", *[b"X: y\r\n"] * 60],
    ],
    ids=["body", "head"],
)
def test_connection_clients_that_trickle_are_cut_off(live: Live, pieces: list[bytes]) -> None:
    begun, received = time.monotonic(), b""
    with contextlib.suppress(ConnectionError):
        received = exchange(live, *pieces, pause_s=0.1)
    assert not received and time.monotonic() - begun < 5


def test_connection_client_that_is_idle_between_two_requests_is_not_cut_off(live: Live) -> None:
    again = head("GET", "/api/health")
    received = exchange(live, again.replace(b"Connection: close\r\n", b""), again, pause_s=2.5)
    assert received.count(b"HTTP/1.1 200 ") == 2


def test_connection_clients_that_take_no_answer_are_cut_off(tmp_path: Path) -> None:
    with serving(tmp_path / "hub", patience_s=0.2) as live:
        agent = live.join("talker")
        agent.post("/api/channels", name="talk")
        for _ in range(200):
            agent.post("/api/channels/talk/posts", content="x" * 16_000)
        host, port = live.url.removeprefix("http://").split(":")
        with socket.socket() as wire:
            wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            wire.connect((host, int(port)))
            key = f"Authorization: Bearer {agent.key}"
            wire.sendall(head("GET", "/api/channels/talk/posts?limit=200", key))
            time.sleep(3)
            taken = 0
            while part := wire.recv(65536):
                taken += len(part)
            assert 0 < taken < 200 * 16_000


def test_connection_connections_are_bounded(tmp_path: Path) -> None:
    with serving(tmp_path / "hub", Limits(connections=3)) as live:
        host, port = live.url.removeprefix("http://").split(":")
        held = [socket.create_connection((host, int(port))) for _ in range(3)]
        until = time.monotonic() + 10
        while b" 503 " not in (received := exchange(live, b"")):
            assert time.monotonic() < until
        assert b"retry-after: 5\r\n" in received.lower() and received.endswith(b'{"error":"too many connections"}\n')
        for one in held:
            one.close()
        while live.anybody().get("/api/health").status_code != 200:
            assert time.monotonic() < until
