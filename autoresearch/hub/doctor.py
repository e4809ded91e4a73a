"""What a hub that was cut off left over or half done: found, reported, and mended where that loses nothing."""

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from autoresearch.errors import Busy, GitFailed, Refused
from autoresearch.hub.folder import DATABASE, INCOMING, REPOSITORY
from autoresearch.hub.store import Database, commits
from autoresearch.repo.bare import Bare

WAIT_S = 60
YOUNG_S = 600  # a file that is younger may still be written by a git whose parent died
SHOWN = 5


@dataclass(frozen=True)
class Finding:
    """Something that is not as it must be."""

    kind: str
    """One word or two, the same for the same defect."""
    what: str
    """What was found, for people."""
    mended: bool
    """Whether it is as it must be again."""


def examine(folder: Path, repair: bool, path: str = os.defpath, wait_s: float = WAIT_S) -> list[Finding]:
    """Go through a hub; it may be serving meanwhile, but pushes wait.

    Args:
        repair: False only reports.
        path: where git is looked for.
        wait_s: how long pushes that are under way are waited for.

    Raises:
        Refused: there is no hub.
        Busy: pushes do not end.
        Damaged: the database cannot be opened.
    """
    for name in (DATABASE, REPOSITORY):
        if not (folder / name).exists():
            raise Refused(f"{folder} must be the folder of a hub but has no {name}; see --data")
    bare = Bare(folder / REPOSITORY, path)
    with ExitStack() as stack:
        db = Database(folder / DATABASE)
        stack.callback(db.close)
        _lock(stack, bare, wait_s)
        return [
            *_check_database(db),
            *_clear_leftovers(folder / INCOMING, repair),
            *_clear_halves(bare, repair),
            *_compare_commits(db, bare, repair),
            *_keep_tips(db, bare, repair),
            *_count_children(db, repair),
            *_check_objects(bare),
        ]


def clear_up(db: Database, bare: Bare, incoming: Path) -> list[Finding]:
    """The cheap part, for the start of a hub; what somebody else is at is left alone."""
    try:
        with bare.locked(fcntl.LOCK_EX | fcntl.LOCK_NB):
            return [
                *_clear_leftovers(incoming, True),
                *_clear_halves(bare, True),
                *_keep_tips(db, bare, True),
            ]
    except BlockingIOError:
        return []


def _lock(stack: ExitStack, bare: Bare, wait_s: float) -> None:
    until = time.monotonic() + wait_s
    while True:
        try:
            stack.enter_context(bare.locked(fcntl.LOCK_EX | fcntl.LOCK_NB))
            return
        except BlockingIOError as error:
            if time.monotonic() > until:
                raise Busy(f"pushes must end for a moment but went on for {wait_s:g} s; stop the hub") from error
            time.sleep(0.05)


def _check_database(db: Database) -> Iterator[Finding]:
    for row in db.rows("PRAGMA integrity_check"):
        if (words := row["integrity_check"]) != "ok":
            yield Finding("database", f"{words}; put a backup in its place", False)
    for row in db.rows("PRAGMA foreign_key_check"):
        what = f"row {row['rowid']} of {row['table']} names one of {row['parent']} that is not there"
        yield Finding("database", what, False)


def _clear_leftovers(incoming: Path, repair: bool) -> Iterator[Finding]:
    for left in sorted(incoming.iterdir()) if incoming.exists() else ():
        if repair and left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        elif repair:
            left.unlink(missing_ok=True)
        yield Finding("leftover", f"{left} is of a push that was cut off", not left.exists())


def _clear_halves(bare: Bare, repair: bool) -> Iterator[Finding]:
    """Packs without an index, which git does not read; files that were to become packs; locks that nobody holds."""
    with tempfile.TemporaryFile(dir=bare.root) as file:
        now = os.fstat(file.fileno()).st_mtime  # by the clock of the file system
    packs = {path.name: path for path in bare.packs.iterdir()}
    halves = [path for path in packs.values() if path.name.startswith(("tmp_", ".tmp-"))]
    for path in packs.values():
        if path.suffix in (".pack", ".idx") and not {f"{path.stem}.pack", f"{path.stem}.idx"} <= packs.keys():
            halves.append(path)
    locks = [*bare.root.glob("*.lock"), *(bare.root / "refs").rglob("*.lock")]
    for path in sorted({*halves, *locks}):
        if path.stat().st_mtime < now - YOUNG_S:
            if repair:
                path.unlink()
            yield Finding("half done", f"{path} is of something that was cut off", repair)


def _compare_commits(db: Database, bare: Bare, repair: bool) -> Iterator[Finding]:
    stored = bare.commits()
    recorded = {row["hash"] for row in db.rows("SELECT hash FROM commits")}
    if lost := recorded - stored:
        yield Finding("lost", f"{_some(lost)} recorded but not in the repository; put a backup in its place", False)
    if strays := stored - recorded:
        if repair:
            _drop_strays(bare, strays)
        what = f"{_some(strays)} in the repository but not recorded: their push was never answered"
        yield Finding("strays", what, repair and not bare.commits() - recorded)


def _drop_strays(bare: Bare, strays: set[str]) -> None:
    """Remove packs whose commits are all strays: no other pack rests on them. What is packed with others, stays."""
    for index in sorted(bare.packs.glob("*.idx")):
        found = {one.name for one in bare.infos(bare.contained(index)) if one and one.kind == "commit"}
        if found and found <= strays:
            index.unlink()
            for path in bare.packs.glob(f"{index.stem}.*"):
                path.unlink()


def _keep_tips(db: Database, bare: Bare, repair: bool) -> Iterator[Finding]:
    if missing := commits.tips(db) - bare.tips():
        if repair:
            with suppress(GitFailed):  # the start of a hub must not fail for it
                bare.keep(one.name for one in bare.infos(missing) if one)
        mended = repair and missing <= bare.tips()
        yield Finding("references", f"{_some(missing)} without a reference of their own", mended)


def _count_children(db: Database, repair: bool) -> Iterator[Finding]:
    wrong = db.rows(f"SELECT hash FROM commits WHERE num_children != {commits.NUM_CHILDREN}")
    if wrong:
        if repair:
            with db.transaction():
                db.run(f"UPDATE commits SET num_children = {commits.NUM_CHILDREN}")
        yield Finding("children", f"{_some({row['hash'] for row in wrong})} with a wrong number of children", repair)


def _check_objects(bare: Bare) -> Iterator[Finding]:
    try:
        bare.check()
    except GitFailed as error:
        yield Finding("objects", f"the repository is broken: {error}; put a backup in its place", False)


def _some(hashes: set[str]) -> str:
    shown = ", ".join(one[:12] for one in sorted(hashes)[:SHOWN])
    return f"{len(hashes)} commits ({shown}{', ...' if len(hashes) > SHOWN else ''})"
