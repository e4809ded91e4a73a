"""`hub serve` as a real process: kill -9 under load, a full disk, signals, one hub for a folder."""

import json
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
import requests
from hub_process import KINDS, ROOT, Load, command, served
from test_hub_admin import hub

from autoresearch.commands.hub import server
from autoresearch.errors import BadConfig
from autoresearch.hub.limits import Limits
from autoresearch.hub.store import Database

NUM_ACTS, NUM_ROUNDS = 80, 2


@pytest.mark.slow
def test_server_killed_under_load_keeps_all_that_it_acknowledged(tmp_path: Path) -> None:
    load = Load()
    for number in range(NUM_ROUNDS):
        with served(tmp_path / "hub") as live:
            agents = [live.join(f"agent{number}{which}") for which in range(load.num_agents)]
            assert agents[0].post("/api/channels", name="talk").status_code == (409 if number else 201)
            load.run_until(agents, NUM_ACTS, live.process.kill)
            assert live.process.wait(20) == -signal.SIGKILL
        assert not load.refused
        assert not load.missing(tmp_path / "hub")
    assert load.count >= NUM_ROUNDS * NUM_ACTS and all(load.acknowledged[kind.name] for kind in KINDS)
    db = Database(tmp_path / "hub" / "hub.sqlite")
    assert db.value("PRAGMA integrity_check") == "ok"
    for noun in ("agents", "channels", "posts", "results", "commits"):
        kind = "register" if noun == "agents" else noun.removesuffix("s")
        assert db.value("SELECT count(*) FROM events WHERE kind = ?", kind) == db.value(f"SELECT count(*) FROM {noun}")
    db.close()
    hub("doctor", "--repair", "--data", tmp_path / "hub")
    assert hub("doctor", "--data", tmp_path / "hub") == "nothing is wrong"


def test_server_ends_orderly_when_told(tmp_path: Path) -> None:
    for number, code in ((signal.SIGTERM, 143), (signal.SIGINT, 0)):
        with served(tmp_path / "hub") as live:
            agent = live.join(f"agent{code}")
            waiting = requests.Session()
            slow = waiting.get(
                f"{live.url}/api/stream", headers={"Authorization": f"Bearer {agent.key}"}, stream=True, timeout=20
            )
            begun = time.monotonic()
            ended, said = live.end(number)
            assert ended == code and "Traceback" not in said
            assert time.monotonic() - begun < 4
            slow.close()
    assert not [*(tmp_path / "hub").glob("hub.sqlite-*")]  # closed, and the log is in the file


def test_server_says_where_it_is_and_whose_key_lies_where(tmp_path: Path) -> None:
    with served(tmp_path / "hub") as live:
        assert requests.get(f"{live.url}/api/health", timeout=20).json() == {"status": "ok"}
        key = (tmp_path / "hub" / "admin.key").read_text().strip()
        code, said = live.end(signal.SIGINT)
    assert code == 0 and "admin.key" in said and key not in said and len(key) == 64
    assert (tmp_path / "hub").stat().st_mode & 0o777 == 0o700
    with served(tmp_path / "hub"):
        assert (tmp_path / "hub" / "admin.key").read_text().strip() == key


def test_server_has_its_folder_alone(tmp_path: Path) -> None:
    with served(tmp_path / "hub") as live:
        second = subprocess.run(command(tmp_path / "hub"), cwd=ROOT, capture_output=True, text=True)
        assert second.returncode == 1 and second.stdout == ""
        assert f"process {live.process.pid}" in second.stderr and "--data" in second.stderr
        assert live.join("still-there").get("/api/channels").status_code == 200
        live.end(signal.SIGKILL)
    with served(tmp_path / "hub") as live:
        assert "still-there" in hub("agents", "--data", tmp_path / "hub")


def test_server_names_what_is_wrong_with_its_limits() -> None:
    assert server.limits_of(["posts_per_hour=5", "channels=7"]) == Limits(posts_per_hour=5, channels=7)
    for pair in ("posts=5", "posts_per_hour=many", "posts_per_hour", "posts_per_hour=-1", ""):
        with pytest.raises(BadConfig, match=r"NAME=NUMBER with a NAME of .*posts_per_hour"):
            server.limits_of([pair])
    with pytest.raises(BadConfig, match="--limit connections="):
        server.allow_files(10**9)


def test_server_says_when_it_cannot_listen(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        words = ("--port", str(taken.getsockname()[1]))
        done = subprocess.run(command(tmp_path / "hub", *words), cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (1, "")
    assert "choose another with --port" in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "hub" / "hub.sqlite").exists()


def test_server_on_a_full_disk_says_so_and_loses_nothing(tmp_path: Path) -> None:
    """No file may grow beyond 600 KB: writes then fail as they do on a full disk."""
    with served(tmp_path / "hub", prefix=("prlimit", "--fsize=600000")) as live:
        agent = live.join("writer")
        agent.post("/api/channels", name="talk")
        answers = [agent.post("/api/channels/talk/posts", content="x" * 30_000) for _ in range(60)]
        codes = [answer.status_code for answer in answers]
        assert set(codes) == {201, 507} and "make room" in answers[codes.index(507)].json()["error"]
        assert agent.get("/api/channels/talk/posts").status_code == 200
        number = codes.count(201)
        live.process.kill()
    with served(tmp_path / "hub") as live:
        db = json.loads(hub("agents", "--json", "--data", tmp_path / "hub"))
        assert db[0]["posts"] == number
        assert live.join("later").post("/api/channels/talk/posts", content="x").status_code == 201
