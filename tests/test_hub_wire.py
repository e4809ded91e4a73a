"""What crosses the wire, row by row: autoresearch/hub/server (operation, guard, connection, members) on real sockets.

Not covered: git, results, claims and events, which have files of their own.
"""

import contextlib
import json
import re
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests
from hubs import ROOMY, Client, Live, serving, stored

from autoresearch.hub.limits import HOUR_S, Limits
from autoresearch.hub.server import members
from autoresearch.hub.server.app import OPERATIONS

TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"
CHANNEL_KEYS = {"id", "name", "description", "created_at"}
POST_KEYS = {"id", "channel_id", "agent_id", "parent_id", "content", "created_at"}


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with serving(tmp_path_factory.mktemp("hub"), patience_s=1.0) as one:
        yield one


@pytest.fixture(scope="module")
def agent(live: Live) -> Client:
    """An agent, and a channel `talk` with a post and a reply to it."""
    one = live.join("speaker")
    one.post("/api/channels", name="talk", description="of all")
    first = one.post("/api/channels/talk/posts", content="first").json()
    one.post("/api/channels/talk/posts", content="reply", parent_id=first["id"])
    return one


def said(answer: requests.Response) -> tuple[int, str]:
    """Status and words of a refusal."""
    body = answer.json()
    assert set(body) == {"error"} and answer.headers["Content-Type"] == "application/json"
    assert answer.text.endswith("}\n")
    return answer.status_code, body["error"]


def exchange(live: Live, data: bytes, *more: bytes, pause_s: float = 0.0) -> bytes:
    """Send bytes, piece by piece, and read until the hub closes."""
    host, port = live.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as wire:
        wire.sendall(data)
        for piece in more:
            time.sleep(pause_s)
            wire.sendall(piece)
        received = b""
        while part := wire.recv(65536):
            received += part
        return received


def head(method: str, path: str, *lines: str) -> bytes:
    """The head of a request that closes its connection."""
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: localhost", "Connection: close", *lines, "", ""]).encode()


# Each row of the table


def test_wire_health(live: Live) -> None:
    answer = live.anybody().get("/api/health")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


def test_wire_unknown_paths_are_404(live: Live, agent: Client) -> None:
    for path in (
        "/api/nothing",
        "/api",
        "/nothing",
        "/api/channels/",
        "/api/channels/talk",
        "/api/posts/",
        "//api/health",
    ):
        assert said(agent.get(path)) == (404, "not found"), path


def test_wire_register(live: Live) -> None:
    made = live.anybody().post("/api/register", id="Agent-1._x")
    assert made.status_code == 201 and set(made.json()) == {"api_key", "id"} and made.json()["id"] == "Agent-1._x"
    assert re.fullmatch(r"[0-9a-f]{64}", made.json()["api_key"])
    assert said(live.anybody().post("/api/register", id="Agent-1._x")) == (409, "agent id already taken")
    assert live.anybody().post("/api/register", id="a" * 63).status_code == 201


@pytest.mark.parametrize(
    "name",
    ["", " ", "-a", ".a", "_a", "a b", "a/b", "ä", "a\n", "a\0", "a" * 64, None, 7, True, ["a"], {"a": 1}, "\ud800"],
    ids=repr,
)
@pytest.mark.parametrize("path", ["/api/register", "/api/admin/agents"])
def test_wire_bad_ids_are_refused(live: Live, path: str, name: object) -> None:
    status, words = said(live.admin().post(path, id=name))
    assert status == 400 and "[a-zA-Z0-9][a-zA-Z0-9._-]{0,62}" in words


def test_wire_admin_adds_agents(live: Live) -> None:
    made = live.admin().post("/api/admin/agents", id="invited")
    assert made.status_code == 201 and set(made.json()) == {"api_key", "id"}
    assert Client(live.url, made.json()["api_key"]).get("/api/channels").status_code == 200
    assert said(live.admin().post("/api/admin/agents", id="invited")) == (409, "agent id already taken")
    assert said(live.anybody().post("/api/admin/agents", id="other")) == (401, "unauthorized")


def test_wire_channels_are_listed_by_name(live: Live, agent: Client) -> None:
    assert agent.post("/api/channels", name="zoo", description="animals").status_code == 201
    made = agent.post("/api/channels", name="a-1_b")
    assert made.status_code == 201 and set(made.json()) == CHANNEL_KEYS and made.json()["description"] == ""
    assert re.fullmatch(TIME, made.json()["created_at"])
    listed = agent.get("/api/channels").json()
    assert isinstance(listed, list) and made.json() in listed
    assert [one["name"] for one in listed] == sorted(one["name"] for one in listed)


@pytest.mark.parametrize("name", ["", "A", "-a", "_a", "a b", "a.b", "a" * 32, "a\n", None, 1, ["a"]], ids=repr)
def test_wire_bad_channel_names_are_refused(live: Live, agent: Client, name: object) -> None:
    status, words = said(agent.post("/api/channels", name=name))
    assert status == 400 and "[a-z0-9][a-z0-9_-]{0,30}" in words


def test_wire_channel_that_exists_is_said_before_there_are_too_many(tmp_path: Path) -> None:
    with serving(tmp_path / "hub", Limits(channels=2)) as live:
        agent = live.join("maker")
        assert [agent.post("/api/channels", name=name).status_code for name in "ab"] == [201, 201]
        assert said(agent.post("/api/channels", name="a")) == (409, "channel already exists")
        assert said(agent.post("/api/channels", name="c")) == (403, "at most 2 channels")


def test_wire_posts_are_newest_first_with_replies_mixed_in(live: Live, agent: Client) -> None:
    listed = agent.get("/api/channels/talk/posts").json()
    assert [one["content"] for one in listed[-2:]] == ["reply", "first"]
    assert all(set(one) == POST_KEYS and re.fullmatch(TIME, one["created_at"]) for one in listed)
    assert listed[-1]["parent_id"] is None and listed[-2]["parent_id"] == listed[-1]["id"]
    assert said(agent.get("/api/channels/none/posts")) == (404, "channel not found")


def test_wire_post_is_refused_in_words(live: Live, agent: Client) -> None:
    path = "/api/channels/talk/posts"
    for body in ({}, {"content": ""}, {"content": None}, {"content": 5}, {"content": ["x"]}):
        assert said(agent.post(path, **body)) == (400, "content is required")
    for parent in (10**6, -1, 0, 10**30, "1", True, [1], 1.5):
        assert said(agent.post(path, content="x", parent_id=parent)) == (400, "parent post not found")
    assert said(agent.post("/api/channels/none/posts", content="x")) == (404, "channel not found")
    agent.post("/api/channels", name="aside")
    above = agent.get(path).json()[0]["id"]
    assert said(agent.post("/api/channels/aside/posts", content="x", parent_id=above))[0] == 400


def test_wire_content_is_bounded_in_bytes(live: Live, agent: Client) -> None:
    path = "/api/channels/talk/posts"
    most = Limits().content_bytes
    bodies = [f'{{"content": "{"ä" * (most // 2)}{more}"}}'.encode() for more in ("", "x")]
    assert [agent.call("POST", path, data=body).status_code for body in bodies] == [201, 400]


def test_wire_post_and_replies(live: Live, agent: Client) -> None:
    first = agent.get("/api/channels/talk/posts").json()[-1]
    assert agent.get(f"/api/posts/{first['id']}").json() == first
    assert [one["content"] for one in agent.get(f"/api/posts/{first['id']}/replies").json()] == ["reply"]
    for tail in ("", "/replies"):
        for junk in ("x", "-1", "1.5", "1x", "%20", "9" * 30, "²", "0x1"):
            assert said(agent.get(f"/api/posts/{junk}{tail}")) == (400, "invalid post id"), junk
        for number in ("0", "999999", str(2**63 - 1)):
            assert said(agent.get(f"/api/posts/{number}{tail}")) == (404, "post not found"), number


# Who calls


def test_wire_every_route_asks_for_its_own_key(live: Live, agent: Client) -> None:
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
def test_wire_authorization_header(live: Live, agent: Client, form: str, status: int) -> None:
    header = {"Authorization": form.format(key=agent.key).encode("latin-1")}
    assert requests.get(live.url + "/api/channels", headers=header, timeout=20).status_code == status


def test_wire_keys_are_not_stored(live: Live, agent: Client) -> None:
    files = stored(live)
    assert b"speaker" in files and agent.key.encode() not in files and live.admin().key.encode() not in files
    assert (live.hub.folder / "admin.key").stat().st_mode & 0o777 == 0o600


def test_wire_refused_keys_are_counted_and_told_once(tmp_path: Path) -> None:
    heard: list[str] = []
    with serving(tmp_path / "hub") as live:
        live.hub.tally.say = heard.append
        for _ in range(50):
            Client(live.url, "wrong").get("/api/channels")
        assert not heard
    assert heard == ["no valid key: 50 times within a minute, the last: '127.0.0.1'"]


# Bodies


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "text/plain", "multipart/form-data", "", None])
def test_wire_content_type_is_neither_needed_nor_trusted(live: Live, agent: Client, kind: str | None) -> None:
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
def test_wire_what_is_no_json_object_is_refused(live: Live, body: bytes) -> None:
    status, words = said(live.anybody().call("POST", "/api/register", data=body))
    assert status == 400 and words.startswith("invalid json")


def test_wire_last_of_two_equal_keys_counts(live: Live) -> None:
    answer = live.anybody().call("POST", "/api/register", data=b'{"id": "early", "id": "late"}')
    assert answer.json()["id"] == "late"


def test_wire_huge_numbers_in_unknown_keys_are_ignored(live: Live) -> None:
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
def test_wire_any_text_comes_back(live: Live, agent: Client, sent: bytes, kept: str) -> None:
    made = agent.call("POST", "/api/channels/talk/posts", data=b'{"content": "' + sent + b'"}')
    assert made.status_code == 201 and made.json()["content"] == kept
    assert agent.get(f"/api/posts/{made.json()['id']}").json()["content"] == kept


def test_wire_body_of_exactly_the_limit_is_read_and_one_more_byte_is_not(live: Live) -> None:
    most = Limits().body_bytes
    fitting = b'{"id": "padded"}'.ljust(most)
    assert said(live.anybody().call("POST", "/api/register", data=fitting + b" ")) == (
        413,
        f"a JSON body must have at most {most} bytes",
    )
    assert live.anybody().call("POST", "/api/register", data=fitting).status_code == 201


def test_wire_chunked_body(live: Live) -> None:
    body = b'{"id": "chunked"}'
    pieces = b"".join(b"1\r\n" + bytes([byte]) + b"\r\n" for byte in body) + b"0\r\n\r\n"
    received = exchange(live, head("POST", "/api/register", "Transfer-Encoding: chunked") + pieces)
    assert received.startswith(b"HTTP/1.1 201 ")
    endless = (
        head("POST", "/api/register", "Transfer-Encoding: chunked") + b"10000\r\n" + b"x" * 65536 + b"\r\n2\r\nxx\r\n"
    )
    assert exchange(live, endless).startswith(b"HTTP/1.1 413 ")


def test_wire_body_that_is_cut_off_makes_nothing(live: Live) -> None:
    host, port = live.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as wire:
        wire.sendall(head("POST", "/api/register", "Content-Length: 500") + b'{"id": "cut"}')
    time.sleep(0.1)
    assert live.anybody().post("/api/register", id="cut").status_code == 201


def test_wire_keeps_a_connection_after_a_refused_body(live: Live, agent: Client) -> None:
    """What is left of a refused body is no next request."""
    smuggled = head("GET", "/api/health") * 2000
    for path, status in (("/api/register", 413), ("/api/channels/talk/posts", 401)):
        caller = live.anybody()
        assert caller.call("POST", path, data=smuggled).status_code == status
        assert caller.get("/api/health").json() == {"status": "ok"}


# Lists


@pytest.fixture(scope="module")
def long(agent: Client) -> str:
    """A channel of 120 posts."""
    agent.post("/api/channels", name="long")
    for number in range(120):
        agent.post("/api/channels/long/posts", content=str(number))
    return "/api/channels/long/posts"


@pytest.mark.parametrize("junk", ["", "x", "0", "-5", "1.5", "1e3", " 7", "٣", "9" * 30, "0x10", "null", "%00"])
def test_wire_junk_limit_reads_as_50(agent: Client, long: str, junk: str) -> None:
    assert len(agent.get(f"{long}?limit={junk}").json()) == 50
    assert agent.get(f"{long}?limit={junk}&offset={junk}").json()[0]["content"] == "119"


def test_wire_pages_partition_the_list(agent: Client, long: str) -> None:
    whole: list[Any] = agent.get(long, limit=1000).json()
    assert len(whole) == 120
    url, found = f"{long}?limit=50&note=a%20b", []
    while url:
        answer = agent.get(url)
        assert answer.headers["X-Total-Count"] == "120" and isinstance(answer.json(), list)
        found += answer.json()
        url = answer.links["next"]["url"].removeprefix(agent.url) if "next" in answer.links else ""
        assert "note=a" in url or not url
    assert found == whole
    back = agent.get(long, limit=50, offset=100).links["prev"]["url"]
    assert agent.get(back.removeprefix(agent.url)).json() == whole[50:100]
    beyond = agent.get(long, offset=10**6)
    assert beyond.json() == [] and "next" not in beyond.links


# HTTP


def test_wire_head_is_answered_on_every_get(live: Live, agent: Client) -> None:
    for one in OPERATIONS:
        if one.method == "GET" and "text/event-stream" not in one.answers.values():
            path = re.sub(r"\{\w+\}", "1", one.template)
            asked, got = agent.call("HEAD", path), agent.get(path)
            assert (asked.status_code, asked.content) == (got.status_code, b""), path
            assert asked.headers.get("Content-Type") == got.headers.get("Content-Type")


def test_wire_other_methods_name_those_that_are_there(live: Live, agent: Client) -> None:
    answer = agent.call("PUT", "/api/channels")
    assert said(answer) == (405, "method not allowed") and answer.headers["Allow"] == "GET, HEAD, POST"


def test_wire_headers_of_safety_stand_on_every_answer(live: Live, agent: Client) -> None:
    answers = [agent.get("/api/channels"), agent.get("/nothing"), live.anybody().get("/api/channels")]
    answers += [agent.call("PUT", "/api/channels"), requests.get(live.url, headers={"Host": "evil"}, timeout=20)]
    for answer in answers:
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert answer.headers["Cache-Control"] == "no-store"
        assert "Server" not in answer.headers


def test_wire_no_cors(live: Live, agent: Client) -> None:
    foreign = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    for method in ("OPTIONS", "GET", "POST"):
        answer = agent.call(method, "/api/channels", headers=foreign)
        assert not [name for name in answer.headers if name.lower().startswith("access-control")]
        assert (answer.status_code == 200) == (method == "GET")


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost:1", "http://["])
def test_wire_foreign_pages_do_not_write(live: Live, origin: str) -> None:
    """A form of another site needs no key to register: the browser says where it comes from."""
    answer = live.anybody().call("POST", "/api/register", data=b'{"id": "forged"}', headers={"Origin": origin})
    assert said(answer) == (403, "pages of other sites may not write to this hub")
    own = live.anybody().call("POST", "/api/register", data=b"{}", headers={"Origin": live.url})
    assert own.status_code == 400


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:80", "evil:localhost"]
)
def test_wire_rebound_names_are_not_answered(live: Live, host: str) -> None:
    for path in ("/api/health", "/", "/nothing"):
        answer = requests.get(live.url + path, headers={"Host": host}, timeout=20)
        assert answer.status_code == 421 and "--name" in answer.json()["error"]


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1", "[::1]", "[::1]:8080"])
def test_wire_own_names_are_answered(live: Live, host: str) -> None:
    assert requests.get(live.url + "/api/health", headers={"Host": host}, timeout=20).status_code == 200


def test_wire_hub_answers_to_the_names_it_was_given(tmp_path: Path) -> None:
    with serving(tmp_path / "a", hosts=["hub.example"]) as live:
        assert (
            requests.get(live.url + "/api/health", headers={"Host": "Hub.Example:443"}, timeout=20).status_code == 200
        )
        assert live.anybody().get("/api/health").status_code == 421
    with serving(tmp_path / "b", hosts=["*"]) as live:
        assert requests.get(live.url + "/api/health", headers={"Host": "any"}, timeout=20).status_code == 200


@pytest.mark.parametrize(
    "data",
    [b"\x16\x03\x01\x02\x00\x01\n\n\n\n", b"GET\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n",
     b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: " + b"y" * 70_000,
     b"POST /api/register HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n",
     b"POST /api/register HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n"],
    ids=lambda data: repr(data[:20]),
)  # fmt: skip
def test_wire_what_is_no_http_is_refused_and_the_hub_goes_on(live: Live, data: bytes) -> None:
    received = exchange(live, data)
    assert received.startswith(b"HTTP/1.1 400 ") and received.endswith(b'{"error":"invalid http request"}\n')
    assert live.anybody().get("/api/health").status_code == 200


# Slow and many clients


@pytest.mark.parametrize(
    "pieces",
    [
        [head("POST", "/api/register", "Content-Length: 60000"), *[b" "] * 60],
        [b"GET / HTTP/1.1\r\n", *[b"X: y\r\n"] * 60],
    ],
    ids=["body", "head"],
)
def test_wire_clients_that_trickle_are_cut_off(live: Live, pieces: list[bytes]) -> None:
    begun, received = time.monotonic(), b""
    with contextlib.suppress(ConnectionError):
        received = exchange(live, *pieces, pause_s=0.1)
    assert not received and time.monotonic() - begun < 5


def test_wire_client_that_is_idle_between_two_requests_is_not_cut_off(live: Live) -> None:
    again = head("GET", "/api/health")
    received = exchange(live, again.replace(b"Connection: close\r\n", b""), again, pause_s=2.5)
    assert received.count(b"HTTP/1.1 200 ") == 2


def test_wire_clients_that_take_no_answer_are_cut_off(tmp_path: Path) -> None:
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


def test_wire_connections_are_bounded(tmp_path: Path) -> None:
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


# Limits


def test_wire_exactly_as_many_registrations_get_through_at_once(tmp_path: Path) -> None:
    with serving(tmp_path / "hub", Limits(registrations_per_hour=10)) as live:
        barrier = threading.Barrier(24)

        def register(number: int) -> requests.Response:
            barrier.wait()
            return live.anybody().post("/api/register", id=f"agent-{number}")

        with ThreadPoolExecutor(24) as pool:
            answers = list(pool.map(register, range(24)))
        assert sorted(one.status_code for one in answers) == [201] * 10 + [429] * 14
        assert {one.headers.get("Retry-After") for one in answers} == {None, str(HOUR_S)}
        assert live.hub.db.value("SELECT count(*) FROM agents") == 10
        live.clock.now += HOUR_S
        assert live.anybody().post("/api/register", id="later").status_code == 201


def test_wire_exactly_as_many_posts_get_through_at_once(tmp_path: Path) -> None:
    with serving(tmp_path / "hub", Limits(posts_per_hour=7)) as live:
        agent, other, barrier = live.join("keen"), live.join("other"), threading.Barrier(16)
        agent.post("/api/channels", name="talk")

        def post(number: int) -> int:
            barrier.wait()
            return Client(live.url, agent.key).post("/api/channels/talk/posts", content="x").status_code

        with ThreadPoolExecutor(16) as pool:
            assert sorted(pool.map(post, range(16))) == [201] * 7 + [429] * 9
        assert other.post("/api/channels/talk/posts", content="x").status_code == 201


def test_wire_registrations_that_fail_are_not_counted_and_the_admin_is_not_limited(tmp_path: Path) -> None:
    with serving(tmp_path / "hub", Limits(registrations_per_hour=2)) as live:
        live.join("one")
        assert [live.anybody().post("/api/register", id=name).status_code for name in ("one", "-", "one")] == [
            409,
            400,
            409,
        ]
        live.join("two")
        assert live.anybody().post("/api/register", id="three").status_code == 429
        assert live.admin().post("/api/admin/agents", id="three").status_code == 201


def test_wire_registration_can_be_left_to_the_administrator(tmp_path: Path) -> None:
    with serving(tmp_path / "hub", Limits(registrations_per_hour=0)) as live:
        assert live.anybody().post("/api/register", id="stranger").status_code == 429
        assert live.admin().post("/api/admin/agents", id="invited").status_code == 201


def test_wire_proxy_tells_the_address_only_where_it_is_trusted(tmp_path: Path) -> None:
    def codes(live: Live, *addresses: str) -> list[int]:
        posts = [("POST", {"X-Forwarded-For": address}, f"a{number}") for number, address in enumerate(addresses)]
        return [
            live.anybody().call(method, "/api/register", json={"id": name}, headers=headers).status_code
            for method, headers, name in posts
        ]

    limits = Limits(registrations_per_hour=1)
    with serving(tmp_path / "a", limits, proxies="127.0.0.1") as live:
        assert codes(live, "2001:db8:1:2::1", "2001:db8:1:2:ffff::2", "2001:db8:1:3::1", "192.0.2.1") == [
            201,
            429,
            201,
            201,
        ]
    with serving(tmp_path / "b", limits) as live:
        assert codes(live, "192.0.2.1", "192.0.2.2") == [201, 429]


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"), ("::ffff:192.0.2.7", "192.0.2.7"), ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8:0:0:9::1", "2001:db8::/64"), ("2001:db8:0:1::1", "2001:db8:0:1::/64"), ("fe80::1%eth0", "fe80::/64"),
        ("", ""), ("nonsense", "nonsense"),
    ],
)  # fmt: skip
def test_network_of_an_address(address: str, network: str) -> None:
    assert members.network_of(address) == network


# Disk


def test_wire_full_disk_is_said_and_nothing_is_half_done(tmp_path: Path) -> None:
    heard: list[str] = []
    with serving(tmp_path / "hub", ROOMY) as live:
        live.hub.tally.say = heard.append
        agent = live.join("writer")
        agent.post("/api/channels", name="talk")
        pages = live.hub.db.value("PRAGMA page_count")
        live.hub.db.run(f"PRAGMA max_page_count={pages}")  # SQLite then says what it says on a full disk
        codes: list[int] = []
        while 507 not in codes and len(codes) < 100:
            answer = agent.post("/api/channels/talk/posts", content="x" * 30_000)
            codes.append(answer.status_code)
        assert "make room" in said(answer)[1]
        assert len(agent.get("/api/channels/talk/posts", limit=200).json()) == codes.count(201)
        live.hub.db.run("PRAGMA max_page_count=1000000")
        assert agent.post("/api/channels/talk/posts", content="x").status_code == 201
    assert "could not serve" in heard[0] and "full" in heard[0]


def test_wire_another_writer_is_waited_for(tmp_path: Path) -> None:
    with serving(tmp_path / "hub") as live:
        agent = live.join("patient")
        other = sqlite3.connect(live.hub.db.path, isolation_level=None, check_same_thread=False)
        other.execute("BEGIN IMMEDIATE")
        threading.Timer(0.3, lambda: other.execute("COMMIT")).start()
        assert agent.post("/api/channels", name="talk").status_code == 201
        other.close()
