"""The shell blocks of the playbooks and a desk to walk them at: a checkout in which somebody has work in progress."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from autoresearch.records import COLUMNS

ROOT = Path(__file__).resolve().parent.parent
HUB_FILES = ("train.py", "prepare.py", "pyproject.toml", "uv.lock")
PEOPLES_FILES = ("README.md", "program.md", "notes.md.template", ".gitignore")
TRAINER = """import os
BPB = 1.5
print(f"---\\nval_bpb: {BPB + int(os.environ.get('AUTORESEARCH_SEED') or 42) % 100 / 1e6}\\npeak_vram_mb: 2048.0")
"""
ARENA = """command = ["{python}", "train.py"]
frozen = ["prepare.py", "autoresearch.toml"]
timeout_s = 60
"""
# Each block of the page by a piece that only it has.
VERB_MARKS = {
    "check": "autoresearch doctor",
    "begin": "autoresearch setup",
    "wait": "autoresearch wait",
    "review": "autoresearch status",
    "suggest": "autoresearch suggest",
    "try": "autoresearch try",
    "analyze": "autoresearch analyze",
    "mend": "git restore",
    "backtrack": "autoresearch backtrack",
    "confirm": "autoresearch confirm",
    "ablate": "autoresearch ablate",
    "report": "autoresearch report",
}
HAND_MARKS = {
    "branch": "git switch -c",
    "records": "cp notes.md.template notes.md",
    "commit": "git commit",
    "run": 'timeout -k 10 "$0" uv run train.py',
    "wait by hand": 'grep "^exit_code:"',
    "log": "SCORES=",
    "discard": "git reset --keep HEAD~1",
    "backtrack by hand": "BEST=",
}
MARKS = VERB_MARKS | HAND_MARKS


@dataclass(frozen=True)
class Page:
    """A playbook, and by which piece each of its blocks is known."""

    name: str
    marks: dict[str, str]

    @property
    def blocks(self) -> list[str]:
        return re.findall(r"^```bash\n(.*?)^```", (ROOT / self.name).read_text(), flags=re.MULTILINE | re.DOTALL)

    def block(self, name: str) -> str:
        found = {text for text in self.blocks if self.marks[name] in text}
        assert len(found) == 1, f"{len(found)} blocks of {self.name} have {self.marks[name]!r}"
        return found.pop()


PROGRAM = Page("program.md", MARKS)
BLOCKS = PROGRAM.blocks
block = PROGRAM.block


def fill(script: str, name: str, text: str) -> str:
    """Put a text of the agent's own where the page has a sample: NAME="…", --name '…', -m '…' or a verb's argument."""
    for pattern in (
        rf"^({name}=)(?:'[^']*'|\"[^\"]*\")$",
        rf"(--?{name} )'[^']*'",
        rf"(--{name} )\w+",
        rf"(autoresearch {name} )\w+",
    ):
        script, count = re.subn(pattern, lambda found: f"{found[1]}'{text}'", script, flags=re.MULTILINE)
        if count:
            assert count == 1
            return script
    raise AssertionError(f"{name} has no place in {script}")


@dataclass
class Desk:
    """One checkout and the shell of the agent that works in it."""

    root: Path
    environment: dict[str, str]
    page: Page = PROGRAM

    def sh(self, script: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-c", script],
            check=False,
            cwd=self.root,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=240,
        )

    def walk(self, name: str, expect: int = 0, **texts: str) -> str:
        """Run one block as it stands, with the quoted texts that are the agent's to fill in; returns what it says."""
        script = self.page.block(name)
        for key, text in texts.items():
            script = fill(script, key, text)
        done = self.sh(script)
        assert done.returncode == expect, f"{name}: {done.stdout}{done.stderr}"
        return done.stdout if expect == 0 else done.stdout + done.stderr

    def git(self, *words: str) -> str:
        return subprocess.run(
            ["git", *words], cwd=self.root, env=self.environment, check=True, capture_output=True, text=True
        ).stdout.strip()

    def train(self) -> str:
        return (self.root / "train.py").read_text()

    def rows(self) -> list[dict[str, str]]:
        header, *lines = (self.root / "results.tsv").read_text().splitlines()
        assert tuple(header.split("\t")) == COLUMNS
        assert all(line.count("\t") == len(COLUMNS) - 1 for line in lines)
        return [dict(zip(COLUMNS, line.split("\t"), strict=True)) for line in lines]

    def attempts(self) -> dict[str, str]:
        """Commit of each attempt by its number."""
        lines = self.git("for-each-ref", "--format=%(refname:lstrip=3) %(objectname)", "refs/autoresearch")
        return {name: commit for name, commit in map(str.split, lines.splitlines()) if name.isdigit()}

    def edit(self, change: Callable[[str], str]) -> None:
        before = self.train()
        after = change(before)
        assert before != after
        (self.root / "train.py").write_text(after)


def open_desk(root: Path, environment: dict[str, str], files: tuple[str, ...] = HUB_FILES + PEOPLES_FILES) -> Desk:
    """A repository of this project's files with one commit, in which somebody else has an untracked draft."""
    root.mkdir()
    for name in files:
        (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, root / name)
    names = {f"GIT_{who}_{what}": "a@b.example" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    variables = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull, **names, **environment}
    desk = Desk(root, variables)
    desk.git("init", "--quiet", "--initial-branch=main")
    desk.git("add", "--all")
    desk.git("commit", "--quiet", "-m", "start")
    (root / "draft.txt").write_text("an untracked draft")
    return desk


def work_in_progress(desk: Desk) -> Desk:
    """More of somebody else's work: an edited file and a staged one."""
    (desk.root / "README.md").write_text("half a sentence of somebody else")
    (desk.root / "staged.txt").write_text("staged, not committed")
    desk.git("add", "staged.txt")
    return desk


def stand_ins(desk: Desk, tools: Path, **files: str) -> Desk:
    """Commit small files in place of the real ones, and put a `uv run` and a `timeout` of few lines on the path."""
    tools.mkdir()
    (tools / "uv").write_text(f'#!/bin/sh\nshift; exec {sys.executable} "$@"\n')
    (tools / "timeout").write_text('#!/bin/sh\necho "$3" > ../limit\nshift 3; exec "$@"\n')
    for tool in tools.iterdir():
        tool.chmod(0o755)
    desk.environment["PATH"] = f"{tools}:{desk.environment['PATH']}"
    for name, text in {"train.py": TRAINER, "prepare.py": "print('ready')\n", **files}.items():
        (desk.root / name).write_text(text)
        desk.git("add", name)
        desk.git("commit", "--quiet", "-m", name, "--", name)
    return desk


def assert_others_work_is_untouched(desk: Desk) -> None:
    assert (desk.root / "draft.txt").read_text() == "an untracked draft"
    if (desk.root / "staged.txt").exists():
        assert (desk.root / "README.md").read_text() == "half a sentence of somebody else"
        assert (desk.root / "staged.txt").read_text() == "staged, not committed"
    changed = desk.git("log", "--all", "--format=", "--name-only", "main..", "--glob=refs/autoresearch/*", "^main")
    assert set(changed.split()) <= {"train.py"}
