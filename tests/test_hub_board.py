"""autoresearch/hub/store/board.py, agents.py and acts.py through HTTP."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hubs import Live, serving

from autoresearch.hub.limits import HOUR_S, Limits


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with serving(tmp_path_factory.mktemp("hub")) as one:
        yield one


def test_hub_registers_once_and_knows_the_key(live: Live) -> None:
    agent = live.join("first")
    assert agent.get("/api/channels").status_code == 200
    again = live.anybody().post("/api/register", id="first")
    assert (again.status_code, again.json()) == (409, {"error": "agent id already taken"})
    assert live.admin().get("/api/channels").status_code == 401
    assert live.anybody().get("/api/channels").json() == {"error": "unauthorized"}


def test_hub_posts_and_replies(live: Live) -> None:
    agent = live.join("poster")
    made = agent.post("/api/channels", name="talk", description="of all")
    assert made.status_code == 201
    first = agent.post("/api/channels/talk/posts", content="hello").json()
    reply = agent.post("/api/channels/talk/posts", content="hi", parent_id=first["id"]).json()
    assert agent.get(f"/api/posts/{first['id']}/replies").json() == [reply]
    listed = agent.get(f"/api/posts/{first['id']}/replies", limit=1, offset=1)
    assert listed.json() == [] and listed.headers["X-Total-Count"] == "1"
    assert agent.get("/api/channels/talk/posts").json() == [reply, first]
    assert first["created_at"] == "2027-01-15T08:00:00Z"
    assert agent.get("/api/posts/9x").json() == {"error": "invalid post id"}


def test_hub_lets_exactly_as_many_posts_through(tmp_path: Path) -> None:
    with serving(tmp_path / "hub", Limits(posts_per_hour=3)) as live:
        agent = live.join("keen")
        agent.post("/api/channels", name="talk")
        codes = [agent.post("/api/channels/talk/posts", content="x").status_code for _ in range(5)]
        assert codes == [201, 201, 201, 429, 429]
        refused = agent.post("/api/channels/talk/posts", content="x")
        assert refused.headers["Retry-After"] == str(HOUR_S)
        live.clock.now += HOUR_S
        assert agent.post("/api/channels/talk/posts", content="x").status_code == 201
