"""A repository with a fake trainer, for tests of the verbs: real git, real processes, no torch.

`fresh(folder)` is a repository before `setup`, `begun(folder)` a copy of one after it. `own=True` leaves out
autoresearch.toml and puts a fake prepare.py in place, so that the referee's path is taken.
"""

import atexit
import contextlib
import functools
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TRAIN = Path(__file__).with_name("fake_train.py")
PREPARE = Path(__file__).with_name("fake_prepare.py")
ARENA = """\
command = ["{python}", "train.py"]
frozen = ["rules.txt"]
timeout_s = 120
"""
IGNORED = "results/\nresults.tsv\nnotes.md\nnotes-archive.md\n__pycache__/\n"
KEPT = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR", "LANG", "OMP_NUM_THREADS") if name in os.environ}


class Night:
    """One checkout and what lies in it."""

    def __init__(self, root: Path, **variables: str):
        self.root = root
        self.env = {**KEPT, "PYTHONPATH": str(ROOT), "GIT_CONFIG_GLOBAL": os.devnull, **variables}

    def start(self, *args: str, **kwargs) -> subprocess.Popen:
        """Begin a verb."""
        command = [sys.executable, "-m", "autoresearch", *args]
        return subprocess.Popen(
            command, cwd=self.root, env=self.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **kwargs
        )

    def run(self, *args: str, code: int | None = 0) -> subprocess.CompletedProcess:
        """Run a verb to its end, and check its exit code unless that is None."""
        process = self.start(*args)
        out, err = process.communicate(timeout=300)
        assert code is None or process.returncode == code, f"{args} left with {process.returncode}\n{out}\n{err}"
        return subprocess.CompletedProcess(args, process.returncode, out, err)

    def refuse(self, *args: str, code: int = 1) -> str:
        """Run a verb that must be refused; returns what it says, which is never a traceback."""
        err = self.run(*args, code=code).stderr
        assert not err.startswith("Traceback")
        return err

    def attempt(self, what: str = "idea", *options: str, code: int = 0, **constants: object) -> str:
        """Edit constants and `try`; returns the report."""
        self.edit(**constants)
        return self.run("try", "-m", what, *options, code=code).stdout

    def python(self, script: str, *args: str) -> subprocess.CompletedProcess:
        """Run a Python text in the checkout."""
        command = [sys.executable, "-c", script, *args]
        return subprocess.run(command, cwd=self.root, env=self.env, capture_output=True, text=True, timeout=300)

    def git(self, *args: str) -> str:
        """Run git."""
        command = ["git", "-c", "user.name=person", "-c", "user.email=person@example.org", *args]
        done = subprocess.run(command, cwd=self.root, env=self.env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def edit(self, **constants: object) -> None:
        """Give constants of train.py other values."""
        path = self.root / "train.py"
        text = path.read_text()
        for name, value in constants.items():
            text, count = re.subn(rf"^{name} = .*$", f"{name} = {value!r}", text, flags=re.MULTILINE)
            assert count == 1, name
        path.write_text(text)

    def arena(self, text: str) -> None:
        """Commit other rules."""
        (self.root / "autoresearch.toml").write_text(text)
        self.git("commit", "-qam", "rules")

    def record(self, number: int, tag: str = "t1") -> dict:
        """The JSON of an attempt."""
        return json.loads((self.root / "results" / tag / f"{number:04d}.json").read_text())

    def records(self, tag: str = "t1") -> list[dict]:
        """All of them."""
        paths = sorted((self.root / "results" / tag).glob("[0-9]*.json"))
        return [json.loads(path.read_text()) for path in paths]

    def rows(self) -> list[dict[str, str]]:
        """results.tsv."""
        header, *lines = (self.root / "results.tsv").read_text().splitlines()
        return [dict(zip(header.split("\t"), line.split("\t"), strict=True)) for line in lines]

    def history(self, what: str, score: float, status: str, **fields: object) -> dict:
        """Add the record of a closed attempt without running anything."""
        last = self.records()[-1]
        champion = next(one for one in reversed(self.records()) if one["status"] in ("keep", "backtrack"))
        number = last["id"] + 1
        commit = self.git("commit-tree", "HEAD^{tree}", "-p", "HEAD", "-m", f"{what} {number}")
        run = {"commit": commit, "seed": number, "folder": f"results/t1/{number:04d}/1", "exit_code": 0, "score": score}
        record = {
            **{"tag": "t1", "id": number, "state": "closed", "commit": commit, "parent": champion["commit"]},
            **{"description": what, "regime": last["regime"], "code": f"{number:064d}", "status": status},
            **{"trials": [run], "verdict": self.verdict(score, status), "previous": self.digest(last["id"])},
            **{"started": "2026-01-01T00:00:00+00:00", "closed": "2026-01-01T00:05:00+00:00"},
            **fields,
        }
        (self.root / "results" / "t1" / f"{number:04d}.json").write_text(json.dumps(record))
        self.git("update-ref", f"refs/autoresearch/t1/{number:04d}", commit)
        return record

    @staticmethod
    def verdict(difference: float, decision: str) -> dict:
        """A verdict as the record stores it."""
        numbers = {"difference": difference, "sigma": 5e-4, "standard_error": 7e-4, "num_runs": 1}
        p_better = 0.999 if decision == "keep" else 0.001
        words = {"decision": decision, "rule": "noise", "why": "P(better)"}
        return {**numbers, **words, "num_champion_runs": 2, "p_better": p_better}

    def digest(self, number: int) -> str:
        """sha256 of a record."""
        return hashlib.sha256((self.root / "results" / "t1" / f"{number:04d}.json").read_bytes()).hexdigest()

    def refs(self, tag: str = "t1") -> dict[str, str]:
        """Last part of the references of a tag, with their commits."""
        form = "--format=%(refname:lstrip=3) %(objectname)"
        rows = self.git("for-each-ref", form, f"refs/autoresearch/{tag}").splitlines()
        return dict(row.split(" ") for row in rows)

    def tip(self, tag: str = "t1") -> str:
        """Commit of the branch."""
        return self.git("rev-parse", f"autoresearch/{tag}")

    def text(self, name: str) -> str:
        """A file of the checkout."""
        return (self.root / name).read_text()


def fresh(folder: Path, own: bool = False, **variables: str) -> Night:
    """A repository with one commit, before `setup`."""
    folder.mkdir(parents=True, exist_ok=True)
    night = Night(folder, **variables)
    files = {"train.py": TRAIN.read_text(), "rules.txt": "frozen\n", ".gitignore": IGNORED}
    files |= {"prepare.py": PREPARE.read_text()} if own else {"autoresearch.toml": ARENA}
    for name, text in files.items():
        (folder / name).write_text(text)
    night.git("init", "-q", "-b", "main", ".")
    night.git("add", "-A")
    night.git("commit", "-qm", "base")
    return night


@functools.cache
def _template(own: bool) -> Path:
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    fresh(folder / "night", own).run("setup", "t1")
    return folder / "night"


def begun(folder: Path, own: bool = False, **variables: str) -> Night:
    """A repository after `setup t1`."""
    shutil.copytree(_template(own), folder, dirs_exist_ok=True, symlinks=True)
    night = Night(folder, **variables)
    night.git("status")  # the copies have other times: let git look at them once
    return night


def until(is_true: Callable[[], object], timeout_s: float = 30.0) -> None:
    """Wait for something to become true."""
    end = time.monotonic() + timeout_s
    while not is_true():
        assert time.monotonic() < end, "it never became true"
        time.sleep(0.01)


def is_alive(pid: int) -> bool:
    """Whether a process runs and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def processes_with(mark: str) -> list[int]:
    """Live processes that carry the mark of a trial."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if f"={mark}\0".encode() in (path / "environ").read_bytes() and is_alive(int(path.name)):
                found.append(int(path.name))
    return found
