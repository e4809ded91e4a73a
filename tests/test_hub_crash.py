"""kill -9 inside a push, after each of its steps: what was answered is there, and the rest is cleared up."""

import subprocess
import sys
from pathlib import Path

import pytest
import requests
from clones import Clone, send
from conftest import ROOT
from hubs import Client, serving

from autoresearch.hub import doctor
from autoresearch.hub.folder import INCOMING

SERVER = """
import os, signal, sys, time
from pathlib import Path
from autoresearch.hub.limits import Limits
from autoresearch.hub.server import running

hub, fatal = running.open_hub(Path(sys.argv[1]), Limits(), time.time), Path(sys.argv[2])

def reached(step):
    if fatal.exists() and fatal.read_text() == step:
        os.kill(os.getpid(), signal.SIGKILL)

hub.reached = reached
listening = running.listen("127.0.0.1", 0)
print(listening.getsockname()[1], flush=True)
running.Server(hub, listening).serve_until_told()
"""
FOUND = {
    "admitted": [],
    "uploaded": [],
    "indexed": ["leftover"],
    "packed": ["leftover"],
    "pack moved": ["leftover"],
    "idx moved": ["leftover", "strays"],
    "recording": ["leftover", "strays"],
    "recorded": ["leftover", "references"],
    "kept": [],
}
RECORDED = ("recorded", "kept")


def kill_at(step: str, tmp_path: Path) -> tuple[Clone, str]:
    """Push a baseline, then something new, and kill the hub at a step of that; returns the clone and the baseline."""
    clone, fatal = Clone(tmp_path / "clone"), tmp_path / "fatal"
    command = [sys.executable, "-c", SERVER, str(tmp_path / "hub"), str(fatal)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout
            url = f"http://127.0.0.1:{int(server.stdout.readline())}"
            key = Client(url).post("/api/register", id="ada").json()["api_key"]
            clone.commit("DEPTH = 9\n", "baseline")
            (baseline,) = clone.push(Client(url, key))
            fatal.write_text(step)
            clone.commit("DEPTH = 10\n", "new")
            with pytest.raises(requests.ConnectionError):
                send(Client(url, key), clone.bundle())
            assert server.wait(20) == -9
        finally:
            server.kill()
    return clone, baseline


def check_served(tmp_path: Path, clone: Clone, baseline: str, is_recorded: bool) -> None:
    """What was answered is there; what was not can be pushed again."""
    with serving(tmp_path / "hub") as live:
        assert not [*(tmp_path / "hub" / INCOMING).iterdir()]
        agent = live.join("grace")
        expected = [clone.git("rev-parse", "HEAD")] if is_recorded else [baseline]
        assert [one["hash"] for one in agent.get("/api/git/leaves").json()] == expected
        assert set(expected) <= live.hub.bare.tips()
        assert agent.get(f"/api/git/fetch/{baseline}").status_code == 200
        (head,) = clone.push(agent)
        owner = agent.get(f"/api/git/commits/{head}").json()["agent_id"]
        assert owner == ("ada" if is_recorded else "grace")
        lineage = agent.get(f"/api/git/commits/{head}/lineage").json()
        assert [one["hash"] for one in lineage] == [head, baseline]
        live.hub.bare.check()
    assert doctor.examine(tmp_path / "hub", False) == []


@pytest.mark.slow
@pytest.mark.parametrize("step", FOUND)
def test_push_that_is_killed_leaves_what_the_doctor_mends(step: str, tmp_path: Path) -> None:
    clone, baseline = kill_at(step, tmp_path)
    assert [one.kind for one in doctor.examine(tmp_path / "hub", False)] == FOUND[step]
    assert [one.mended for one in doctor.examine(tmp_path / "hub", True)] == [True] * len(FOUND[step])
    assert doctor.examine(tmp_path / "hub", False) == []
    check_served(tmp_path, clone, baseline, step in RECORDED)


@pytest.mark.slow
@pytest.mark.parametrize("step", ["pack moved", "idx moved", "recorded"])
def test_hub_goes_on_after_a_kill_without_a_doctor(step: str, tmp_path: Path) -> None:
    clone, baseline = kill_at(step, tmp_path)
    check_served(tmp_path, clone, baseline, step in RECORDED)
