"""autoresearch/hub/pages/page.py, assets.py and feed.py: who reads, and that nothing that agents write runs there."""

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import hub_story
import pytest
import requests
from hub_html import HOSTILE, one_of_each, poison, read
from hubs import Live, serving

from autoresearch.hub.limits import Limits
from autoresearch.hub.pages.shelf import Shelf
from autoresearch.hub.store import events

NUM_RUNS = 60
MOST_CPU_S = 0.3


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    folder = tmp_path_factory.mktemp("story") / "hub"
    hub_story.tell(folder, NUM_RUNS)
    with serving(folder) as one:
        one.hub.shelf = Shelf(0.0, 0.0)
        yield one


# --- headers


def test_pages_let_nothing_in(live: Live) -> None:
    for path in (*one_of_each(live), "/platform/none"):
        headers = live.anybody().get(path).headers
        policy = dict(part.strip().split(" ", 1) for part in headers["Content-Security-Policy"].split(";"))
        assert policy["default-src"] == "'none'" and policy["script-src"] == policy["style-src"] == "'self'"
        assert policy["frame-ancestors"] == policy["base-uri"] == "'none'" and "unsafe" not in str(policy)
        assert headers["X-Content-Type-Options"] == "nosniff" and headers["X-Frame-Options"] == "DENY"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["Cross-Origin-Opener-Policy"] == headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert "Access-Control-Allow-Origin" not in headers and "Set-Cookie" not in headers


def test_static_files_are_kept_for_ever_under_the_name_of_their_content(live: Live) -> None:
    page = read(live, "/")
    names = [value for _, name, value in page.attributes if value.startswith("/static/")]
    assert len(names) == 2
    for name in names:
        answer = live.anybody().get(name)
        assert re.search(r"\.[0-9a-f]{16}\.(css|js)$", name) and "immutable" in answer.headers["Cache-Control"]
        assert answer.headers["Content-Type"].startswith(("text/css", "text/javascript"))
        again = live.anybody().call("GET", name, headers={"If-None-Match": answer.headers["ETag"]})
        assert again.status_code == 304 and again.content == b""
    assert live.anybody().get("/static/hub.css").status_code == 404
    assert live.anybody().get("/static/..%2fpage.py").status_code == 404


def test_page_that_did_not_change_is_not_sent_again(live: Live) -> None:
    first = live.anybody().get("/claims")
    again = live.anybody().call("GET", "/claims", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_pages_write_nothing_and_tell_no_secret(live: Live) -> None:
    key = live.join("secretive").key
    digest = live.hub.db.value("SELECT key_hash FROM agents WHERE id = 'secretive'")
    before = live.hub.db.connection.total_changes, live.hub.db.value("PRAGMA data_version")
    for path in (*one_of_each(live), "/agent/secretive"):
        text = live.anybody().get(path).text
        assert key not in text and digest not in text
    assert (live.hub.db.connection.total_changes, live.hub.db.value("PRAGMA data_version")) == before


# --- what agents write


def test_nothing_that_agents_write_runs_or_styles(tmp_path: Path) -> None:
    poison(tmp_path / "hub")
    with serving(tmp_path / "hub") as live:
        quoted, db = requests.utils.quote(HOSTILE, safe=""), live.hub.db
        paths = [
            "/",
            "/commits",
            "/results",
            "/claims",
            "/channel/talk",
            "/channel/results",
            "/agent/eve",
            "/search?q=hacked",
        ]
        paths += [f"/post/{row['id']}" for row in db.rows("SELECT id FROM posts")]
        paths += [f"/commit/{row['hash']}" for row in db.rows("SELECT hash FROM commits")]
        paths += [
            f"/platform/{requests.utils.quote(row['platform'])}" for row in db.rows("SELECT platform FROM results")
        ]
        paths += [f"/search?q={quoted}", f"/results?agent={quoted}&q={quoted}"]
        for path in paths:
            page = read(live, path)
            assert page.tags.count("script") == 1 and page.scripts == 0, path
            assert not {"iframe", "object", "embed", "base", "img", "style", "animate", "foreignobject"} & set(
                page.tags
            )
            for tag, name, value in page.attributes:
                assert not name.startswith("on") and name != "style" and name != "srcdoc", (path, tag, name)
                if name in ("href", "src", "action"):
                    assert value.startswith(("/", "?", "#", "https://", "http://", "data:image/svg+xml,")), (
                        path,
                        value,
                    )
            whole = page.text + "".join(value for _, _, value in page.attributes)
            assert not set(whole) & set("\u202e\u2066\x1b\x00") and "49{% raw %}" not in whole
        assert "<script>hacked=1</script>" in read(live, "/post/1").text


def test_page_of_a_full_post_and_of_many_is_made_in_time(tmp_path: Path) -> None:
    with serving(tmp_path / "hub") as live:
        eve = live.join("eve")
        eve.post("/api/channels", name="talk")
        bomb = "[" * 39 + "*a" * 2900 + "b" * 20_000
        head = eve.post("/api/channels/talk/posts", content=bomb).json()["id"]
        for _ in range(30):
            eve.post("/api/channels/talk/posts", content=bomb, parent_id=head)
            eve.post("/api/channels/talk/posts", content=bomb)
        live.hub.shelf = Shelf(0.0, 0.0)
        for path in (f"/post/{head}", "/channel/talk", "/agent/eve", "/"):
            read(live, path)
            begun = time.process_time()
            assert live.anybody().get(path).status_code == 200
            assert time.process_time() - begun < MOST_CPU_S, path


# --- the feed


def test_feed_tells_that_something_happened_but_not_what(live: Live) -> None:
    poster = live.join("newsmaker")
    poster.post("/api/channels", name="news")
    since = events.last(live.hub.db)
    with requests.get(f"{live.url}/feed?since={since}", stream=True, timeout=30) as answer:
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        lines = answer.iter_lines()
        poster.post("/api/channels/news/posts", content="a secret that no page shows yet")
        told = next(json.loads(line[6:]) for line in lines if line.startswith(b"data: "))
        assert told["kinds"] == ["post"] and set(told) == {"kinds", "last"} and told["last"] == since + 1
    assert requests.head(f"{live.url}/feed", timeout=30).status_code == 200


def test_feed_leaves_half_of_all_places_to_those_with_a_key(tmp_path: Path) -> None:
    with serving(tmp_path / "hub", Limits(listeners=4)) as live:
        agent = live.join("keyed")
        opened = [requests.get(f"{live.url}/feed", stream=True, timeout=30) for _ in range(2)]
        lines = [one.iter_lines() for one in opened]
        assert all(next(one).startswith(b"retry") for one in lines)
        refused = requests.get(f"{live.url}/feed", stream=True, timeout=30)
        assert refused.status_code == 503 and refused.headers["Retry-After"] == "60"
        streams = [agent.call("GET", "/api/stream", stream=True) for _ in range(2)]
        assert [one.status_code for one in streams] == [200, 200]
        for one in (*opened, *streams):
            one.close()
