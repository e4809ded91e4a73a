"""The shell blocks of program.md and a desk to walk them at: a checkout in which somebody else has work in progress."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TRACKED = ["train.py", "prepare.py", "pyproject.toml", "uv.lock"]
TRACKED += ["README.md", "program.md", "notes.md.template", ".gitignore"]
COLUMNS = ["commit", "val_bpb", "memory_gb", "status", "description", "reasoning"]
BLOCKS = re.findall(r"^```bash\n(.*?)^```", (ROOT / "program.md").read_text(), flags=re.MULTILINE | re.DOTALL)

# Each block of the page by a line that only it has.
MARKS = {
    "branch": "git switch -c",
    "data": "uv run prepare.py",
    "records": "cp notes.md.template notes.md",
    "run": '\ntimeout -k 10 "$LIMIT_S" uv run train.py',
    "start": "nohup",
    "wait": "seq 100",
    "read": 'grep "^val_bpb:',
    "tail": "tail -n 50 run.log",
    "log": "SCORES=",
    "second baseline": "AUTORESEARCH_SEED=43",
    "review": "git log --oneline",
    "commit": "git commit",
    "discard": "git reset --keep HEAD~1",
    "mend": "git restore",
    "backtrack": "BEST=",
    "notes size": "wc -c < notes.md",
}


def block(name: str) -> str:
    found = [text for text in BLOCKS if MARKS[name] in "\n" + text]
    assert len(found) == 1, f"{len(found)} blocks of program.md have {MARKS[name]!r}"
    return found[0]


def promised_keys() -> list[str]:
    """Summary keys that the page shows, in order; `schedule_*` stands for several."""
    sample = re.search(r"^---\n(.*?)^```", (ROOT / "program.md").read_text(), flags=re.MULTILINE | re.DOTALL)
    assert sample
    return [line.split(":")[0] for line in sample[1].splitlines()]


def printed_keys(log: str) -> list[str]:
    """Summary keys of a run.log in order, those under `schedule_` as one."""
    lines = log[log.index("\n---\n") + 5 :].splitlines()
    keys = [line.split(":")[0] for line in lines if re.match(r"\w+:", line)]
    named = ["schedule_*" if key.startswith("schedule_") else key for key in keys if key != "exit_code"]
    return list(dict.fromkeys(named))


@dataclass
class Desk:
    """One checkout and the shell of the agent that works in it."""

    root: Path
    environment: dict[str, str]

    def sh(self, script: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-c", script],
            check=False,
            cwd=self.root,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
        )

    def walk(self, name: str, expect: int = 0, **texts: str) -> str:
        """Run one block as it stands, with the quoted texts that are the agent's to fill in."""
        script = block(name)
        for variable, text in texts.items():
            script, count = re.subn(rf'^{variable}="[^"]*"$', f'{variable}="{text}"', script, flags=re.MULTILINE)
            assert count == 1
        done = self.sh(script)
        assert done.returncode == expect, f"{name}: {done.stdout}{done.stderr}"
        return done.stdout

    def git(self, *words: str) -> str:
        return subprocess.run(
            ["git", *words], cwd=self.root, env=self.environment, check=True, capture_output=True, text=True
        ).stdout.strip()

    def rows(self) -> list[dict[str, str]]:
        header, *lines = (self.root / "results.tsv").read_text().splitlines()
        assert header.split("\t") == COLUMNS
        assert all(line.count("\t") == len(COLUMNS) - 1 for line in lines)
        return [dict(zip(COLUMNS, line.split("\t"), strict=True)) for line in lines]

    def attempts(self) -> dict[str, str]:
        """Commit of each attempt by its number."""
        lines = self.git("for-each-ref", "--format=%(refname:lstrip=3) %(objectname)", "refs/autoresearch")
        return dict(line.split() for line in lines.splitlines())

    def edit(self, change: Callable[[str], str]) -> None:
        path = self.root / "train.py"
        before = path.read_text()
        after = change(before)
        assert before != after
        path.write_text(after)


def open_desk(root: Path, environment: dict[str, str]) -> Desk:
    """A repository of this project's files with one commit, in which somebody else has work in progress."""
    root.mkdir()
    for name in TRACKED:
        shutil.copy(ROOT / name, root / name)
    names = {f"GIT_{who}_{what}": "a@b.example" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    variables = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull, **names, **environment}
    desk = Desk(root, variables)
    desk.git("init", "--quiet", "--initial-branch=main")
    desk.git("add", "--all")
    desk.git("commit", "--quiet", "-m", "start")
    (root / "README.md").write_text("half a sentence of somebody else")
    (root / "draft.txt").write_text("an untracked draft")
    (root / "staged.txt").write_text("staged, not committed")
    desk.git("add", "staged.txt")
    return desk


def assert_others_work_is_untouched(desk: Desk) -> None:
    assert (desk.root / "README.md").read_text() == "half a sentence of somebody else"
    assert (desk.root / "draft.txt").read_text() == "an untracked draft"
    assert (desk.root / "staged.txt").read_text() == "staged, not committed"
    changed = desk.git("log", "--all", "--format=", "--name-only", "main..", "--glob=refs/autoresearch/*", "^main")
    assert set(changed.split()) <= {"train.py"}
