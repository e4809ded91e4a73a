"""Searches for tests: a folder with a target and a configuration, run as a real command or in this process."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from autoresearch.search import campaign, configfile
from autoresearch.search.campaign import Campaign, Clocks
from autoresearch.search.checks import Surroundings
from autoresearch.search.config import Config
from autoresearch.search.machine import Machine

ROOT = Path(__file__).resolve().parent.parent
PASSED_ON = ("PATH", "HOME", "LANG", "TMPDIR", "VIRTUAL_ENV")
VARIABLES = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
IDENTITY = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "commit.gpgsign=false"]
FIND_PARAMS = 'import json, os\nparams = json.loads(os.environ["AR_PARAMS_JSON"])\n'


@dataclass
class Target:
    """A folder that is searched."""

    folder: Path

    @property
    def file(self) -> Path:
        """The configuration."""
        return self.folder / "config.yaml"

    def write(self, script: str, **sections: Any) -> "Target":
        """Put train.py and a configuration there; sections are laid over a small one, key by key."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "train.py").write_text(script)
        return self.configure(**sections)

    def configure(self, **sections: Any) -> "Target":
        """Write the configuration alone."""
        found: dict[str, Any] = {
            "name": "test",
            "objective": {"metric": "loss", "direction": "min"},
            "target": {"train_cmd": [sys.executable, "-S", "train.py"]},
            "policy": {"type": "grid", "params": {"x": [1, 2, 3]}},
        }
        for name, section in sections.items():
            found[name] = {**found.get(name, {}), **section} if isinstance(section, dict) else section
        self.file.write_text(yaml.safe_dump(found, sort_keys=False))
        return self

    def start(self, *words: str | Path, verb: str = "run", **variables: str) -> subprocess.Popen[str]:
        """Begin a verb as a command of its own."""
        command = [sys.executable, "-m", "autoresearch", verb, str(self.file), *map(str, words)]
        env = VARIABLES | {"PYTHONPATH": str(ROOT)} | variables
        return subprocess.Popen(
            command, cwd=self.folder, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def run(self, *words: str | Path, verb: str = "run", **variables: str) -> "Ended":
        """Run a verb to its end."""
        process = self.start(*words, verb=verb, **variables)
        out, err = process.communicate(timeout=120)
        return Ended(process.returncode, out, err)

    def load(self) -> Config:
        """The configuration as read."""
        return configfile.load(self.file, self.folder, lambda text: None)

    @contextmanager
    def opened(self, devices: Sequence[str] = ()) -> Iterator[Campaign]:
        """The campaign, in this process."""
        around = Surroundings(Machine(tuple(devices), "0" * 12), VARIABLES)
        clocks = Clocks(time.time, time.time() - time.monotonic())
        with campaign.opened(self.load(), around, clocks, lambda text: None) as found:
            yield found

    def rows(self) -> list[dict[str, str]]:
        """Lines of results.tsv by column."""
        header, *lines = (self.folder / "artifacts" / "results.tsv").read_text().splitlines()
        return [dict(zip(header.split("\t"), line.split("\t"), strict=True)) for line in lines]

    def params(self) -> list[dict[str, Any]]:
        """Parameters of the trials that are over, in the order of their end."""
        return [json.loads(row["params"]) for row in self.rows()]

    def events(self, kind: str = "") -> list[dict[str, Any]]:
        """Lines of events.jsonl."""
        lines = (self.folder / "traces" / "events.jsonl").read_text().splitlines()
        return [event for line in lines if (event := json.loads(line)) and kind in ("", event["type"])]

    def trial(self, number: int) -> Path:
        """Folder of a trial."""
        return self.folder / "artifacts" / "runs" / f"run-{number:04d}"

    def git(self, *words: str) -> str:
        """Run git there."""
        done = subprocess.run(["git", *IDENTITY, *words], cwd=self.folder, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def commit(self) -> str:
        """Make it a repository whose first commit holds what is there; returns the commit."""
        self.git("init", "-q", "-b", "main")
        (self.folder / ".gitignore").write_text("artifacts/\ntraces/\n")
        self.git("add", "-A")
        self.git("commit", "-qm", "first")
        return self.git("rev-parse", "HEAD")


@dataclass(frozen=True)
class Ended:
    """A command that is over."""

    code: int
    out: str
    err: str

    def facts(self) -> dict[str, Any]:
        """The closing line."""
        found: dict[str, Any] = json.loads(self.out)
        return found


def wait_for(ready: Callable[[], Any], seconds: float = 30.0) -> Any:
    """What `ready` returns once that is true."""
    until = time.monotonic() + seconds
    while not (found := ready()):
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.005)
    return found


def running_in(folder: Path) -> list[int]:
    """Processes whose current folder is this one."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (place / "cwd").resolve(strict=True) == folder.resolve():
                found.append(int(place.name))
    return found
