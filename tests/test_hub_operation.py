"""autoresearch/hub/server/operation.py: who calls, and what is read of what was sent."""

import json
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from hubs import Client, Live, serving, stored
from wire import exchange, head, said, speaker

from autoresearch.hub.limits import Limits
from autoresearch.hub.server.app import OPERATIONS


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with serving(tmp_path_factory.mktemp("hub")) as one:
        yield one


@pytest.fixture(scope="module")
def agent(live: Live) -> Client:
    return speaker(live)


def test_operation_every_route_asks_for_its_own_key(live: Live, agent: Client) -> None:
    """The key of the administrator opens none of an agent's doors, and the other way round."""
    asking = [one for one in OPERATIONS if one.auth != "none"]
    assert asking
    for one in asking:
        path = re.sub(r"\{\w+\}", "1", one.template)
        wrong = agent if one.auth == "admin" else live.admin()
        for caller in (live.anybody(), wrong, Client(live.url, "0" * 64)):
            answer = caller.call(one.method, path, data=b"{}")
            assert said(answer) == (401, "unauthorized"), (one.method, path)
            assert answer.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize(
    ("form", "status"),
    [
        ("Bearer {key}", 200), ("bearer {key}", 200), ("BEARER   {key}  ", 200),
        ("{key}", 401), ("Basic {key}", 401), ("Bearer", 401), ("Bearer ", 401), ("Bearer{key}", 401),
        ("Bearer {key}0", 401), ("Bearer {key} {key}", 401), ("Bearer \xff\xfe", 401), ("Token {key}", 401),
    ],
)  # fmt: skip
def test_operation_authorization_header(live: Live, agent: Client, form: str, status: int) -> None:
    header = {"Authorization": form.format(key=agent.key).encode("latin-1")}
    assert requests.get(live.url + "/api/channels", headers=header, timeout=20).status_code == status


def test_operation_keys_are_not_stored(live: Live, agent: Client) -> None:
    files = stored(live)
    assert b"speaker" in files and agent.key.encode() not in files and live.admin().key.encode() not in files
    assert (live.hub.folder / "admin.key").stat().st_mode & 0o777 == 0o600


def test_operation_refused_keys_are_counted_and_told_once(tmp_path: Path) -> None:
    heard: list[str] = []
    with serving(tmp_path / "hub") as live:
        live.hub.tally.say = heard.append
        for _ in range(50):
            Client(live.url, "wrong").get("/api/channels")
        assert not heard
    assert heard == ["no valid key: 50 times within a minute, the last: '127.0.0.1'"]


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "text/plain", "multipart/form-data", "", None])
def test_operation_content_type_is_neither_needed_nor_trusted(live: Live, agent: Client, kind: str | None) -> None:
    body = json.dumps({"content": f"sent as {kind}", "unknown": {"key": [1]}, "agent_id": "somebody else"})
    answer = agent.call("POST", "/api/channels/talk/posts", data=body, headers={"Content-Type": kind})
    assert answer.status_code == 201 and answer.json()["agent_id"] == "speaker"


@pytest.mark.parametrize(
    "body",
    [
        b"", b" ", b"{", b"[]", b'"text"', b"null", b"5", b"{} {}", b'{"id": NaN}', b'{"id": 1e999}', b"{'id': 'a'}",
        b"id=a", b"[" * 60_000, b'{"a":' * 10_000, b'{"id": ' + b"9" * 5000 + b"}", b"\x00", b"\xef\xbb\xbf{}",
    ],
    ids=lambda body: repr(body[:12]),
)  # fmt: skip
def test_operation_what_is_no_json_object_is_refused(live: Live, body: bytes) -> None:
    status, words = said(live.anybody().call("POST", "/api/register", data=body))
    assert status == 400 and words.startswith("invalid json")


def test_operation_last_of_two_equal_keys_counts(live: Live) -> None:
    answer = live.anybody().call("POST", "/api/register", data=b'{"id": "early", "id": "late"}')
    assert answer.json()["id"] == "late"


def test_operation_huge_numbers_in_unknown_keys_are_ignored(live: Live) -> None:
    body = b'{"id": "modest", "other": ' + b"9" * 4000 + b"}"
    assert live.anybody().call("POST", "/api/register", data=body).status_code == 201


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (rb"a\u0000b", "a\0b"), (b"\xf0\x9f\x98\x80 \xc3\xa4", "\U0001f600 ä"), (rb"\ud83d\ude00", "\U0001f600"),
        (rb"log \udcff\ud800 end", "log ?? end"), (b"caf\xe9", "caf\N{REPLACEMENT CHARACTER}"),
        (rb"<b>&\"'\u202e", "<b>&\"'\u202e"), (rb"back\\udslash", "back\\udslash"),
    ],
    ids=ascii,
)  # fmt: skip
def test_operation_any_text_comes_back(live: Live, agent: Client, sent: bytes, kept: str) -> None:
    made = agent.call("POST", "/api/channels/talk/posts", data=b'{"content": "' + sent + b'"}')
    assert made.status_code == 201 and made.json()["content"] == kept
    assert agent.get(f"/api/posts/{made.json()['id']}").json()["content"] == kept


def test_operation_body_of_exactly_the_limit_is_read_and_one_more_byte_is_not(live: Live) -> None:
    most = Limits().body_bytes
    fitting = b'{"id": "padded"}'.ljust(most)
    assert said(live.anybody().call("POST", "/api/register", data=fitting + b" ")) == (
        413,
        f"a JSON body must have at most {most} bytes",
    )
    assert live.anybody().call("POST", "/api/register", data=fitting).status_code == 201


def test_operation_chunked_body(live: Live) -> None:
    body = b'{"id": "chunked"}'
    pieces = b"".join(b"1\r\n" + bytes([byte]) + b"\r\n" for byte in body) + b"0\r\n\r\n"
    received = exchange(live, head("POST", "/api/register", "Transfer-Encoding: chunked") + pieces)
    assert received.startswith(b"HTTP/1.1 201 ")
    endless = (
        head("POST", "/api/register", "Transfer-Encoding: chunked") + b"10000\r\n" + b"x" * 65536 + b"\r\n2\r\nxx\r\n"
    )
    assert exchange(live, endless).startswith(b"HTTP/1.1 413 ")


def test_operation_body_that_is_cut_off_makes_nothing(live: Live) -> None:
    host, port = live.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as wire:
        wire.sendall(head("POST", "/api/register", "Content-Length: 500") + b'{"id": "cut"}')
    time.sleep(0.1)
    assert live.anybody().post("/api/register", id="cut").status_code == 201


def test_operation_keeps_a_connection_after_a_refused_body(live: Live, agent: Client) -> None:
    """What is left of a refused body is no next request."""
    smuggled = head("GET", "/api/health") * 2000
    for path, status in (("/api/register", 413), ("/api/channels/talk/posts", 401)):
        caller = live.anybody()
        assert caller.call("POST", path, data=smuggled).status_code == status
        assert caller.get("/api/health").json() == {"status": "ok"}
