"""hub backup, restore, gc, doctor: keep what agents have shared, also while the hub is served."""

import contextlib
import dataclasses
import os
import time
from pathlib import Path
from typing import Annotated

import typer

from autoresearch.commands import terminal
from autoresearch.commands.hub.agents import SHELL
from autoresearch.commands.hub.server import FOLDER, Data
from autoresearch.errors import AutoresearchError
from autoresearch.hub import backup as archive
from autoresearch.hub import doctor as examination
from autoresearch.hub import folder
from autoresearch.hub.store import Database, agents, commits
from autoresearch.repo.bare import Bare

File = Annotated[Path, typer.Argument(metavar="FILE", help="The backup.")]


def backup(file: File, data: Data = FOLDER) -> None:
    """Write all of a hub into one file, and see that it can be restored."""
    db = folder.open_database(data)
    about = archive.write(db, repository(data), file, int(time.time()))
    note(db, "backup", str(file), counted(about["counts"]))
    print(f"{file}: {counted(about['counts'])}")


def restore(file: File, data: Data) -> None:
    """Make a hub from a backup, in a folder that is not there yet."""
    about = archive.restore(file, data, programs())
    note(folder.open_database(data), "restore", str(file), f"of {about['created_at']}")
    print(f"{data}: {counted(about['counts'])}, as of {about['created_at']}")
    terminal.say("keys are valid as before; `hub rotate --admin` makes another for the administrator")


def gc(data: Data = FOLDER) -> None:
    """Pack the commits anew; what nothing leads to is dropped after two weeks."""
    db = folder.open_database(data)
    bare = repository(data)
    before = size_mb(bare.root)
    bare.collect_garbage(commits.tips(db))
    said = f"{before:.1f} MB of commits are {size_mb(bare.root):.1f} MB now"
    note(db, "gc", str(data), said)
    print(said)


def doctor(
    data: Data = FOLDER,
    repair: Annotated[bool, typer.Option("--repair", help="Mend what can be mended without loss.")] = False,
    as_json: terminal.Json = False,
) -> None:
    """Look for what a hub that was cut off left half done; each line says what is wrong, or that it is mended."""
    found = examination.examine(data, repair, programs())
    if mended := [one for one in found if one.mended]:
        note(folder.open_database(data), "doctor", str(data), "; ".join(one.kind for one in mended))
    if as_json:
        terminal.print_json([dataclasses.asdict(one) for one in found])
    else:
        for one in found:
            print(f"{'mended' if one.mended else 'MEND':<6}  {one.kind}: {one.what}")
        if not found:
            print("nothing is wrong")
    if not all(one.mended for one in found):
        raise AutoresearchError("something needs mending; see `hub doctor --repair`, or the lines above")


def programs() -> str:
    """Where git is looked for."""
    return os.environ.get("PATH", os.defpath)


def repository(data: Path) -> Bare:
    """The repository of a hub."""
    return Bare(data / folder.REPOSITORY, programs())


def note(db: Database, action: str, subject: str, detail: str) -> None:
    """Write a line of the audit log."""
    with db.transaction():
        agents.note(db, SHELL, action, subject, int(time.time()), detail)


def counted(counts: dict[str, int]) -> str:
    """Counts in words."""
    return ", ".join(f"{count} {noun}" for noun, count in counts.items())


def size_mb(root: Path) -> float:
    """Size of all files below a folder; what goes away meanwhile does not count."""
    size = 0
    for above, _, names in os.walk(root):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                size += os.stat(os.path.join(above, name)).st_size
    return size / 1e6
