"""The agent's verbs of `hub` against a live hub: what they print, as text and as JSON, and what they refuse."""

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import hubs
import pytest
import scripted
import shared
import warm
from hubs import Live
from scripted import Answer

from autoresearch.commands.hub import work
from autoresearch.hub.client.credentials import Credentials

READING = (["log"], ["leaves"], ["channels"], ["read", "talk"], ["result"], ["claim"])


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with hubs.serving(tmp_path_factory.mktemp("hub") / "data") as one:
        yield one


@pytest.fixture(scope="module")
def one(live: Live, tmp_path_factory: pytest.TempPathFactory) -> warm.Night:
    """A checkout of agent `one`, whose HEAD holds the shared files alone."""
    folder = tmp_path_factory.mktemp("one")
    return shared.begun(folder, Credentials(live.url, live.join("one").key, "one"))


def hub(one: warm.Night, *words: str) -> str:
    return one.run("hub", *words).stdout


def test_join_registers_once_and_keeps_the_key(live: Live, tmp_path: Path) -> None:
    one = warm.Night(tmp_path, HOME=str(tmp_path))
    assert f"joined {live.url} as new" in hub(one, "join", live.url + "/", "new")
    path = tmp_path / ".agenthub_creds"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and f'export HUB="{live.url}"' in path.read_text()
    assert "already" in hub(one, "join", live.url, "new")
    assert "move it away" in one.refuse("hub", "join", live.url, "other")
    assert json.loads(hub(one, "channels", "--json")) == live.join("looks").get("/api/channels").json()
    other = warm.Night(tmp_path / "b", HOME=str(tmp_path / "b"))
    (tmp_path / "b").mkdir()
    assert "HubError: agent id already taken; choose another name" in other.refuse("hub", "join", live.url, "new")
    assert "nothing was written" in other.refuse("hub", "join", live.url, "a b")
    assert "nothing was written" in other.refuse("hub", "join", live.url, '$(x)";y"')
    assert "http://… or https://…" in other.refuse("hub", "join", "hub.example", "fine")
    assert (
        "URL must be" in (said := other.refuse("hub", "join", "127.0.0.1:8080", "b"))
        and "http://127.0.0.1:8080" in said
    )
    assert "hub join URL NAME" in other.refuse("hub", "brief")
    assert not os.listdir(tmp_path / "b")


def test_board_verbs_talk(one: warm.Night, live: Live) -> None:
    assert hub(one, "channels", "--create", "talk", "--description", "of all") == "#talk made\n"
    assert hub(one, "channels", "--create", "talk") == "#talk is there\n"
    assert "#talk  of all\n" in hub(one, "channels")
    first = hub(one, "post", "talk", "**hello**")
    number = first.split()[1]
    assert first == f"post {number} in #talk\n"
    assert "in #talk" in hub(one, "reply", number, "hi")
    lines = hub(one, "read", "talk").splitlines()
    assert lines[0].startswith(f"{number}  one  20") and lines[1] == "**hello**" and lines[-1] == "hi"
    assert f" to {number}  one" in lines[2]
    found = json.loads(hub(one, "read", "talk", "--json"))
    assert [row["content"] for row in found] == ["hi", "**hello**"]
    assert hub(one, "read", "talk", "-n", "1").splitlines()[-1] == "hi"
    assert "channel not found: known are #" in one.refuse("hub", "read", "nowhere")
    assert "#talk; make another with `hub channels --create NAME`" in one.refuse("hub", "post", "nowhere", "hi")
    assert hub(one, "post", "discussion", "hi").endswith("in #discussion\n"), "made, as the channels of every hub"
    assert "post not found" in one.refuse("hub", "reply", "999999", "hi")


def test_posts_of_strangers_move_no_terminal_and_long_ones_are_cut(one: warm.Night, live: Live) -> None:
    live.join("stranger").post("/api/channels", name="loud")
    live.join("louder").post("/api/channels/loud/posts", content="a\x1b]0;title\x07b\r\x9b2J" + "x" * 2000)
    text = hub(one, "read", "loud")
    assert not set(text) & set("\x1b\x07\r\x9b") and "a�]0;title�b" in text
    assert "more characters; --json has all" in text and len(text) < 800
    assert len(json.loads(hub(one, "read", "loud", "--json"))[0]["content"]) > 2000


def test_post_reads_standard_input(one: warm.Night) -> None:
    hub(one, "channels", "--create", "long")
    process = one.start("hub", "post", "long", "-", stdin=-1)
    assert process.communicate("from a file\nwith lines\n", timeout=30)[0].startswith("post ")
    assert json.loads(hub(one, "read", "long", "--json"))[0]["content"] == "from a file\nwith lines\n"


def test_commit_verbs_show_the_tree(one: warm.Night, live: Live) -> None:
    base = one.git("rev-parse", "HEAD")
    assert hub(one, "push") == f"pushed {base}\n"
    one.edit(LR=0.5)
    one.git("commit", "-qm", "halve LR", "train.py")
    head = one.git("rev-parse", "HEAD")
    assert hub(one, "push", "HEAD") == hub(one, "push") == f"pushed {head}\n"
    assert hub(one, "log", "-n", "1").startswith(f"{head[:7]}  one  20") and hub(one, "log", "--agent", "no") == ""
    assert [row["hash"] for row in json.loads(hub(one, "leaves", "--json"))][:1] == [head]
    assert "none is known" in one.run("hub", "lineage", "0000000").stderr
    assert "halve LR" in hub(one, "children", base[:9]) and hub(one, "children", head) == ""
    assert [row["hash"] for row in json.loads(hub(one, "lineage", head, "--json"))] == [head, base]
    assert "+LR = 0.5" in hub(one, "diff", base, head)
    assert "commit not found" in one.refuse("hub", "diff", base, "ab" * 20)
    for words in (["children", "../etc"], ["lineage", "abc"], ["diff", base, "x" * 40]):
        assert "hex digits" in one.refuse("hub", *words, code=2)
    one.git("reset", "--quiet", "--hard", base)


def test_push_leaks_no_other_file(one: warm.Night, live: Live, tmp_path: Path) -> None:
    refusal = one.refuse("hub", "push", "main")
    assert "hold train.py, prepare.py, pyproject.toml, uv.lock alone" in refusal and "README.md" in refusal
    tree = one.git("rev-parse", "HEAD^{tree}")
    hidden = one.git("commit-tree", tree, "-p", "main", "-m", "looks clean")
    assert "docs/more.md" in one.refuse("hub", "push", hidden)
    assert live.join("looker").get(f"/api/git/commits/{hidden}").status_code == 404


def test_result_by_hand_is_told_once_as_line_and_as_structure(one: warm.Night, live: Live) -> None:
    words = ["HEAD", "-m", "wider  model", "--value", "1.25", "--memory-gb", "2", "--platform", "H100x1", "--status"]
    line = hub(one, "result", *words, "discard")
    short = one.git("rev-parse", "--short=7", "HEAD")
    assert line == f"commit:{short} platform:H100 val_bpb:1.250000 vram_gb:2.0 | wider model (DISCARD)\n"
    hub(one, "result", *words, "discard")
    (found,) = [row for row in json.loads(hub(one, "result", "--json")) if row["description"] == "wider model"]
    assert (found["value"], found["status"], found["agent_id"]) == (1.25, "discard", "one")
    assert f"{short}  H100  1.250000  discard  one  wider model" in hub(one, "result", "--platform", "H100")
    posts = json.loads(hub(one, "read", "results", "--json"))
    assert [row["content"] for row in posts if row["agent_id"] == "one"] == [line.rstrip()], "the same again is no news"
    crash = hub(one, "result", "HEAD", "-m", "too wide", "--status", "crash", "--platform", "H100")
    assert crash.endswith("val_bpb:--- vram_gb:--- | too wide (CRASH)\n")
    for wrong in ([*words, "crash"], [*words, "best"], words[:1]):
        assert one.refuse("hub", "result", *wrong, code=2)


def test_result_by_hand_that_nothing_measured_is_wrong_usage(one: warm.Night) -> None:
    words, before = ["result", "HEAD", "-m", "x"], hub(one, "result", "--json")
    for value in ("nan", "inf", "-inf", "-3", "0"):
        wrong = one.refuse("hub", *words, "--value", value, "--platform", "H100", code=2)
        assert "positive and finite" in " ".join(wrong.replace("\u2502", " ").split())
    for memory in ("nan", "inf", "-1"):
        assert one.refuse("hub", *words, "--value", "1", "--memory-gb", memory, "--platform", "H100", code=2)
    for platform in ("!!!", " ", ""):
        assert "in letters" in one.refuse("hub", *words, "--value", "1", "--platform", platform, code=2)
    assert hub(one, "queue") == "" and hub(one, "result", "--json") == before


def test_result_by_hand_that_is_refused_is_a_failure_and_has_no_line(tmp_path: Path) -> None:
    words = ("hub", "result", "HEAD", "-m", "x", "--value", "1.5", "--platform", "H100")
    with scripted.serving(Answer(400, {"error": "no such platform"})) as server:
        one = shared.begun(tmp_path, server.who)
        done = one.run(*words, code=1)
        assert done.stdout == "" and "is refused, 400: no such platform; kept in results/" in done.stderr
        assert server.told() == [("POST", "/api/results")] and hub(one, "queue") == ""


def test_result_by_hand_waits_until_a_hub_is_joined(live: Live, tmp_path: Path) -> None:
    one = shared.begun(tmp_path)
    said = one.refuse("hub", "result", "HEAD", "-m", "early", "--value", "1.5", "--platform", "H100")
    assert "hub join URL NAME" in said and "the result waits in results/hub-queue.jsonl until then" in said
    assert hub(one, "queue").split()[1:5] == ["whichever", "hub", "comes", "next"]
    hub(one, "join", live.url, "late")
    assert "told result, post" in one.run("hub", "brief").stderr
    assert '"early"' in hub(one, "result", "--json")


def test_what_waits_for_one_hub_is_not_told_to_another(live: Live, tmp_path: Path) -> None:
    away, mine = scripted.nobody(), live.join("moved")
    one = shared.begun(tmp_path, Credentials(away, "k", "secret"))
    one.run("hub", "result", "HEAD", "-m", "not for all", "--value", "1.5", "--platform", "H100")
    shared.at_home(tmp_path, Credentials(live.url, mine.key, "moved"))
    told = f"hub: 2 messages are for secret@{away} and wait; `hub queue` can send them here, or drop them\n"
    assert one.run("hub", "brief").stderr == told
    assert mine.get("/api/results", agent="moved").json() == []
    lines = hub(one, "queue").splitlines()
    assert [line.split()[:2] for line in lines] == [["result", f"secret@{away}"], ["post", f"secret@{away}"]]
    assert [row["hub"] for row in json.loads(hub(one, "queue", "--json"))] == [away, away]
    assert f"what waits is for secret@{away}" in one.refuse("hub", "queue", "--drop", f"moved@{away}")
    assert hub(one, "queue", "--drop", f"secret@{away}") == "2 messages dropped\n" and hub(one, "queue") == ""
    assert one.run("hub", "brief").stderr == ""


def test_claims_are_held_shown_and_given_up(one: warm.Night, live: Live) -> None:
    said = hub(one, "claim", "warmdown .9", "-m", "longer warmdown", "--platform", "H100", "--minutes", "5")
    number = said.split()[1]
    assert said.startswith(f"claim {number}  one  until 20") and "warmdown .9" in said
    assert said.split("\n")[0] in hub(one, "claim")
    other = live.join("rival").post("/api/claims", key="warmdown .9", platform="H100")
    assert other.status_code == 409 and "claimed by one" in other.json()["error"]
    live.join("rival2").post("/api/claims", key="rotary base", description="rotary base of 200K")
    live.join("rival3").post("/api/claims", key="rotary dims")
    said = one.refuse("hub", "claim", "rotary base")
    assert "claimed by rival2" in said and " of rival3: rotary dims\n" in said
    lines = hub(one, "claim", "rotary base 100K").split("\n")[1:]
    assert all(line.startswith("similar: claim ") for line in lines[:-1]) and lines[-1] == ""
    assert {line.partition(" of ")[2] for line in lines if line} == {
        "rival2: rotary base rotary base of 200K",
        "rival3: rotary dims",
    }
    assert hub(one, "claim", "--release", number) == f"claim {number} released\n"
    assert "warmdown .9" not in hub(one, "claim")


def test_listed_results_tell_which_do_not_count() -> None:
    row = {"commit": "a1b2c3d4", "value": 0.99, "counted": True}
    assert "(" not in work.line(row) and "(" not in work.line({**row, "value": None, "counted": False})
    assert "(spare: " in work.line({**row, "counted": False})
    assert "(not believed: odd)" in work.line({**row, "counted": False, "quarantine": "odd"})


def test_brief_is_a_page(one: warm.Night) -> None:
    text = hub(one, "brief")
    assert text.startswith("#") and "since" in text.splitlines()[-1]
    told = json.loads(hub(one, "brief", "--since", "999999", "--json"))
    assert text.splitlines()[-1] == f"Next time: `hub brief --since {told['since']}`"
    assert told["brief"].startswith("# Brief for one\n") and told["brief"] != text


def test_reading_verbs_have_json(one: warm.Night) -> None:
    for words in READING:
        assert isinstance(json.loads(hub(one, *words, "--json")), list)


def test_verbs_work_outside_a_repository(one: warm.Night, tmp_path: Path) -> None:
    elsewhere = warm.Night(tmp_path, HOME=one.env["HOME"])
    assert "#talk" in hub(elsewhere, "channels")
    assert "git repository" in elsewhere.refuse("hub", "push")


def test_fetch_brings_train_alone_and_becomes_a_base(live: Live, tmp_path: Path) -> None:
    author = shared.begun(tmp_path / "a", Credentials(live.url, live.join("author").key, "author"))
    author.edit(LR=0.5, DEPTH=6)
    author.git("commit", "-qm", "theirs", "train.py")
    theirs = author.git("rev-parse", "HEAD")
    author.run("hub", "push")
    mine = shared.begun(tmp_path / "b", Credentials(live.url, live.join("reader").key, "reader"))
    assert "commit not found" in mine.refuse("hub", "fetch", "ab" * 20)
    mine.edit(DEPTH=3)
    assert "no unfinished edits" in mine.refuse("hub", "fetch", theirs)
    assert "DEPTH = 3" in mine.text("train.py") and not mine.git("for-each-ref", "refs/agenthub")
    mine.git("restore", "train.py")
    assert theirs in hub(mine, "fetch", theirs[:10])
    assert mine.text("train.py") == author.text("train.py")
    assert mine.git("diff", "--name-only", "HEAD") == "train.py"
    assert json.loads(mine.text("results/t1/pins.json"))["foreign"] == [theirs]
    assert f"code of strangers ({theirs[:7]})" in mine.refuse("try", "--no-sandbox", "-m", "replicate")
    assert "keep" in mine.attempt("theirs, changed", LR=0.45)
    champion = mine.git("rev-parse", "HEAD")

    mine.run("setup", "t3", "--from", champion, "--baseline-runs", "1")
    assert json.loads(mine.text("results/t3/pins.json"))["foreign"] == [theirs]
    mine.git("switch", "--quiet", "--detach", f"{champion}~1")
    before = mine.text("train.py")
    assert theirs in hub(mine, "fetch", theirs[:10])
    assert mine.text("train.py") == before  # outside of a tag nothing would tell where an edit came from
    assert f"branch autoresearch/t2 at {theirs[:7]}" in mine.run("setup", "t2", "--from", theirs[:7]).stdout
    assert json.loads(mine.text("results/t2/pins.json"))["foreign"] == [theirs]
    mine.edit(LR=0.4)
    assert "runs confined or not at all" in mine.refuse("try", "--no-sandbox", "-m", "LR .4")
    assert (mine.root / "README.md").read_text() == "a page\n"


def test_fetch_names_the_frozen_file_that_differs(live: Live, tmp_path: Path) -> None:
    author = shared.begun(tmp_path / "a", Credentials(live.url, live.join("breaker").key, "breaker"))
    (author.root / "uv.lock").write_text("version = 2\n")
    author.git("commit", "-qm", "another lock file", "uv.lock")
    author.run("hub", "push")
    mine = shared.begun(tmp_path / "b", Credentials(live.url, live.join("keeper").key, "keeper"))
    before = mine.text("train.py")
    assert "uv.lock of" in mine.refuse("hub", "fetch", author.git("rev-parse", "HEAD"))
    assert mine.text("train.py") == before and not mine.git("for-each-ref", "refs/agenthub")
