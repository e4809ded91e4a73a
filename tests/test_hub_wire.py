"""The table of the wire format, row by row, and its lists, on real sockets.

Not covered: git, results, claims and events, which have files of their own.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hubs import Client, Live, serving
from wire import said, speaker

from autoresearch.hub.limits import Limits
from autoresearch.hub.server.app import OPERATIONS

TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"
CHANNEL_KEYS = {"id", "name", "description", "created_at"}
POST_KEYS = {"id", "channel_id", "agent_id", "parent_id", "content", "created_at"}


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with serving(tmp_path_factory.mktemp("hub")) as one:
        yield one


@pytest.fixture(scope="module")
def agent(live: Live) -> Client:
    return speaker(live)


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
