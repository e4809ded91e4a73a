"""autoresearch/hub/store/brief.py: one page that says where things stand."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hubs import ROOMY, Client, Live, serving
from hypothesis import given
from hypothesis import strategies as st

from autoresearch.hub.limits import Limits
from autoresearch.hub.store import Database, agents
from autoresearch.hub.store.brief import Section, brief, fit, quote

NOW = 1_800_000_000


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Live]:
    with serving(tmp_path / "hub", ROOMY) as one:
        one.join("founder").post("/api/channels", name="results")
        one.join("second").post("/api/channels", name="talk")
        yield one


def read(agent: Client, since: int = 0) -> dict[str, list[str]]:
    """The lines of each section."""
    done = agent.get("/api/brief", since=since)
    assert done.status_code == 200 and done.headers["Content-Type"].startswith("text/markdown")
    assert len(done.content) <= Limits().brief_bytes
    sections: dict[str, list[str]] = {}
    for line in done.text.splitlines():
        if line.startswith("## "):
            lines = sections[line[3:]] = []
        elif line.startswith("- "):
            lines.append(line[2:])
    return sections


def test_hub_brief_tells_best_claims_and_dead_ends(live: Live) -> None:
    ann, bob = live.join("ann"), live.join("bob")
    for value in (0.9979, 0.9981):
        ann.post("/api/results", commit="a1b2c3d", platform="H100", value=value, description="baseline")
    bob.post("/api/results", commit="b1b2c3d", platform="H100", value=0.9976, description="a bit\n# better")
    ann.post("/api/results", commit="c1b2c3d", platform="A100", value=1.1, status="discard", description="GeLU")
    ann.post("/api/results", commit="c1b2c3e", platform="A100", description="too wide")
    ann.post("/api/results", commit="c1b2c3f", platform="A100", description="too wide")
    ann.post("/api/claims", key="rope base", description="200K", platform="H100")
    sections = read(bob)
    best = sections["Best"]
    assert best[0].startswith("H100: baseline 0.9980 ± ") and "(2 runs, self-reported) a1b2c3d by ann" in best[0]
    assert (
        best[1].startswith("H100: to replicate: candidate 0.9976 ± ") and "“a bit # better”, gain 0.0004 of" in best[1]
    )
    assert best[2].startswith("A100: baseline 1.1")
    assert sections["Claimed now"] == ["“rope base” on H100 by ann until 2027-01-15T08:15:00Z “200K”"]
    assert sections["Dead ends"] == [
        "crash A100 --- c1b2c3f by ann “too wide”",
        "discard A100 1.1000 c1b2c3d by ann “GeLU”",
    ]


def test_hub_brief_tells_of_replies_until_they_are_answered(live: Live) -> None:
    ann, bob = live.join("ann"), live.join("bob")
    talk = "/api/channels/talk/posts"
    mine = ann.post(talk, content="who tried rope?").json()["id"]
    reply = bob.post(talk, content="I did", parent_id=mine).json()["id"]
    ann.post(talk, content="anybody else?", parent_id=None)
    assert read(ann)["Replies to you"] == [f"bob in post {reply} to your post {mine}: “I did”"]
    assert "Replies to you" not in read(bob)
    again = ann.post(talk, content="and?", parent_id=reply).json()["id"]
    assert "Replies to you" not in read(ann)
    bob.post(talk, content="no gain", parent_id=again)
    bob.post(talk, content="so no", parent_id=mine)
    assert len(read(ann)["Replies to you"]) == 2
    ann.post(talk, content="thanks", parent_id=mine)
    assert read(ann)["Replies to you"] == [f"bob in post {again + 1} to your post {again}: “no gain”"]


def test_hub_brief_tells_news_since_the_last_one(live: Live) -> None:
    ann, bob = live.join("ann"), live.join("bob")
    bob.post("/api/channels/talk/posts", content="old")
    since = int(ann.get("/api/brief").headers["X-Last-Event-ID"])
    assert f"GET /api/brief?since={since}" in ann.get("/api/brief").text.splitlines()[-1]
    assert "News" not in read(ann, since)
    line = "commit:a1b2c3d platform:H100 val_bpb:0.9932 vram_gb:44.2 | x"
    bob.post("/api/channels/results/posts", content=line)
    number = bob.post("/api/channels/talk/posts", content="new").json()["id"]
    ann.post("/api/channels/talk/posts", content="my own")
    assert read(ann, since)["News"] == [
        f"1 result, 2 posts by others since event {since}",
        f"#talk post {number} by bob: “new”",
    ]


def test_hub_brief_shows_the_frontier_with_its_results(tmp_path: Path) -> None:
    db = Database(tmp_path / "hub.sqlite")
    agents.register(db, "ann", NOW)
    for n, children in enumerate((1, 0, 0)):
        db.run(
            "INSERT INTO commits (hash, parent_hash, agent_id, message, body, author, tree, train_blob, num_children,"
            " created) VALUES (?, '', 'ann', ?, '', 'Ann', 'tree', ?, ?, ?)",
            *(f"{n}" * 40, f"step {n}", f"blob{n}", children, NOW),
        )
    db.run(
        "INSERT INTO results (agent_id, commit_hash, train_blob, platform, metric, value, status, description, source,"
        " created) VALUES ('ann', '1111111', 'blob1', 'H100', 'val_bpb', 0.99, 'keep', '', 'api', ?)",
        NOW,
    )
    text, _ = brief(db, "ann", 0, [], 8192, NOW)
    assert "- 222222222222 by ann “step 2”\n- 111111111111 by ann “step 1”; H100 0.9900 (n 1)\n" in text
    assert "step 0" not in text
    db.close()


def test_hub_brief_of_an_empty_hub_is_short(tmp_path: Path) -> None:
    with serving(tmp_path / "hub") as live:
        ann = live.join("ann")
        assert read(ann) == {} and ann.get("/api/brief").text.startswith("# Brief for ann\n")


def test_hub_brief_keeps_its_budget(tmp_path: Path) -> None:
    with serving(tmp_path / "hub", Limits(brief_bytes=1500)) as live:
        ann, bob = live.join("ann"), live.join("bob")
        for n in range(12):
            ann.post("/api/claims", key=f"idea {n} " + "ü" * 150)
            ann.post(
                "/api/results", commit=f"{n:07x}", platform=f"P{n}", value=1, status="discard", description=f"{n} " * 99
            )
        text = bob.get("/api/brief").text
        assert 1000 < len(text.encode()) <= 1500
        for title in ("Best", "Claimed now", "Dead ends", "News"):
            assert f"## {title}\n- " in text
        assert "more\n" in text and text.splitlines()[-1].startswith("Next time")


@given(
    st.lists(st.lists(st.text(max_size=60).map(quote), max_size=20), max_size=6),
    st.integers(200, 3000),
)
def test_brief_fit_is_fair_and_keeps_any_budget(lines: list[list[str]], most_bytes: int) -> None:
    sections = [Section(str(n), one) for n, one in enumerate(lines)]
    text = fit("# head\n", sections, "\nfoot\n", most_bytes)
    assert len(text.encode()) <= most_bytes
    if sum(len(line.encode()) + 40 for one in lines for line in one) + 400 < most_bytes:
        assert text.count("\n- ") == sum(map(len, lines)) and text.endswith("foot\n")


@given(st.text(max_size=2000))
def test_brief_quote_is_one_line_in_quotes(text: str) -> None:
    line = quote(text)
    assert len(line.splitlines()) <= 1 and len(line) <= 143
    assert not line or ((line[0], line[-1]) == ("“", "”") and not {"“", "”"} & {*line[1:-1]})
