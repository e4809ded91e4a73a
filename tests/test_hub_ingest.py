"""autoresearch/hub/ingest.py, arrivals.py, trees.py and store/commits.py: what a push leaves, taken or refused."""

import errno
import itertools
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import hostile
import pytest
from clones import Clone, send
from hubs import Client, Live, serving

from autoresearch.hub import arrivals
from autoresearch.hub.limits import HOUR_S, Limits
from autoresearch.hub.store import Database
from autoresearch.repo.bare import TIPS

NUMBERS = itertools.count()
STEPS = ("admitted", "uploaded", "indexed", "packed", "pack moved", "idx moved", "recording", "recorded", "kept")


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with serving(tmp_path_factory.mktemp("hub") / "hub") as one:
        yield one


@pytest.fixture
def agent(live: Live) -> Client:
    return live.join(f"agent{next(NUMBERS)}")


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    """One baseline, unlike that of any other test."""
    one = Clone(tmp_path / "clone")
    one.commit(f"DEPTH = 9\n# {tmp_path}\n", "baseline")
    return one


def ask(live: Live, sql: str, *values: Any) -> list[dict[str, Any]]:
    """Rows of the database, by a connection of our own."""
    db = Database(live.hub.db.path)
    try:
        return db.rows(sql, *values)
    finally:
        db.close()


def state(live: Live) -> tuple[list[Any], list[str]]:
    """All that a push may change, but for its being counted."""
    tables = ("commits", "parents", "events", "found", "results")
    rows = [[tuple(row.values()) for row in ask(live, f"SELECT * FROM {table}")] for table in tables]
    files = sorted(
        f"{path.relative_to(live.hub.folder)} {path.stat().st_size}"
        for name in ("git", "incoming")
        for path in (live.hub.folder / name).rglob("*")
    )
    return rows, files


def test_push_records_what_git_says_of_a_commit(live: Live, agent: Client, clone: Clone) -> None:
    head = clone.commit("DEPTH = 10\n", "raise the depth\nby one\n\nIt was 9.\n\n- a list\n")
    assert clone.push(agent) == [head]
    found = agent.get(f"/api/git/commits/{head}").json()
    tree, blob = clone.git("rev-parse", "HEAD^{tree}", "HEAD:train.py").split()
    patch = clone.git("patch-id", "--stable", stdin=clone.raw("diff-tree", "-p", "HEAD")).split()[0]
    parent = clone.git("rev-parse", "HEAD~1")
    assert found == {
        "hash": head, "parent_hash": parent, "parents": [parent], "agent_id": agent.name,
        "message": "raise the depth by one", "body": "It was 9.\n\n- a list", "created_at": "2027-01-15T08:00:00Z",
        "author": "me@example.org <me@example.org>", "tree": tree, "train_blob": blob, "patch_id": patch,
        "num_children": 0, "replicates": [], "duplicates": [],
    }  # fmt: skip
    baseline = agent.get(f"/api/git/commits/{parent}").json()
    assert (baseline["parent_hash"], baseline["patch_id"], baseline["num_children"]) == ("", None, 1)
    assert ask(live, "SELECT kind FROM found WHERE found MATCH 'depth' AND subject = ?", head) == [{"kind": "commit"}]


def test_push_again_is_harmless_and_takes_nothing_over(live: Live, agent: Client, clone: Clone) -> None:
    clone.commit("DEPTH = 10\n")
    first = clone.push(agent)
    before = state(live)
    other = live.join("latecomer")
    rows = ask(live, "SELECT count(*) AS num FROM events")[0]["num"]
    assert clone.push(agent) == clone.push(other) == first
    after = state(live)
    assert before[0][0] == after[0][0] and before[1] == after[1]
    assert ask(live, "SELECT count(*) AS num FROM events")[0]["num"] == rows
    assert agent.get(f"/api/git/commits/{first[0]}").json()["agent_id"] == agent.name


def test_push_stores_only_what_is_new(live: Live, agent: Client, clone: Clone) -> None:
    """Playbooks push the whole history each time."""
    clone.push(agent)
    before = {*live.hub.bare.packs.glob("*.idx")}
    clone.commit("DEPTH = 10\n")
    clone.push(agent)
    (index,) = {*live.hub.bare.packs.glob("*.idx")} - before
    assert len(live.hub.bare.contained(index)) == 3


def test_push_tells_of_each_new_commit_once_parents_first(live: Live, agent: Client, clone: Clone) -> None:
    for number in range(3):
        clone.commit(f"DEPTH = {number}\n")
    clone.push(agent)
    told = [
        row["subject"] for row in ask(live, "SELECT subject FROM events WHERE agent_id = ? ORDER BY id", agent.name)
    ]
    assert told == [agent.name, *reversed(clone.git("rev-list", "HEAD").split())]
    wire = json.loads(ask(live, "SELECT data FROM events WHERE subject = ?", told[-1])[0]["data"])
    assert wire == agent.get("/api/git/commits", agent=agent.name).json()[0]


def test_push_answers_every_head(live: Live, agent: Client, clone: Clone) -> None:
    clone.git("branch", "left")
    right = clone.commit("DEPTH = 10\n", "right")
    clone.git("checkout", "--quiet", "left")
    left = clone.commit("DEPTH = 11\n", "left")
    assert clone.push(agent, "refs/heads/left", "refs/heads/agenthub") == [left, right]
    assert {left, right} <= live.hub.bare.tips()


def test_push_takes_merges_with_all_their_parents(live: Live, agent: Client, clone: Clone) -> None:
    clone.git("branch", "left")
    right = clone.commit("DEPTH = 10\n", "right")
    clone.git("checkout", "--quiet", "left")
    left = clone.commit(message="left", **{"prepare.py": "x\n"})
    clone.git("merge", "--quiet", "--no-edit", "agenthub")
    (merge,) = clone.push(agent)
    assert agent.get(f"/api/git/commits/{merge}").json()["parents"] == [left, right]
    for parent in (left, right):
        assert [one["hash"] for one in agent.get(f"/api/git/commits/{parent}/children").json()] == [merge]
    assert agent.get(f"/api/git/commits/{clone.git('rev-parse', 'left~2')}").json()["num_children"] == 2


def test_push_takes_several_roots(agent: Client, clone: Clone) -> None:
    first = clone.git("rev-parse", "HEAD")
    clone.git("checkout", "--quiet", "--orphan", "another")
    second = clone.commit("WIDTH = 1\n")
    assert clone.push(agent, "refs/heads/agenthub", "refs/heads/another") == [first, second]
    clone.git("merge", "--quiet", "--no-edit", "--allow-unrelated-histories", "-X", "ours", "agenthub")
    (merge,) = clone.push(agent)
    lineage = agent.get(f"/api/git/commits/{merge}/lineage").json()
    assert [one["hash"] for one in lineage] == [merge, second]


def test_push_takes_a_thin_bundle_only_onto_what_it_knows(agent: Client, clone: Clone) -> None:
    clone.commit("DEPTH = 10\n")
    older = clone.git("rev-parse", "HEAD~1")
    refused = send(agent, clone.bundle("HEAD", "^HEAD~1"))
    assert refused.status_code == 400 and f"built on {older}, which was not pushed" in refused.json()["error"]
    clone.git("branch", "older", "HEAD~1")
    clone.push(agent, "refs/heads/older")
    assert clone.push(agent, "HEAD", "^HEAD~1") == [clone.git("rev-parse", "HEAD")]


def test_push_is_not_fooled_by_objects_that_nobody_recorded(live: Live, agent: Client, clone: Clone) -> None:
    """A pack that was moved, and whose push was cut off, is no history to build on."""
    parent = clone.git("rev-parse", "HEAD")
    clone.raw("pack-objects", "--quiet", "--revs", str(live.hub.bare.packs / "pack"), stdin=b"HEAD\n")
    assert live.hub.bare.infos([parent])[0]
    pack = hostile.Pack()
    tree = pack.tree(("100644", b"train.py", pack.blob(b"x")))
    data = hostile.bundle([pack.commit(tree, parent)], pack.done())
    assert f"{parent} is neither" in send(agent, data).json()["error"]
    assert clone.push(agent) == [parent]
    assert send(agent, data).status_code == 201


def test_push_gives_earlier_results_their_blob(live: Live, agent: Client, clone: Clone) -> None:
    head = clone.git("rev-parse", "HEAD")
    others = [f"{head[:6]}{'0' if head[6] != '0' else '1'}", f"{head[:7]}" + ("0" if head[7] != "0" else "1")]
    db = Database(live.hub.db.path)
    for name in (head, head[:7], head[:20], *others):
        db.run(
            "INSERT INTO results (agent_id, commit_hash, platform, metric, status, description, source, created)"
            " VALUES (?, ?, 'H100', 'val_bpb', 'keep', '', 'api', 1)",
            *(agent.name, name),
        )
    db.close()
    clone.push(agent)
    rows = ask(live, "SELECT commit_hash, train_blob FROM results WHERE agent_id = ?", agent.name)
    blob = clone.git("rev-parse", "HEAD:train.py")
    assert {row["commit_hash"]: row["train_blob"] for row in rows} == {
        **dict.fromkeys((head, head[:7], head[:20]), blob),
        **dict.fromkeys(others),
    }


def test_push_shows_replicates_and_duplicate_ideas(agent: Client, clone: Clone) -> None:
    made = []
    for name, changes in (("a", "x = 1\n"), ("b", "x = 2\n"), ("c", "x = 1\n")):
        clone.git("checkout", "--quiet", "-B", name, "agenthub")
        made.append(clone.commit(message=name, **{"prepare.py": changes}))
        clone.push(agent)
    shown = agent.get(f"/api/git/commits/{made[0]}").json()
    assert shown["duplicates"] == [made[2]]
    assert shown["replicates"] == [made[2], made[1], clone.git("rev-parse", "agenthub")]


def test_push_keeps_odd_messages_readable(agent: Client, clone: Clone) -> None:
    tree, parent = clone.git("rev-parse", "HEAD^{tree}", "HEAD").split()
    head = b"tree %b\nparent %b\nauthor %%b <a@b> 1 +0000\ncommitter C <c@d> 1 +0000\n" % (
        tree.encode(),
        parent.encode(),
    )
    latin = "Größe".encode("latin-1")
    cases = {
        head % b"A" + b"\n": ("", ""),
        head % b"A" + b"\n" + b"x" * 500: ("x" * 399 + "…", "x" * 500),
        head % b"A" + b"\n\xff\xfe\n": ("��", ""),
        head % latin + b"encoding ISO-8859-1\n\n" + latin: ("Größe", ""),
        head % b"A" + b"encoding no-such-thing\n\nplain\n\n\n\nbody\n\n": ("plain", "body"),
        head % b"A" + b"encoding punycode\n\n" + b"a" * 50_000 + b"-\n": ("a" * 399 + "…", "a" * 50_000 + "-"),
        head % b"A" + b"gpgsig -----BEGIN\n line\n\nsigned\n": ("signed", ""),
    }
    for content, (message, body) in cases.items():
        name = clone.git("hash-object", "-t", "commit", "-w", "--stdin", stdin=content)
        clone.git("update-ref", "refs/heads/odd", name)
        clone.push(agent, "refs/heads/odd")
        found = agent.get(f"/api/git/commits/{name}").json()
        assert (found["message"], found["body"]) == (message, body), content
    assert arrivals.parse("x", [*cases][3]).author == "Größe <a@b>"


def test_push_takes_files_and_folders_that_are_allowed(agent: Client, clone: Clone) -> None:
    (clone.root / "a" / "b c").mkdir(parents=True)
    names = ("a/b c/größe.txt", ".gitignore", ".gitattributes", "-x", "--help", "a/git", "日本.py", "a/:x", "$HOME")
    head = clone.commit(**dict.fromkeys(names, "here\n"))
    clone.push(agent)
    for name in names:
        path = name.replace(" ", "%20")
        assert agent.get(f"/api/git/file/{head}/{path}").text == "here\n", name
    assert agent.get(f"/api/git/commits/{clone.commit(**{'train.py': 'x'})}").status_code == 404


def test_push_without_a_train_py_is_taken(agent: Client, tmp_path: Path) -> None:
    clone = Clone(tmp_path / "clone")
    head = clone.commit(**{"README.md": "x"})
    clone.push(agent)
    assert agent.get(f"/api/git/commits/{head}").json()["train_blob"] is None


def test_push_does_without_a_patch_id_that_takes_too_long(live: Live, agent: Client, clone: Clone) -> None:
    """Both versions of a file of 8 MB, in so many commits that their differences exceed every bound."""
    pack = hostile.Pack()
    blobs = [pack.blob(bytes([letter]) * 7 * hostile.MEGABYTE) for letter in b"ab"]
    trees = [pack.tree(("100644", b"train.py", one)) for one in blobs]
    heads = [pack.commit(trees[0])]
    for number in range(20):
        heads.append(pack.commit(trees[number % 2], heads[-1], message=b"%d" % number))
    done = send(agent, hostile.bundle(heads[-1:], pack.done()))
    assert done.status_code == 201, done.text
    assert agent.get(f"/api/git/commits/{heads[-1]}").json()["patch_id"] is None


def test_push_beyond_the_size_is_refused_however_it_is_sent(tmp_path: Path) -> None:
    with serving(tmp_path / "hub", Limits(bundle_bytes=100_000)) as live:
        agent = live.join("large")
        before = state(live)
        announced = send(agent, bytes(100_001))
        streamed = agent.call("POST", "/api/git/push", data=(bytes(10_000) for _ in range(11)))
        for done in (announced, streamed):
            assert (done.status_code, done.json()["error"][:41]) == (413, "a bundle must have at most 100000 bytes; ")
        assert live.hub.uploading_bytes == 0
        assert state(live) == before


def test_push_refused_for_its_announced_size_counts(tmp_path: Path) -> None:
    with serving(tmp_path / "hub", Limits(bundle_bytes=100_000, pushes_per_hour=2)) as live:
        agent = live.join("large")
        assert [send(agent, bytes(100_001)).status_code for _ in range(3)] == [413, 413, 429]


def test_push_that_breaks_off_leaves_nothing(live: Live, agent: Client) -> None:
    before = state(live)
    host, port = live.url.removeprefix("http://").split(":")
    for head in (f"Content-Length: 1000\r\n\r\n{'x' * 10}", f"Transfer-Encoding: chunked\r\n\r\n5\r\n{'x' * 5}\r\n"):
        with socket.create_connection((host, int(port))) as line:
            start = f"POST /api/git/push HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {agent.key}\r\n"
            line.sendall((start + head).encode())
            wait_for(lambda: live.hub.uploading_bytes > 0)
        wait_for(lambda: live.hub.uploading_bytes == 0)
    assert state(live) == before


def wait_for(ready: Callable[[], bool]) -> None:
    until = time.monotonic() + 20
    while not ready():
        assert time.monotonic() < until
        time.sleep(0.005)


def test_push_counts_even_if_it_fails(tmp_path: Path) -> None:
    with serving(tmp_path / "hub", Limits(pushes_per_hour=3)) as live:
        agent, clone = live.join("keen"), Clone(tmp_path / "clone")
        clone.commit()
        assert [send(agent, b"x").status_code for _ in range(2)] == [400, 400]
        clone.push(agent)
        for data in (clone.bundle(), bytes(30_000_000)):  # the answer is read, however much is still to be sent
            refused = send(agent, data)
            assert (refused.status_code, refused.headers["Retry-After"]) == (429, str(HOUR_S))
        assert live.join("other").get("/api/git/leaves").headers["X-Total-Count"] == "1"
        live.clock.now += HOUR_S
        clone.push(agent)


def test_pushes_behind_a_barrier_are_admitted_exactly_as_often_as_allowed(tmp_path: Path) -> None:
    num, most = 16, 7
    with serving(tmp_path / "hub", Limits(pushes_per_hour=most)) as live:
        agent, barrier = live.join("many"), threading.Barrier(num)
        bundles = []
        for number in range(num):
            pack = hostile.Pack()
            tree = pack.tree(("100644", b"train.py", pack.blob(b"%d" % number)))
            bundles.append(hostile.bundle([pack.commit(tree)], pack.done()))

        def one(data: bytes) -> int:
            own = Client(live.url, agent.key)
            own.get("/api/health")
            barrier.wait()
            return send(own, data).status_code

        with ThreadPoolExecutor(num) as threads:
            codes = [*threads.map(one, bundles)]
        assert sorted(codes) == [201] * most + [429] * (num - most)
        assert len(ask(live, "SELECT * FROM commits")) == len(live.hub.bare.tips()) == most


def test_pushes_of_the_same_commits_at_once_record_them_once(tmp_path: Path) -> None:
    with serving(tmp_path / "hub") as live:
        agents = [live.join(f"agent{number}") for number in range(8)]
        clone, barrier = Clone(tmp_path / "clone"), threading.Barrier(len(agents))
        hashes = [clone.commit(f"DEPTH = {number}\n") for number in range(4)]
        data = clone.bundle()

        def one(agent: Client) -> int:
            barrier.wait()
            return send(agent, data).status_code

        with ThreadPoolExecutor(len(agents)) as threads:
            assert [*threads.map(one, agents)] == [201] * len(agents)
        rows = ask(live, "SELECT hash, num_children FROM commits ORDER BY seq")
        assert [(row["hash"], row["num_children"]) for row in rows] == [*zip(hashes, (1, 1, 1, 0), strict=True)]
        assert len(ask(live, "SELECT 1 FROM events WHERE kind = 'commit'")) == len(hashes)
        live.hub.bare.check()


@pytest.mark.parametrize("step", STEPS[1:-2])
def test_push_onto_a_full_disk_says_so_and_leaves_nothing(live: Live, agent: Client, clone: Clone, step: str) -> None:
    def full(reached: str) -> None:
        if reached == step:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    before = state(live)
    live.hub.reached = full
    try:
        done = send(agent, clone.bundle())
    finally:
        live.hub.reached = lambda step: None
    assert (done.status_code, done.json()) == (507, {"error": "the disk of the hub is full; nothing was changed"})
    assert state(live) == before
    clone.push(agent)


def test_push_into_a_full_database_says_so_and_leaves_nothing(tmp_path: Path) -> None:
    with serving(tmp_path / "hub") as live:
        agent, clone = live.join("full"), Clone(tmp_path / "clone")
        clone.commit(message="x" * 60_000)
        before = state(live)
        pages = ask(live, "PRAGMA page_count")[0]["page_count"]
        live.hub.db.run(f"PRAGMA max_page_count={pages + 2}")
        done = send(agent, clone.bundle())
        assert (done.status_code, "disk" in done.json()["error"]) == (507, True)
        assert state(live) == before
        live.hub.db.run("PRAGMA max_page_count=1000000")
        clone.push(agent)


def test_push_whose_reference_cannot_be_made_is_in_all_the_same(live: Live, agent: Client, clone: Clone) -> None:
    head = clone.git("rev-parse", "HEAD")
    lock = live.hub.bare.root / TIPS / f"{head}.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    lock.write_text("")
    assert clone.push(agent) == [head] and head not in live.hub.bare.tips()
    lock.unlink()
    live.hub.bare.collect_garbage(commits_without_children(live), prune="now")
    assert head in live.hub.bare.tips() and live.hub.bare.infos([head])[0]


def commits_without_children(live: Live) -> list[str]:
    return [row["hash"] for row in ask(live, "SELECT hash FROM commits WHERE num_children = 0")]
