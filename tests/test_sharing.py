"""autoresearch/commands/sharing.py: what --hub adds to setup and try, against a server that does as the test says."""

import json
import signal
import time
from pathlib import Path

import night
import pytest
import scripted
import shared
from scripted import Answer, Asked

from autoresearch.hub.client.credentials import Credentials

AGENT = "agent"


class Board:
    """A hub of a few lines: it takes everything, and holds claims for others."""

    def __init__(self, *taken: str) -> None:
        self.taken = taken

    def __call__(self, asked: Asked) -> Answer:
        path = asked.path.partition("?")[0]
        if path == "/api/claims":
            key = json.loads(asked.body)["key"]
            if any(part in key for part in self.taken):
                return Answer(409, {"error": f"{key} is claimed by other until noon; take another idea"})
            return Answer(201, {"id": 5})
        if path.startswith("/api/git/commits/"):
            return Answer(404, {"error": "commit not found"})
        return Answer(201, {"hashes": ["ab" * 20]} if path == "/api/git/push" else {"id": 1})


def queue(one: night.Night) -> list[dict]:
    path = one.root / "results" / "hub-queue.jsonl"
    return [json.loads(line) for line in path.read_text().split("\n") if line] if path.exists() else []


def bodies(server: scripted.Scripted, path: str) -> list[dict]:
    return [json.loads(one.body) for one in server.asked if one.path == path]


def told(one: night.Night, *words: str, code: int = 0, **constants: object) -> str:
    """Edit, `try --hub`, and what it says on stderr."""
    one.edit(**constants)
    return one.run("try", "--hub", "-m", *words, code=code).stderr


def test_try_claims_before_and_tells_after(tmp_path: Path) -> None:
    with scripted.serving(Board()) as server:
        one = shared.begun(tmp_path, server.who)
        said = told(one, "halve LR", LR=0.5)
        assert said == "hub: told result, post, push\n"
        methods = [path for _, path in server.told() if not path.startswith("/api/git/commits/")]
        assert methods == ["/api/claims", "/api/results", "/api/channels/results/posts", "/api/git/push"]
        (claim,), (result,) = bodies(server, "/api/claims"), bodies(server, "/api/results")
        base = one.git("rev-parse", f"{one.record(1)['commit']}:train.py")
        assert claim["key"] == f"LR=0.5 on {base[:12]}" and claim["platform"] == "fake"
        assert claim["parent"] == one.record(1)["commit"] and 60 <= claim["ttl_s"] <= 3600
        assert result["claim"] == 5 and result["status"] == "keep" and result["regime"] == "0123456789ab"
        assert result["idempotency_key"] == f"t1/0002/{one.tip()}/1"
        (line,) = bodies(server, "/api/channels/results/posts")
        score = one.record(2)["trials"][0]["score"]
        assert line == {"content": f"commit:{one.tip()[:7]} platform:fake val_bpb:{score:.6f} vram_gb:1.0 | halve LR"}
        assert server.asked[-1].body.startswith(b"# v2 git bundle\n") and one.tip().encode() in server.asked[-1].body
        assert all(one.headers["Authorization"] == "Bearer k3y" for one in server.asked)
        assert queue(one) == []


def test_try_pushes_keeps_alone(tmp_path: Path) -> None:
    with scripted.serving(Board()) as server:
        one = shared.begun(tmp_path, server.who)
        told(one, "shallow", DEPTH=2)
        told(one, "too much", MODE="memory")
        assert "/api/git/push" not in [path for _, path in server.told()]
        lines = [one["content"] for one in bodies(server, "/api/channels/results/posts")]
        assert lines[0].endswith("| shallow (DISCARD)")
        assert lines[1].endswith("val_bpb:--- vram_gb:--- | too much (CRASH: out of memory)")


def test_try_refuses_an_idea_that_another_agent_has(tmp_path: Path) -> None:
    with scripted.serving(Board("LR=0.5")) as server:
        one = shared.begun(tmp_path, server.who)
        one.edit(LR=0.5)
        refusal = one.refuse("try", "--hub", "-m", "halve LR")
        assert "claimed by other until noon" in refusal and "--anyway" in refusal
        assert len(one.records()) == 1 and "LR = 0.5" in one.text("train.py") and queue(one) == []
        assert "told" in told(one, "halve LR", "--anyway")
        assert one.record(2)["status"] == "keep" and "claim" not in bodies(server, "/api/results")[0]


def test_try_names_similar_claims_of_others_and_goes_on(tmp_path: Path) -> None:
    found = [("claim", "3", "other"), ("claim", "4", AGENT), ("result", "7", "other")]
    similar = [
        {"kind": kind, "subject": subject, "agent_id": agent, "excerpt": f"LR {subject}\x1b[2J\non a1b2\n"}
        for kind, subject, agent in found
    ]
    board, taken = Board(), Answer(409, {"error": "LR=0.25 is claimed by other", "similar": [*similar, "odd"]})

    def knowing(asked: Asked) -> Answer:
        if asked.path != "/api/claims":
            return board(asked)
        return taken if b"LR=0.25" in asked.body else Answer(201, {"id": 5, "similar": similar})

    with scripted.serving(knowing) as server:
        one = shared.begun(tmp_path, server.who)
        line = "hub: similar, claim 3 of other: LR 3�[2J on a1b2\n"
        assert told(one, "halve LR", LR=0.5) == f"{line}hub: told result, post, push\n"
        one.edit(LR=0.25)
        assert one.refuse("try", "--hub", "-m", "less LR").startswith(f"{line}Refused: LR=0.25 is claimed by other")


def test_try_refuses_what_another_agent_has_measured(tmp_path: Path) -> None:
    board, settled = Board(), [{"agent_id": "other", "outcome": "result 7"}]

    def knowing(asked: Asked) -> Answer:
        return Answer(201, {"id": 5, "settled": settled}) if asked.path == "/api/claims" else board(asked)

    with scripted.serving(knowing) as server:
        one = shared.begun(tmp_path, server.who)
        one.edit(LR=0.5)
        assert "was measured by other (result 7)" in one.refuse("try", "--hub", "-m", "halve LR")
        assert server.told()[-1] == ("DELETE", "/api/claims/5") and len(one.records()) == 1
        told(one, "replicate", "--anyway")
        assert bodies(server, "/api/results")[0]["claim"] == 5


def test_try_takes_claim_and_promise_back_when_nothing_begins(tmp_path: Path) -> None:
    with scripted.serving(Board()) as server:
        one = shared.begun(tmp_path, server.who)
        told(one, "shallow", DEPTH=2)
        one.edit(DEPTH=2)
        assert "equals attempt 0002" in one.refuse("try", "--hub", "-m", "again")
        assert server.told()[-1] == ("DELETE", "/api/claims/5") and queue(one) == []


def test_try_needs_credentials_and_a_tag_that_is_made_for_a_hub(tmp_path: Path) -> None:
    one = shared.begun(tmp_path)
    one.edit(LR=0.5)
    assert "hub join URL NAME" in one.refuse("try", "--hub", "-m", "halve LR")
    shared.at_home(tmp_path, Credentials(scripted.nobody(), "k", "a"))
    one.git("symbolic-ref", "HEAD", "refs/heads/main")
    one.git("reset", "--quiet")
    one.git("restore", "train.py")
    one.run("setup", "t2", "--baseline-runs", "1")
    one.edit(LR=0.5)
    assert "setup TAG --hub" in one.refuse("try", "--hub", "-m", "halve LR")
    other = night.begun(tmp_path / "other", HOME=one.env["HOME"])
    other.edit(LR=0.5)
    assert "autoresearch.toml says" in other.refuse("try", "--hub", "-m", "halve LR")


def test_try_works_alone_while_the_hub_is_away_and_tells_later_in_order(tmp_path: Path) -> None:
    away = scripted.nobody()
    one = shared.begun(tmp_path, Credentials(away, "k", AGENT))
    said = told(one, "halve LR", LR=0.5).splitlines()
    assert len(said) == 2 and "refused; working on without a claim" in said[0] and "3 messages wait" in said[1]
    assert "5 messages wait" in told(one, "shallow", DEPTH=2)
    assert [item["kind"] for item in queue(one)] == ["result", "post", "push", "result", "post"]
    with scripted.serving(Board()) as server:
        shared.at_home(tmp_path, server.who)
        later = told(one, "deeper", DEPTH=6)
        assert "told result" in later and f"5 messages are for {AGENT}@{away} and wait" in later
        one.run("hub", "queue", "--send", f"{AGENT}@{away}")  # the same hub at another address
        results = [one["description"] for one in bodies(server, "/api/results")]
        assert results == ["deeper", "halve LR", "shallow"] and queue(one) == []
        assert [path for _, path in server.told()].count("/api/git/push") == 2


def test_try_never_posts_a_line_twice(tmp_path: Path) -> None:
    board, posted = Board(), list[str]()

    def forgetful(asked: Asked) -> Answer:
        """Takes the post, and breaks off before it says so."""
        if asked.path.startswith("/api/channels/results/posts"):
            if asked.method == "GET":
                return Answer(200, [{"agent_id": AGENT, "content": one} for one in posted])
            posted.append(json.loads(asked.body)["content"])
            return Answer(201, b"", {"Content-Length": "99", "Connection": "close"})
        return board(asked)

    with scripted.serving(forgetful) as server:
        one = shared.begun(tmp_path, server.who)
        assert "messages wait" in told(one, "halve LR", LR=0.5)
        assert "messages wait" in told(one, "shallow", DEPTH=2)
        assert len(posted) == 2 and len(set(posted)) == 2


def test_try_goes_on_while_the_hub_wants_to_wait_or_refuses(tmp_path: Path) -> None:
    board = Board()

    def strict(asked: Asked) -> Answer:
        if asked.path == "/api/results":
            return Answer(400, {"error": "platform\x1b[2J is unknown"})
        if asked.path.startswith("/api/channels"):
            return Answer(429, {"error": "at most 100 posts an hour"}, {"Retry-After": "1800"})
        return board(asked)

    with scripted.serving(strict) as server:
        one = shared.begun(tmp_path, server.who)
        said = told(one, "halve LR", LR=0.5)
        assert "is refused, 400: platform�[2J is unknown; kept in results/hub-refused.jsonl" in said
        assert "at most 100 posts an hour; 2 messages wait" in said
        aside = json.loads(one.text("results/hub-refused.jsonl"))
        assert aside["data"]["description"] == "halve LR" and aside["refused"].startswith("400: platform")
        assert [item["kind"] for item in queue(one)] == ["post", "push"]


@pytest.mark.parametrize("when", ["always", "after the claim"])
def test_try_loses_two_seconds_at_most_to_a_hub_that_does_not_answer(tmp_path: Path, when: str) -> None:
    def claims_only(asked: Asked) -> Answer:
        return Answer(201, {"id": 5}) if asked.path == "/api/claims" else Answer(200, b"{" * 60, drip_s=0.5)

    with scripted.silent() as mute, scripted.serving(claims_only) as server:
        one = shared.begun(tmp_path, Credentials(mute if when == "always" else server.url, "k", AGENT))
        one.edit(DEPTH=2)
        begun = time.monotonic()
        one.run("try", "-m", "alone")
        alone_s = time.monotonic() - begun
        one.edit(DEPTH=3)
        begun = time.monotonic()
        assert "messages wait" in one.run("try", "--hub", "-m", "shared").stderr
        assert time.monotonic() - begun < alone_s + 3.5  # two of which are the hub's, the rest is a busy machine
        assert one.record(3)["closed"]


def test_keys_reach_no_trial(tmp_path: Path) -> None:
    with scripted.serving(Board()) as server:
        one = shared.begun(tmp_path, server.who, HUB_KEY="s3cret", HUB=server.url, AGENT_ID=AGENT)
        path = one.root / "train.py"
        look = (
            f"print('env', sorted(os.environ.items()), os.path.exists({str(tmp_path / 'home' / '.agenthub_creds')!r}))"
        )
        path.write_text(path.read_text().replace("    main()\n", f"    {look}\n    main()\n"))
        told(one, "halve LR", LR=0.5)
        log = one.text("results/t1/0002/1/run.log")
        assert "('PATH'" in log and "s3cret" not in log and "HUB" not in log and "k3y" not in log
        if one.record(2)["trials"][0]["sealed"] != "open":
            assert "] False\n" in log


def test_detached_attempt_is_told_of_by_its_child(tmp_path: Path) -> None:
    with scripted.serving(Board()) as server:
        one = shared.begun(tmp_path, server.who)
        one.edit(LR=0.5)
        one.run("try", "--hub", "--detach", "-m", "halve LR")
        assert "keep" in one.run("wait").stdout
        assert bodies(server, "/api/results")[0]["description"] == "halve LR" and queue(one) == []


def test_attempt_killed_while_it_runs_is_healed_and_frees_its_claim(tmp_path: Path) -> None:
    with scripted.serving(Board()) as server:
        one = shared.begun(tmp_path, server.who)
        one.edit(MODE="wait")
        process = one.start("try", "--hub", "-m", "hangs")
        night.until((one.root / "results/t1/0002/1/progress.jsonl").exists)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=30)
        assert [item["key"] for item in queue(one)] == ["t1 after 0001"]
        one.git("restore", "train.py")
        said = told(one, "halve LR", MODE="fine", LR=0.5)
        assert "attempt 0002 was cut off" in said
        assert ("DELETE", "/api/claims/5") in server.told() and queue(one) == []
        assert [one["description"] for one in bodies(server, "/api/results")] == ["halve LR"]


def test_setup_makes_the_branch_and_tells_of_the_baseline(tmp_path: Path) -> None:
    with scripted.serving(Board()) as server:
        one = shared.fresh(tmp_path / "repo", HOME=str(shared.at_home(tmp_path, server.who)))
        root = shared.root_of(one)
        done = one.run("setup", "t1", "--hub")
        assert f"branch autoresearch/t1 at {root[:7]}" in done.stdout and "hub: told" in done.stderr
        assert one.tip() == root and (one.root / "README.md").read_text() == "a page\n"
        results = bodies(server, "/api/results")
        assert [(one["description"], one["status"], one["commit"]) for one in results] == 2 * [
            ("baseline", "keep", root)
        ]
        assert len(results) == len({one["seed"] for one in results}) == 2 and queue(one) == []
        (line,) = bodies(server, "/api/channels/results/posts")
        assert [text.partition(" | ")[2] for text in line["content"].split("\n")] == ["baseline", "baseline"]
        assert root.encode() in next(one.body for one in server.asked if one.path == "/api/git/push")
