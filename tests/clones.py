"""A checkout of one agent: real git, with nobody's configuration."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import requests
from hubs import Client

FILES = {"train.py": "DEPTH = 9\n", "prepare.py": "TIME_BUDGET = 300\n"}


@dataclass
class Clone:
    """A repository with a working tree."""

    root: Path

    def __post_init__(self) -> None:
        self.root.mkdir(parents=True, exist_ok=True)
        self.git("init", "--quiet", "--initial-branch=agenthub")

    def git(self, *words: str, stdin: bytes = b"") -> str:
        return self.raw(*words, stdin=stdin).decode().strip()

    def raw(self, *words: str, stdin: bytes = b"") -> bytes:
        people = {
            f"GIT_{who}_{what}": "me@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
        }
        own = {"PATH": os.environ["PATH"], "GIT_CONFIG_NOSYSTEM": "1", "HOME": str(self.root.parent), **people}
        done = subprocess.run(["git", *words], cwd=self.root, env=own, input=stdin, capture_output=True)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    def commit(self, text: str = "", message: str = "idea", **files: str) -> str:
        """Commit a train.py, or these files; returns the hash."""
        for name, content in ({"train.py": text} | files if text else files or FILES).items():
            (self.root / name).write_text(content)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--allow-empty-message", "--cleanup=verbatim", "-m", message)
        return self.git("rev-parse", "HEAD")

    def bundle(self, *revisions: str) -> bytes:
        """`git bundle create - HEAD`, or of what is asked for."""
        return self.raw("bundle", "create", "--quiet", "-", *(revisions or ("HEAD",)))

    def push(self, agent: Client, *revisions: str) -> list[str]:
        """Push to a hub that must take it; returns what it answers."""
        done = send(agent, self.bundle(*revisions))
        assert done.status_code == 201, done.text
        return done.json()["hashes"]


def send(agent: Client, data: bytes) -> requests.Response:
    """Push these bytes."""
    return agent.call("POST", "/api/git/push", data=data)
