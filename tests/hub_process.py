"""`hub serve` as a process of its own, to be killed; and agents that do all that can be acknowledged."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import requests
from hubs import MANY, Client

from autoresearch.hub.store import Database

ROOT = Path(__file__).resolve().parent.parent
PER_HOUR = ("registrations", "posts", "pushes", "diffs", "results", "claims")
ROOMY = [word for name in PER_HOUR for word in ("--limit", f"{name}_per_hour={MANY}")]
ROOMY += ["--limit", f"channels={MANY}"]


def command(folder: Path, *words: str) -> list[str]:
    return [sys.executable, "-m", "autoresearch", "hub", "serve", "--data", str(folder), "--port", "0", *ROOMY, *words]


@dataclass
class Served:
    """A hub in a process."""

    process: subprocess.Popen[str]
    url: str

    def join(self, name: str) -> Client:
        done = Client(self.url).post("/api/register", id=name)
        assert done.status_code == 201, done.text
        return Client(self.url, done.json()["api_key"], name)

    def end(self, number: int) -> tuple[int, str]:
        """Send a signal and wait; returns the exit code and what was said."""
        self.process.send_signal(number)
        _, said = self.process.communicate(timeout=20)
        return self.process.returncode, said


@contextmanager
def served(folder: Path, *words: str, prefix: tuple[str, ...] = ()) -> Iterator[Served]:
    """Serve a folder until the block ends, unless it was killed before."""
    process = subprocess.Popen(
        [*prefix, *command(folder, *words)], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout and process.stderr
    try:
        url = process.stdout.readline().strip().rstrip("/")
        assert url, process.stderr.read()
        yield Served(process, url)
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


@dataclass(frozen=True)
class Kind:
    """Something that an agent does, and how to see afterwards that it is there."""

    name: str
    act: Callable[[Client, str], requests.Response]
    """Does it once, so that the word that is given names it for ever."""
    words: str
    """SQL: the words of all that are there."""


def bundle(word: str) -> bytes:
    """A bundle of one commit that has this subject."""
    with tempfile.TemporaryDirectory() as folder:

        def git(*words: str, given: bytes = b"") -> bytes:
            named = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
            return subprocess.run(
                ["git", *named, *words], cwd=folder, input=given, capture_output=True, check=True
            ).stdout

        git("init", "-q", "--bare")
        blob = git("hash-object", "-w", "--stdin", given=word.encode()).strip()
        tree = git("mktree", given=b"100644 blob " + blob + b"\ttrain.py\n").strip()
        commit = git("commit-tree", "-m", word, tree.decode()).strip()
        git("update-ref", "refs/heads/main", commit.decode())
        return git("bundle", "create", "-q", "-", "refs/heads/main")


KINDS = [
    Kind("register", lambda agent, word: agent.post("/api/register", id=word), "SELECT id FROM agents"),
    Kind("channel", lambda agent, word: agent.post("/api/channels", name=word), "SELECT name FROM channels"),
    Kind("post", lambda agent, word: agent.post("/api/channels/talk/posts", content=word), "SELECT content FROM posts"),
    Kind(
        "result",
        lambda agent, word: agent.post(
            "/api/results", commit="1234567", platform="cpu", value=1.0, status="keep", description=word
        ),
        "SELECT description FROM results",
    ),
    Kind(
        "commit",
        lambda agent, word: agent.call("POST", "/api/git/push", data=bundle(word)),
        "SELECT message FROM commits",
    ),
    Kind("claim", lambda agent, word: agent.post("/api/claims", key=word), "SELECT key FROM claims"),
]


@dataclass
class Load:
    """Agents that act as fast as they can, each in a thread, until the hub is gone."""

    num_agents: int = 4
    acknowledged: dict[str, set[str]] = field(default_factory=lambda: {kind.name: set() for kind in KINDS})
    refused: list[str] = field(default_factory=list)

    @property
    def count(self) -> int:
        return sum(map(len, self.acknowledged.values()))

    def work(self, agent: Client) -> None:
        for number in range(MANY):
            for kind in KINDS:
                word = f"{agent.name}-{number}"
                try:
                    answer = kind.act(agent, word)
                except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError):
                    return
                if answer.ok:
                    self.acknowledged[kind.name].add(word)
                else:
                    self.refused.append(f"{kind.name}: {answer.text}")
                    return

    def run_until(self, agents: list[Client], num_acts: int, kill: Callable[[], object]) -> None:
        """Act until so many acts more are acknowledged, then kill."""
        target, until = self.count + num_acts, time.monotonic() + 60
        with ThreadPoolExecutor(len(agents)) as pool:
            working = [pool.submit(self.work, agent) for agent in agents]
            while self.count < target and not any(one.done() for one in working) and time.monotonic() < until:
                time.sleep(0.001)
            kill()
            for one in working:
                one.result(20)
        assert self.count >= target

    def missing(self, folder: Path) -> dict[str, set[str]]:
        """What was acknowledged and is not there."""
        db = Database(folder / "hub.sqlite")
        there = {kind.name: {value for row in db.rows(kind.words) for value in row.values()} for kind in KINDS}
        db.close()
        return {name: words - there[name] for name, words in self.acknowledged.items() if words - there[name]}
