"""Two scripted agents in two clones work at the same time through a live hub, with the fake trainer."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import hubs
import pytest
import shared
import warm

from autoresearch.hub.client.credentials import Credentials

NAMES = ("ann", "bob")
AGENT = Path(__file__).with_name("hub_agent.py")


def work(agents: dict[str, warm.Night]) -> dict[str, list[Any]]:
    """Let all of them go through their ideas at once; what each says of each idea."""
    running = {
        name: subprocess.Popen([sys.executable, AGENT], cwd=one.root, env=one.env, stdout=subprocess.PIPE, text=True)
        for name, one in agents.items()
    }
    return {
        name: [json.loads(line) for line in process.communicate(timeout=300)[0].splitlines()]
        for name, process in running.items()
    }


def attempts(one: warm.Night) -> dict[str, str]:
    """Description and status of what was tried beyond the baseline."""
    return {record["description"]: record["status"] for record in one.records()[1:]}


@pytest.mark.slow
def test_two_agents_share_the_work_and_the_better_train_travels(tmp_path: Path) -> None:
    with hubs.serving(tmp_path / "hub") as live:
        agents = {
            name: shared.begun(tmp_path / name, Credentials(live.url, live.join(name).key, name)) for name in NAMES
        }
        assert len({one.tip() for one in agents.values()}) == 1, "they must begin at the same commit"
        told = work(agents)
        for rows in told.values():
            assert len(rows) == 5
            assert all(code == 0 or "claimed by" in said or "was measured by" in said for _, code, said in rows), rows
        tried = [attempts(one) for one in agents.values()]
        assert not tried[0].keys() & tried[1].keys(), "something was tried twice"
        assert len(tried[0] | tried[1]) == 5 and (tried[0] | tried[1])["LR to 0.5"] == "keep"

        winner, other = sorted(NAMES, key=lambda name: "LR to 0.5" not in attempts(agents[name]))
        follow(agents[winner], agents[other])
        check_hub(live, agents[winner].tip(), winner, other)
        for one in agents.values():
            assert (one.root / "results/hub-queue.jsonl").read_text() == ""
            assert not (one.root / "results/hub-refused.jsonl").exists()


def follow(winner: warm.Night, other: warm.Night) -> None:
    """One agent finds the best of the hub, measures it again, and builds on it."""
    rows = json.loads(other.run("hub", "result", "--json", "-n", "100").stdout)
    best = min((row for row in rows if row["status"] == "keep"), key=lambda row: row["value"])
    assert best["commit"] == winner.tip() and best["description"] == "LR to 0.5"
    assert "LR to 0.5" in other.run("hub", "brief").stdout
    other.run("hub", "fetch", best["commit"])
    assert other.text("train.py") == winner.text("train.py")
    assert "was measured by" in other.refuse("try", "--hub", "-m", "replicate LR 0.5")
    assert "keep" in other.run("try", "--hub", "--anyway", "-m", "replicate LR 0.5").stdout
    assert "keep" in other.attempt("deeper", "--hub", DEPTH=6)
    assert other.text("train.py") != winner.text("train.py")


def check_hub(live: hubs.Live, commit: str, winner: str, other: str) -> None:
    """The hub has every run once, counts both measurements of one train.py together, and shows who built on what."""
    agent = live.join("looker")
    (board,) = agent.get("/api/leaderboard", platform="fake").json()
    assert board["regime"] == "0123456789ab"
    entries = {one["description"]: one for one in board["entries"]}
    best = entries["LR to 0.5"]
    assert sorted(best["agents"]) == sorted([winner, other]) and best["trust"] == "replicated"
    assert best["n"] == len([row for row in results(agent) if row["train_blob"] == best["train_blob"]]) >= 2
    assert board["entries"][0]["description"] == "deeper" and board["entries"][0]["n"] >= 1
    rows = results(agent)
    assert len({(row["commit"], row["seed"]) for row in rows}) == len(rows), "a run was told twice"
    posts = [post["content"] for post in agent.get("/api/channels/results/posts", limit=200).json()]
    assert sum(content.count("commit:") for content in posts) == len(rows)
    subjects = {row["hash"]: row["message"] for row in agent.get("/api/git/commits").json()}
    assert sorted(subjects.values()) == ["LR to 0.5", "baseline", "deeper", "replicate LR 0.5"]
    (leaf,) = [row["hash"] for row in agent.get("/api/git/leaves").json() if row["message"] == "deeper"]
    lineage = [row["message"] for row in agent.get(f"/api/git/commits/{leaf}/lineage").json()]
    assert lineage == ["deeper", "replicate LR 0.5", "baseline"]
    assert agent.get("/api/claims").json() == []
    assert subjects[commit] == "LR to 0.5"


def results(agent: hubs.Client) -> list[dict[str, Any]]:
    return agent.get("/api/results", limit=200).json()
