"""autoresearch/hub/pages/: what is shown, by whom it can be read, and that nothing that agents write runs there."""

import json
import re
import time
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import hub_story
import pytest
import requests
from hubs import Live, serving

from autoresearch.hub.folder import DATABASE, REPOSITORY
from autoresearch.hub.limits import Limits
from autoresearch.hub.pages import site
from autoresearch.hub.pages.shelf import Shelf
from autoresearch.hub.store import Database, agents, board, claims, commits, events, reports
from autoresearch.hub.store.measurement import Measurement
from autoresearch.repo.bare import Bare

PATHS = [page.path for page in site.PAGES]
NUM_RUNS = 200
MOST_CPU_S = 0.3
HOSTILE = (
    "</title></script><script>hacked=1</script><img src=x onerror=hacked=2><svg onload=hacked=3>"
    "[x](javascript:hacked=4)' onmouseover='hacked=5\" onfocus=\"hacked=6 {{ 7 * 7 }}{% raw %}\u202e\u2066\x1b[31m"
)
HOSTILE_MARKDOWN = f"# {HOSTILE}\n\n```\n{HOSTILE}\n```\n\n| a |\n|---|\n| {HOSTILE} |\n\n> {HOSTILE}\n"


class Page(HTMLParser):
    """What a page holds."""

    def __init__(self, html: str):
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.text, self.scripts = "", 0
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        if self.tags[-1:] == ["script"]:
            self.scripts += bool(data.strip())
        self.text += data

    def values(self, name: str) -> list[str]:
        return [value for _, found, value in self.attributes if found == name]


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    folder = tmp_path_factory.mktemp("story") / "hub"
    hub_story.tell(folder, NUM_RUNS)
    with serving(folder) as one:
        one.hub.shelf = Shelf(0.0, 0.0)
        yield one


def read(live: Live, path: str, status: int = 200) -> Page:
    answer = live.anybody().get(path)
    assert answer.status_code == status, f"{path}: {answer.status_code} {answer.text[:300]}"
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    return Page(answer.text)


def one_of_each(live: Live) -> list[str]:
    """An address of every page."""
    db = live.hub.db
    filled = {
        "/platform/{name:path}": "/platform/H100",
        "/commit/{hash}": f"/commit/{db.value('SELECT hash FROM commits ORDER BY num_children DESC')}",
        "/channel/{name}": "/channel/discussion",
        "/post/{id}": f"/post/{db.value('SELECT parent_id FROM posts WHERE parent_id IS NOT NULL')}",
        "/agent/{id}": "/agent/atlas",
        "/search": "/search?q=batch",
    }
    return [filled.get(path, path) for path in PATHS]


# --- what is shown


def test_pages_need_no_key_and_answer_head(live: Live) -> None:
    for path in one_of_each(live):
        page = read(live, path)
        assert "title" in page.tags and page.tags.count("main") == 1 and page.tags.count("h1") == 1, path
        head = requests.head(live.url + path, timeout=30)
        assert head.status_code == 200 and head.content == b"" and int(head.headers["Content-Length"]) > 500


def test_dashboard_shows_how_far_each_platform_is(live: Live) -> None:
    page = read(live, "/")
    for words in ("H100", "4090", "M4-Max", "line of records", "Being tried now", "deeper still", "Pushed last"):
        assert words in page.text, words
    boards = live.join("reader").get("/api/leaderboard").json()
    for one in boards:
        leader = one["entries"][0]
        assert f"{leader['mean']:.4f}" in page.text and f"/commit/{leader['commit']}" in page.values("href")
    marks = [name for tag, kind, name in page.attributes if tag == "a" and kind == "class"]
    assert marks.count("record") == sum(len(one["records"]) for one in boards)
    assert marks.count("dot") + marks.count("beyond") + marks.count("crash") == NUM_RUNS


def test_platform_groups_replicates_and_says_how_sure_it_is(live: Live) -> None:
    page = read(live, "/platform/h100")  # whatever the case
    (found,) = (one for one in live.join("asker").get("/api/leaderboard").json() if one["platform"] == "H100")
    many = max(found["entries"], key=lambda entry: entry["n"])
    assert many["n"] > 1 and f"{many['n']} runs" in page.text and f"{many['sd']:.2g}" in page.text
    values = live.hub.db.rows("SELECT value FROM results WHERE train_blob = ?", many["train_blob"])
    assert all(f"{row['value']:.6f}" in page.text for row in values)
    assert "replicated" in page.text and "self-reported" in page.text and "record" in page.text


def test_graph_folds_fans_and_has_every_commit_once(live: Live) -> None:
    db, shown, path = live.hub.db, [], "/commits"
    while path:
        page = read(live, path)
        for tag, name, value in page.attributes:
            if (tag, name) == ("li", "id"):
                shown.append(value)
        older = [value for value in page.values("href") if value.startswith("?offset=")]
        at = int(path.partition("=")[2] or 0)
        path = next((f"/commits{one}" for one in older if int(one.partition("=")[2]) > at), "")
    fans = db.rows(
        "SELECT parent_hash, count(*) AS count FROM commits WHERE num_children = 0 AND parent_hash != ''"
        " GROUP BY parent_hash HAVING count(*) >= 4"
    )
    assert fans and {f"fan-{fan['parent_hash']}" for fan in fans} <= set(shown)
    assert (
        len(shown)
        == len(set(shown))
        == db.value("SELECT count(*) FROM commits") - sum(fan["count"] - 1 for fan in fans)
    )


def test_commit_shows_results_changes_neighbours_and_what_was_said(live: Live) -> None:
    db = live.hub.db
    row = db.row("SELECT hash, parent_hash FROM commits WHERE parent_hash != '' AND num_children > 0")
    assert row
    page = read(live, f"/commit/{row['hash'][:9]}")
    assert row["hash"] in page.text and f"/commit/{row['parent_hash']}" in page.values("href")
    kinds = [value for tag, name, value in page.attributes if (tag, name) == ("tr", "class")]
    assert "add" in kinds and "del" in kinds and "train.py" in page.text
    assert "What was said of it" in page.text and f"commit:{row['hash'][:7]}" in page.text
    root = read(live, f"/commit/{db.value('SELECT hash FROM commits WHERE parent_hash = ?', '')}")
    assert "Its train.py" in root.text and "MATRIX_LR" in root.text


def test_commit_that_was_not_pushed_shows_what_was_reported(live: Live) -> None:
    name = live.hub.db.value("SELECT commit_hash FROM results WHERE status = 'discard' AND train_blob IS NULL")
    page = read(live, f"/commit/{name}")
    assert "has not pushed it" in page.text and "discard" in page.text and f"commit:{name}" in page.text
    assert "nothing" in read(live, "/commit/0000000", 404).text.lower()


def test_threads_show_replies_in_place(live: Live) -> None:
    poster = live.join("poster")
    poster.post("/api/channels", name="talk")
    head = poster.post("/api/channels/talk/posts", content="# A question\n\nof *all*").json()["id"]
    replies = [
        poster.post("/api/channels/talk/posts", content=f"reply {n}", parent_id=head).json()["id"] for n in range(4)
    ]
    deep = poster.post("/api/channels/talk/posts", content="below the first", parent_id=replies[0]).json()["id"]
    page = read(live, "/channel/talk")
    assert "2 earlier replies" in page.text and "reply 3" in page.text and "reply 0" not in page.text
    page = read(live, f"/post/{head}")
    ids = [value for value in page.values("id") if value.startswith("post-")]
    assert ids == [f"post-{one}" for one in (head, replies[0], deep, *replies[1:])] and "em" in page.tags
    page = read(live, f"/post/{deep}")
    assert [value for value in page.values("id") if value.startswith("post-")] == [
        f"post-{one}" for one in (head, replies[0], deep)
    ]


def test_results_are_filtered_and_paged(live: Live) -> None:
    page = read(live, "/results?platform=4090&status=keep&limit=5")
    rows = [value for value in page.values("id") if value.startswith("result-")]
    assert len(rows) == 5 and "H100" not in [data.strip() for data in page.text.split("platform")[-1].split()]
    (older,) = (value for value in page.values("href") if "offset=5" in value)
    assert "platform=4090" in older and "status=keep" in older and "limit=5" in older
    assert "No result" in read(live, "/results?q=nothingofthekind").text
    assert "No result" in read(live, "/results?offset=99999999").text


def test_search_finds_all_kinds_and_links_to_them(live: Live) -> None:
    page = read(live, "/search?q=batch")
    links = [value.split("/")[1] for value in page.values("href") if re.match("/(post|commit)/", value)]
    assert "post" in links and "commit" in links
    assert "0 matches" in read(live, "/search?q=nothingofthekind").text
    assert read(live, "/search").text
    for words in ('"', "' OR 1=1", "a AND (", "*", "NEAR(", "x" * 3000, "\u202e", "%00"):
        assert live.anybody().get("/search", q=words).status_code == 200


def test_agent_and_claims_tell_who_is_at_what(live: Live) -> None:
    page = read(live, "/agent/moss")
    assert "rotary on half of each head" in page.text and "M4-Max" in page.text and "value embeddings" in page.text
    page = read(live, "/claims")
    assert "3 claims open" in page.text and "45 min left" in page.text
    live.clock.now += 1801
    assert "1 claim open" in read(live, "/claims").text and "ran out" in read(live, "/claims").text
    live.clock.now -= 1801


def test_every_link_leads_somewhere(live: Live) -> None:
    seen: set[str] = set()
    todo, session = ["/"], requests.Session()
    while todo and len(seen) < 250:
        path = todo.pop(0)
        if path in seen:
            continue
        seen.add(path)
        answer = session.get(live.url + path, timeout=30)
        assert answer.status_code == 200, path
        if answer.headers["Content-Type"].startswith("text/html"):
            page, base = Page(answer.text), live.url + path
            ids = set(page.values("id"))
            for value in page.values("href"):
                if not value.startswith(("http", "data:")):
                    where = urlsplit(urljoin(base, value))
                    todo.append(where.path + (f"?{where.query}" if where.query else ""))
                    assert not value.startswith("#") or value[1:] in ids
    assert {path.split("/")[1] for path in seen} >= {
        "agent",
        "channel",
        "commit",
        "platform",
        "post",
        "results",
        "static",
    }


def test_unknown_things_have_a_page(live: Live) -> None:
    for path in ("/platform/none", "/commit/abcdef0", "/channel/none", "/post/999999", "/agent/none"):
        assert "Nothing here" in read(live, path, 404).text
    for path in ("/commit/xyz", "/post/9x", f"/post/{2**70}"):
        read(live, path, 400)
    answer = live.anybody().call("GET", "/nothing", headers={"Accept": "text/html"})
    assert answer.status_code == 404 and "Nothing here" in answer.text
    assert live.anybody().get("/nothing").json() == {"error": "not found"}
    assert live.anybody().get("/api/nothing").json() == {"error": "not found"}


def test_new_hub_has_all_pages(tmp_path: Path) -> None:
    with serving(tmp_path / "hub") as new:
        for path in ("/", "/commits", "/results", "/claims", "/search"):
            read(new, path)
        assert "No result yet" in read(new, "/").text


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


def poison(folder: Path) -> None:
    """A hub in which everything that an agent can write is hostile."""
    folder.mkdir()
    db, bare = Database(folder / DATABASE), Bare(folder / REPOSITORY)
    bare.create()
    now = hub_story.END - 1000
    idea = hub_story.Idea(HOSTILE.replace("\x1b", ""), 0.0, ())
    root = hub_story.Commit(None, idea, f"x = 1\n{HOSTILE}\n", 0.0, "eve", now)
    child = hub_story.Commit(0, idea, f"x = 2\r{HOSTILE}\n{'A' * 9000}\n", 0.0, "eve", now)
    made = hub_story.write_commits(bare, [root, child])
    with db.transaction():
        agents.register(db, "eve", now)
        for name in ("results", "talk"):
            board.create_channel(db, hub_story.ROOMY, "eve", name, HOSTILE, now)
        for arrival in made.values():
            hostile = commits.Arrival(**{**vars(arrival), "author": HOSTILE, "body": f"{HOSTILE}\n" * 9})
            commits.record(db, "eve", [hostile], now)
        head = None
        for content in (
            HOSTILE,
            HOSTILE_MARKDOWN,
            "B" * 32_000,
            "[" * 32_000,
            "a\u0301" * 9_000,
            f"{made[1].hash} {HOSTILE}",
        ):
            head = board.create_post(db, hub_story.ROOMY, "eve", "talk", content, head, now)["id"]
        word = re.sub(r"\s", "", HOSTILE)[:60]
        for value, status in ((0.9, "keep"), (0.91, "discard"), (None, "crash")):
            said = Measurement(made[1].hash, word, "val_bpb", value, status, description=HOSTILE, regime=word)
            reports.submit(db, hub_story.ROOMY, reports.Report("eve", said), now)
        claims.claim(db, hub_story.ROOMY, "eve", claims.Wish(HOSTILE[:200], HOSTILE, made[0].hash, ttl_s=3600), now)
    bare.keep(commits.tips(db))
    db.close()


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
        lines = answer.iter_lines(decode_unicode=True)
        poster.post("/api/channels/news/posts", content="a secret that no page shows yet")
        told = next(json.loads(str(line)[6:]) for line in lines if str(line).startswith("data: "))
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
