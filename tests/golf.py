"""What the tests of examples/parameter_golf share: its modules, its data, its files with other constants."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import playbook
from playbook import ROOT, Desk, Page

GOLF = ROOT / "examples" / "parameter_golf"
sys.path[:0] = [str(GOLF), str(ROOT)]

import artifact  # noqa: E402
import make_data  # noqa: E402
import score  # noqa: E402
import shards  # noqa: E402

__all__ = [
    "GOLF",
    "PAGE",
    "Course",
    "artifact",
    "changed",
    "course",
    "make_data",
    "saved",
    "score",
    "shards",
    "with_data",
]

COLUMNS = ("commit", "val_bpb", "artifact_mb", "status", "reasoning", "description")
MARKS = {
    "check": "make_data.py",
    "begin": "autoresearch setup",
    "wait": "autoresearch wait",
    "review": "autoresearch status",
    "try": "autoresearch try",
    "read": "final_int8_zlib_roundtrip",
    "analyze": "autoresearch analyze",
    "mend": "git restore",
    "backtrack": "autoresearch backtrack",
    "report": "autoresearch report",
}
PAGE = Page("examples/parameter_golf/program.md", MARKS)


def with_data(folder: Path) -> Path:
    """Fill a folder with small data, as the example makes them."""
    done = subprocess.run(
        [sys.executable, GOLF / "make_data.py", "--chars", "400000"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return folder


def saved(folder: Path, **arrays: object) -> Path:
    """Weights as training leaves them."""
    path = folder / "weights.npz"
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return path


def changed(text: str, changes: dict[str, str]) -> str:
    """A file in which lines begin in another way."""
    for old, new in changes.items():
        assert text.count(f"\n{old}") == 1, old
        text = text.replace(f"\n{old}", f"\n{new}")
    return text


class Course(Desk):
    """A desk at which the arena is parameter golf."""

    def train(self) -> str:
        return (self.root / "train_gpt.py").read_text()

    def edit(self, change: Callable[[str], str]) -> None:
        before = self.train()
        (self.root / "train_gpt.py").write_text(change(before))
        assert before != self.train()

    def rows(self) -> list[dict[str, str]]:
        header, *lines = (self.root / "results.tsv").read_text().splitlines()
        assert tuple(header.split("\t")) == COLUMNS
        return [dict(zip(COLUMNS, line.split("\t"), strict=True)) for line in lines]


def course(tmp_path: Path, data: Path, variables: dict[str, str], **files: str) -> Course:
    """A clone whose top has the files of the example, with data beside them."""
    names = (*playbook.HUB_FILES, "notes.md.template", ".gitignore", "autoresearch")
    desk = playbook.open_desk(tmp_path / "work", variables, names)
    playbook.stand_ins(desk, tmp_path / "tools", **files)
    for path in GOLF.iterdir():
        if path.is_file() and path.name not in files:
            shutil.copy(path, desk.root)
    desk.git("rm", "--quiet", "--cached", "train.py", "prepare.py")
    desk.git("add", *(path.name for path in GOLF.iterdir() if path.is_file()))
    desk.git("commit", "--quiet", "-m", "parameter golf")
    shutil.copytree(data / "data", desk.root / "data")
    return Course(desk.root, desk.environment, PAGE)
