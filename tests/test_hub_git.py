"""Every row of the wire format below /api/git/, against a live hub and real git."""

import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from clones import Clone, send
from hubs import Client, Live, serving

from autoresearch.hub.limits import HOUR_S, Limits

UNKNOWN = "0123456789" * 4
WIRE = {"hash", "parent_hash", "agent_id", "message", "created_at"}
PLAIN = "text/plain; charset=utf-8"


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with serving(tmp_path_factory.mktemp("hub") / "hub") as one:
        yield one


@pytest.fixture(scope="module")
def agent(live: Live) -> Client:
    return live.join("ada")


@pytest.fixture(scope="module")
def clone(agent: Client, tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """base - one - two on the branch agenthub, and base - left; all pushed by ada."""
    one = Clone(tmp_path_factory.mktemp("work") / "clone")
    one.commit(message="base")
    one.git("tag", "base")
    one.commit("DEPTH = 10\n", "one")
    one.commit("DEPTH = 11\n", "two")
    one.push(agent)
    one.git("checkout", "--quiet", "-b", "left", "base")
    one.commit("DEPTH = 8\n", "left")
    one.push(agent)
    one.git("checkout", "--quiet", "agenthub")
    return one


def messages(rows: list[dict[str, str]]) -> list[str]:
    return [row["message"] for row in rows]


def test_git_rows_need_the_key_of_an_agent(live: Live, clone: Clone) -> None:
    head = clone.git("rev-parse", "HEAD")
    rows = ["commits", "leaves", f"commits/{head}", f"fetch/{head}", f"diff/{head}/{head}", f"file/{head}/train.py"]
    for who in (live.anybody(), live.admin()):
        for row in (*rows, f"commits/{head}/children", f"commits/{head}/lineage"):
            done = who.get(f"/api/git/{row}")
            assert (done.status_code, done.json()) == (401, {"error": "unauthorized"}), row
        assert send(who, clone.bundle()).status_code == 401


def test_push_answers_in_the_form_of_the_wire(agent: Client, clone: Clone) -> None:
    done = send(agent, clone.bundle())
    assert (done.status_code, done.headers["Content-Type"]) == (201, "application/json")
    assert done.text == f'{{"hashes":["{clone.git("rev-parse", "HEAD")}"]}}\n'
    refused = send(agent, b"nonsense")
    assert refused.status_code == 400 and refused.json()["error"].startswith("invalid bundle: ")


def test_push_takes_what_curl_sends(live: Live, agent: Client, clone: Clone, tmp_path: Path) -> None:
    """Form-urlencoded, and with Expect: 100-continue once it is large."""
    clone.git("checkout", "--quiet", "-b", "large", "base")
    clone.commit(message="large", **{"noise.txt": random.Random(1).randbytes(1_100_000).hex()})
    (tmp_path / "bundle").write_bytes(clone.bundle())
    clone.git("checkout", "--quiet", "agenthub")
    assert (tmp_path / "bundle").stat().st_size > 1 << 20
    command = ["curl", "-s", "-X", "POST", f"{live.url}/api/git/push", "-H", f"Authorization: Bearer {agent.key}"]
    done = subprocess.run([*command, "--data-binary", f"@{tmp_path / 'bundle'}"], capture_output=True, text=True)
    assert done.stdout == f'{{"hashes":["{clone.git("rev-parse", "large")}"]}}\n'


def test_fetch_gives_a_repository_that_has_nothing_all_it_needs(agent: Client, clone: Clone, tmp_path: Path) -> None:
    head = clone.git("rev-parse", "agenthub")
    done = agent.get(f"/api/git/fetch/{head}")
    assert (done.status_code, done.headers["Content-Type"]) == (200, "application/octet-stream")
    assert done.headers["Content-Disposition"] == f'attachment; filename="{head}.bundle"'
    empty = Clone(tmp_path / "empty")
    (tmp_path / "fetched").write_bytes(done.content)
    empty.git("bundle", "verify", str(tmp_path / "fetched"))
    empty.git("bundle", "unbundle", str(tmp_path / "fetched"))
    empty.git("checkout", "--quiet", head)
    assert (empty.root / "train.py").read_text() == "DEPTH = 11\n"
    assert empty.git("rev-list", "HEAD") == clone.git("rev-list", "agenthub")
    other = Clone(tmp_path / "other")
    other.git("clone", "--quiet", str(tmp_path / "fetched"), "copy")


def test_fetch_refuses_in_the_words_of_the_wire(agent: Client) -> None:
    for path in ("xyz", "abc", "ABCDEF", "a" * 65, "--upload-pack", "HEAD", "abcd~1", "abcd^0"):
        done = agent.get(f"/api/git/fetch/{path}")
        assert (done.status_code, done.json()) == (400, {"error": "invalid hash"}), path
    done = agent.get(f"/api/git/fetch/{UNKNOWN}")
    assert (done.status_code, done.json()) == (404, {"error": "commit not found"})


def test_commits_are_listed_newest_first(live: Live, agent: Client, clone: Clone) -> None:
    rows = agent.get("/api/git/commits", agent="ada").json()
    assert messages(rows)[-4:] == ["left", "two", "one", "base"]
    assert all(row.keys() == WIRE for row in rows)
    base = rows[-1]
    assert base == {
        "hash": clone.git("rev-parse", "base"), "parent_hash": "", "agent_id": "ada", "message": "base",
        "created_at": "2027-01-15T08:00:00Z",
    }  # fmt: skip
    assert agent.get("/api/git/commits", agent="nobody").json() == []
    other = live.join("grace")
    clone.git("checkout", "--quiet", "-b", "hers", "agenthub")
    clone.commit("DEPTH = 12\n", "hers")
    clone.push(other)
    clone.git("checkout", "--quiet", "agenthub")
    assert messages(agent.get("/api/git/commits", agent="grace").json()) == ["hers"]
    assert messages(agent.get("/api/git/commits").json())[0] == "hers"


def test_commits_are_paged_in_headers(agent: Client, clone: Clone) -> None:
    rows = agent.get("/api/git/commits").json()
    first = agent.get("/api/git/commits", limit=2)
    assert first.json() == rows[:2] and first.headers["X-Total-Count"] == str(len(rows))
    assert first.links["next"]["url"].endswith("/api/git/commits?limit=2&offset=2")
    assert agent.get("/api/git/commits", limit=2, offset=2).json() == rows[2:4]
    for junk in ("0", "-1", "x", "", "9" * 30):
        assert agent.get("/api/git/commits", limit=junk).json() == rows, junk


def test_commit_is_shown_by_a_prefix(agent: Client, clone: Clone) -> None:
    head = clone.git("rev-parse", "agenthub")
    for length in (4, 7, 39, 40):
        assert agent.get(f"/api/git/commits/{head[:length]}").json()["hash"] == head
    assert agent.get(f"/api/git/commits/{head}").json().keys() > WIRE
    for path, answer in (
        ("abc", (400, "invalid hash")),
        ("x" * 40, (400, "invalid hash")),
        (UNKNOWN, (404, "commit not found")),
    ):
        done = agent.get(f"/api/git/commits/{path}")
        assert (done.status_code, done.json()["error"]) == answer


def test_commit_with_an_ambiguous_prefix_is_refused(live: Live, agent: Client, clone: Clone) -> None:
    with live.hub.db.transaction():
        for end in "01":
            live.hub.db.run(
                "INSERT INTO commits (hash, parent_hash, agent_id, message, body, author, tree, num_children, created)"
                " VALUES (?, '', 'ada', '', '', '', '', 1, 1)",
                "beef" * 9 + f"000{end}",
            )
    done = agent.get("/api/git/commits/beef")
    live.hub.db.run("DELETE FROM commits WHERE hash LIKE 'beef%'")
    assert done.status_code == 409 and done.json()["error"].startswith("ambiguous prefix")


def test_children_are_listed_and_those_of_the_unknown_are_none(agent: Client, clone: Clone) -> None:
    base = clone.git("rev-parse", "base")
    children = agent.get(f"/api/git/commits/{base}/children")
    assert set(messages(children.json())) >= {"left", "one"}
    assert children.headers["X-Total-Count"] == str(len(children.json()))
    assert agent.get(f"/api/git/commits/{base}/children", limit=1, offset=1).json() == children.json()[1:2]
    assert agent.get(f"/api/git/commits/{clone.git('rev-parse', 'left')}/children").json() == []
    for what in ("children", "lineage"):
        assert agent.get(f"/api/git/commits/{UNKNOWN}/{what}").json() == []
        refused = agent.get(f"/api/git/commits/nonsense/{what}")
        assert (refused.status_code, refused.json()) == (400, {"error": "invalid hash"})


def test_lineage_begins_with_the_commit_and_ends_at_the_root(agent: Client, clone: Clone) -> None:
    head = clone.git("rev-parse", "agenthub")
    done = agent.get(f"/api/git/commits/{head}/lineage")
    assert messages(done.json()) == ["two", "one", "base"] and "Link" not in done.headers
    part = agent.get(f"/api/git/commits/{head}/lineage", limit=2)
    assert messages(part.json()) == ["two", "one"]
    assert messages(agent.session.get(part.links["next"]["url"], headers=part.request.headers).json()) == ["base"]


def test_leaves_are_commits_without_children(agent: Client, clone: Clone) -> None:
    done = agent.get("/api/git/leaves")
    rows = agent.get("/api/git/commits").json()
    inner = {row["parent_hash"] for row in rows}
    assert done.json() == [row for row in rows if row["hash"] not in inner]
    assert done.headers["X-Total-Count"] == str(len(done.json()))


def test_diff_is_that_of_git(agent: Client, clone: Clone) -> None:
    left, head = clone.git("rev-parse", "left", "agenthub").split()
    done = agent.get(f"/api/git/diff/{left}/{head[:8]}")
    assert (done.status_code, done.headers["Content-Type"]) == (200, PLAIN)
    assert done.content == clone.raw("diff", "left", "agenthub")
    assert done.headers["X-Content-Type-Options"] == "nosniff"
    assert agent.get(f"/api/git/diff/{head}/{head}").content == b""
    for path, answer in ((f"{head}/xyz", (400, "invalid hash")), (f"{UNKNOWN}/{head}", (404, "commit not found"))):
        refused = agent.get(f"/api/git/diff/{path}")
        assert (refused.status_code, refused.json()["error"]) == answer
    assert agent.get(f"/api/git/diff/--output=x/{head}").status_code == 400


def test_diff_is_cut_with_a_mark_and_counted(tmp_path: Path) -> None:
    with serving(tmp_path / "hub", Limits(diff_bytes=50, diffs_per_hour=2)) as live:
        agent, clone = live.join("ada"), Clone(tmp_path / "clone")
        path = f"/api/git/diff/{clone.commit('a = 1')}/{clone.commit('a = 2')}"
        clone.push(agent)
        whole = clone.raw("diff", "HEAD~1", "HEAD")
        mark = b"\n[cut here: only the first 50 bytes of the difference are shown]\n"
        assert [agent.get(path).content for _ in range(2)] == [whole[:50] + mark] * 2
        refused = agent.get(path)
        assert (refused.status_code, refused.headers["Retry-After"]) == (429, str(HOUR_S))
        assert live.join("grace").get(path).status_code == 200


def test_file_is_shown_as_plain_text(agent: Client, clone: Clone) -> None:
    head = clone.git("rev-parse", "agenthub")
    done = agent.get(f"/api/git/file/{head[:8]}/train.py")
    assert (done.content, done.headers["Content-Type"]) == (b"DEPTH = 11\n", PLAIN)
    assert done.headers["X-Content-Type-Options"] == "nosniff" and "sandbox" in done.headers["Content-Security-Policy"]
    assert (agent.get(f"/api/git/file/{head}/none.py").json()) == {"error": "file not found"}
    assert agent.get(f"/api/git/file/{UNKNOWN}/train.py").json() == {"error": "commit not found"}
    for path in ("..%2f..%2fhub.sqlite", "a/..%2fb", "%2fetc/passwd", "a%01b", "a%00", "a//b", ".", "a/", "x" * 5000):
        refused = agent.get(f"/api/git/file/{head}/{path}")
        assert (refused.status_code, refused.json()) == (400, {"error": "invalid path"}), path


def test_file_beyond_the_limit_is_not_shown(tmp_path: Path) -> None:
    with serving(tmp_path / "hub") as live:
        agent, clone = live.join("ada"), Clone(tmp_path / "clone")
        clone.commit(message="x", **{"train.py": "x" * 2000})
        (head,) = clone.push(agent)
    with serving(tmp_path / "hub", Limits(blob_bytes=1000)) as live:
        assert live.join("bob").get(f"/api/git/file/{head}/train.py").status_code == 413


def test_git_rows_answer_head(agent: Client, clone: Clone) -> None:
    head = clone.git("rev-parse", "HEAD")
    rows = ["commits", "leaves", f"commits/{head}", f"fetch/{head}", f"diff/{head}/{head}", f"file/{head}/train.py"]
    for row in (*rows, f"commits/{head}/children", f"commits/{head}/lineage"):
        asked, got = (agent.call(method, f"/api/git/{row}") for method in ("HEAD", "GET"))
        assert asked.status_code == 200 and asked.content == b"", row
        assert asked.headers["Content-Type"] == got.headers["Content-Type"]
        assert asked.headers["Content-Length"] == str(len(got.content)), row


def test_git_rows_with_another_method_are_refused(agent: Client) -> None:
    assert agent.get("/api/git/push").status_code == 405
    assert agent.post("/api/git/commits").status_code == 405
