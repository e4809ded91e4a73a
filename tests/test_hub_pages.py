"""autoresearch/hub/pages/: what is shown."""

import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import hub_story
import pytest
import requests
from hub_html import Page, one_of_each, read
from hubs import Live, serving

from autoresearch.hub.pages.shelf import Shelf
from autoresearch.hub.store import results

NUM_RUNS = 200


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    folder = tmp_path_factory.mktemp("story") / "hub"
    hub_story.tell(folder, NUM_RUNS)
    with serving(folder) as one:
        one.hub.shelf = Shelf(0.0, 0.0)
        yield one


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


def test_first_page_finds_the_leaderboards_made(tmp_path: Path) -> None:
    hub_story.tell(tmp_path / "hub", NUM_RUNS)
    with serving(tmp_path / "hub") as live:
        version, made = live.hub.boards["val_bpb", "min"]
        assert made.done() and version == results.version(live.hub.db)
        assert [one["platform"] for one in made.result()]


def test_search_page_shows_a_result_and_its_line_once(tmp_path: Path) -> None:
    with serving(tmp_path / "hub") as live:
        agent = live.join("ada")
        agent.post("/api/channels", name="results")
        line = "commit:a1b2c3d platform:H100 val_bpb:0.99 vram_gb:4.2 | quokka"
        agent.post("/api/channels/results/posts", content=line)
        found = live.anybody().get("/search", q="quokka").text
        assert found.count('<span class="kind">') == found.count('<span class="kind">result</span>') == 1
        agent.post("/api/channels/results/posts", content="what of the quokka?")
        assert '<span class="kind">post</span>' in live.anybody().get("/search", q="quokka of").text


def test_search_page_shows_words_without_the_marks_of_markdown(tmp_path: Path) -> None:
    with serving(tmp_path / "hub") as live:
        agent = live.join("ada")
        agent.post("/api/channels", name="notes")
        words = "## A quokka\n\n- **slow**, with `val_bpb` of *1* and [more](/post/1)\n\n```\nMATRIX_LR = 0.04\n```\n"
        agent.post("/api/channels/notes/posts", content=words)
        assert "A quokka slow, with val_bpb of 1 and more MATRIX_LR = 0.04" in read(live, "/search?q=quokka").text


def test_hub_answers_where_the_leaderboards_cannot_be_made(tmp_path: Path) -> None:
    with serving(tmp_path / "hub"):
        pass
    with sqlite3.connect(tmp_path / "hub" / "hub.sqlite") as db:
        db.execute("INSERT INTO agents (id, created) VALUES ('odd', 0)")
        db.execute(
            "INSERT INTO results (agent_id, commit_hash, platform, metric, value, status, description, source, created)"
            " VALUES ('odd', 'a1b2c3d', 'H100', 'val_bpb', 'no number', 'keep', '', 'api', 0)"
        )
    db.close()
    said: list[str] = []
    with serving(tmp_path / "hub", say=said.append) as live:
        assert live.anybody().get("/api/health").status_code == 200
        assert said[0].startswith("the leaderboards cannot be made: TypeError")
        assert live.anybody().get("/").status_code == 500
