"""hub backup, restore, gc: keep what agents have shared, also while the hub is served."""

import time
from pathlib import Path
from typing import Annotated

import typer

from autoresearch.commands import terminal
from autoresearch.commands.hub.agents import SHELL
from autoresearch.commands.hub.server import FOLDER, Data
from autoresearch.hub import backup as archive
from autoresearch.hub import folder
from autoresearch.hub.store import Database, agents
from autoresearch.repo.bare import Bare

File = Annotated[Path, typer.Argument(metavar="FILE", help="The backup.")]


def backup(file: File, data: Data = FOLDER) -> None:
    """Write all of a hub into one file, and see that it can be restored."""
    db = folder.open_database(data)
    about = archive.write(db, Bare(data / folder.GIT), file, int(time.time()))
    note(db, "backup", str(file), counted(about["counts"]))
    print(f"{file}: {counted(about['counts'])}")


def restore(file: File, data: Data) -> None:
    """Make a hub from a backup, in a folder that is not there yet."""
    about = archive.restore(file, data)
    note(folder.open_database(data), "restore", str(file), f"of {about['created_at']}")
    print(f"{data}: {counted(about['counts'])}, as of {about['created_at']}")
    terminal.say("keys are valid as before; `hub rotate --admin` makes another for the administrator")


def gc(data: Data = FOLDER) -> None:
    """Pack the commits anew; what nothing leads to is dropped after two weeks."""
    db = folder.open_database(data)
    bare = Bare(data / folder.GIT)
    before = size_mb(bare.root)
    bare.collect_garbage()
    with db.transaction():
        db.run("INSERT INTO found (found) VALUES ('optimize')")
    said = f"{before:.1f} MB of commits are {size_mb(bare.root):.1f} MB now"
    note(db, "gc", str(data), said)
    print(said)


def note(db: Database, action: str, subject: str, detail: str) -> None:
    """Write a line of the audit log."""
    with db.transaction():
        agents.note(db, SHELL, action, subject, int(time.time()), detail)


def counted(counts: dict[str, int]) -> str:
    """Counts in words."""
    return ", ".join(f"{count} {noun}" for noun, count in counts.items())


def size_mb(root: Path) -> float:
    """Size of all files below a folder."""
    return sum(path.stat().st_size for path in root.rglob("*") if path.is_file()) / 1e6
