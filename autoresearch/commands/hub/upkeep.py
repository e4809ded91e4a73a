"""hub backup, restore, gc, doctor: keep what agents have shared, also while the hub is served."""

import dataclasses
import os
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import Annotated

import typer

from autoresearch.commands import terminal
from autoresearch.commands.hub.agents import SHELL
from autoresearch.commands.hub.server import FOLDER, Data
from autoresearch.errors import AutoresearchError, HubError
from autoresearch.hub import backup as archive
from autoresearch.hub import doctor as examination
from autoresearch.hub import folder
from autoresearch.hub.store import agents, commits
from autoresearch.repo.bare import Bare

File = Annotated[Path, typer.Argument(metavar="FILE", help="The backup.")]


def backup(file: File, data: Data = FOLDER) -> None:
    """Write all of a hub into one file, and see that it can be restored."""
    with closing(folder.open_database(data)) as db:
        about = archive.write(db, repository(data), file, int(time.time()))
    print(f"{file}: {counted(about['counts'])}", flush=True)
    note(data, "backup", str(file), counted(about["counts"]))


def restore(file: File, data: Data) -> None:
    """Make a hub from a backup, in a folder that is not there yet."""
    about = archive.restore(file, data, programs())
    print(f"{data}: {counted(about['counts'])}, as of {about['created_at']}", flush=True)
    note(data, "restore", str(file), f"of {about['created_at']}")
    terminal.say("keys are valid as before; `hub rotate --admin` makes another for the administrator")


def gc(data: Data = FOLDER) -> None:
    """Pack the commits anew; what nothing leads to is dropped after two weeks."""
    bare = repository(data)
    with closing(folder.open_database(data)) as db:
        tips = commits.tips(db)
    before = size_mb(bare.root)
    bare.collect_garbage(tips)
    said = f"{before:.1f} MB of commits are {size_mb(bare.root):.1f} MB now"
    print(said, flush=True)
    note(data, "gc", str(data), said)


def doctor(
    data: Data = FOLDER,
    repair: Annotated[bool, typer.Option("--repair", help="Mend what can be mended without loss.")] = False,
    as_json: terminal.Json = False,
) -> None:
    """Look for what a hub that was cut off left half done; each line says what is wrong, or that it is mended."""
    found = examination.examine(data, repair, programs())
    if as_json:
        terminal.print_json([dataclasses.asdict(one) for one in found])
    else:
        for one in found:
            print(f"{'mended' if one.mended else 'MEND':<6}  {one.kind}: {one.what}")
        if not found:
            print("nothing is wrong")
    if mended := [one for one in found if one.mended]:
        note(data, "doctor", str(data), "; ".join(one.kind for one in mended))
    if not all(one.mended for one in found):
        raise AutoresearchError("something needs mending; see `hub doctor --repair`, or the lines above")


def programs() -> str:
    """Where git is looked for."""
    return os.environ.get("PATH", os.defpath)


def repository(data: Path) -> Bare:
    """The repository of a hub."""
    return Bare(data / folder.REPOSITORY, programs())


def note(data: Path, action: str, subject: str, detail: str) -> None:
    """Write a line of the audit log about what is done already; that it cannot be written undoes nothing."""
    try:
        with closing(folder.open_database(data)) as db, db.transaction():
            agents.note(db, SHELL, action, subject, int(time.time()), detail)
    except HubError as error:
        terminal.say(f"warning: the {action} is done, but the audit log does not say so: {error}")


def counted(counts: dict[str, int]) -> str:
    """Counts in words."""
    return ", ".join(f"{count} {noun}" for noun, count in counts.items())


def size_mb(root: Path) -> float:
    """Size of all files below a folder; what goes away meanwhile does not count."""
    size = 0
    for above, _, names in os.walk(root):
        for name in names:
            with suppress(FileNotFoundError):
                size += os.stat(os.path.join(above, name)).st_size
    return size / 1e6
