"""Every bundle of tests/hostile.py against `hub serve`: refused quickly, with little memory, without a trace."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import hostile
import pytest
from clones import send
from conftest import ROOT
from hubs import Client

from autoresearch.hub import doctor
from autoresearch.hub.store import Database

MOST_CPU_S = 1.0  # of the hub and of all git that it ran; wall time would measure the neighbours too
MOST_MB = 200
KEEPER = """
import os, signal, subprocess, sys
child = subprocess.Popen(sys.argv[1:])
print(child.pid, flush=True)
signal.signal(signal.SIGTERM, lambda *_: child.terminate())
usage = os.wait4(child.pid, 0)[2]
print("peak_kb", usage.ru_maxrss, flush=True)
"""


@dataclass
class Served:
    """A hub in a process of its own, started by a small one: a process counts the memory of its parent as its own."""

    client: Client
    folder: Path
    pid: int
    db: Database
    peak_mb: float = 0
    """Of the hub and of every process that it ran; known at its end."""

    def cpu_s(self) -> float:
        """Time of the processor so far, of the hub and of all that it ran."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")

    def state(self) -> tuple[list[str], list[int]]:
        """What a refused push must leave as it was."""
        tables = ("commits", "parents", "events", "found")
        rows = [self.db.value(f"SELECT count(*) FROM {table}") for table in tables]
        files = [str(path) for name in ("git", "incoming") for path in (self.folder / name).rglob("*")]
        return sorted(files), rows


@contextmanager
def served(folder: Path) -> Iterator[Served]:
    """A hub as `hub serve` runs it, with no limit on the number of pushes."""
    hub = [
        "-m",
        "autoresearch",
        "hub",
        "serve",
        "--data",
        str(folder),
        "--port",
        "0",
        "--limit",
        "pushes_per_hour=9999",
    ]
    command = [sys.executable, "-c", KEEPER, sys.executable, *hub]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as keeper:
        assert keeper.stdout
        try:
            pid, url = int(keeper.stdout.readline()), keeper.stdout.readline().strip().rstrip("/")
            key = Client(url).post("/api/register", id="mallory").json()["api_key"]
            one = Served(Client(url, key), folder, pid, Database(folder / "hub.sqlite"))
            yield one
            one.db.close()
        finally:
            keeper.send_signal(signal.SIGTERM)
            told = re.search(r"peak_kb (\d+)", keeper.stdout.read())
        one.peak_mb = int(told[1]) / 1024 if told else 0


@pytest.mark.slow
@pytest.mark.skipif(
    not Path("/proc/self/stat").exists(), reason="times and memory of other processes are read in /proc"
)
def test_hub_refuses_the_corpus_quickly_and_without_a_trace(tmp_path: Path) -> None:
    wrong: list[str] = []
    with served(tmp_path / "hub") as hub:
        assert send(hub.client, hostile.sound()).status_code == 201
        before = hub.state()
        for what, data, word in hostile.corpus():
            begun_s = hub.cpu_s()
            done = send(hub.client, data)
            spent_s = hub.cpu_s() - begun_s
            error = done.json().get("error", "")
            if done.status_code != 400 or not error.startswith("invalid bundle: ") or word not in error:
                wrong.append(f"{what}: {done.status_code} {done.text}")
            if str(tmp_path) in error or "/" + "objects" in error:
                wrong.append(f"{what}: tells of paths: {error}")
            if spent_s > MOST_CPU_S:
                wrong.append(f"{what}: took {spent_s:.2f} s")
            if hub.state() != before:
                wrong.append(f"{what}: left something")
                before = hub.state()
        assert send(hub.client, hostile.sound()).status_code == 201
    assert not wrong, "\n".join(wrong)
    assert 20 < hub.peak_mb < MOST_MB
    assert doctor.examine(tmp_path / "hub", False) == []
