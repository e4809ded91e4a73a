"""A backup of a hub: one tar file with a copy of the database and a bundle of all commits, which git alone can clone.

The database is copied first. Whatever it records is in the repository by then, for a push moves its objects there
before it is recorded, and nothing that is recorded is ever dropped: the two agree, whoever pushes or packs meanwhile.
The key of the administrator is not in it; its digest is, so that the key stays valid.
"""

import hashlib
import json
import os
import shutil
import sqlite3
import tarfile
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

from autoresearch.errors import Damaged, GitFailed, Refused
from autoresearch.hub.folder import DATABASE, INCOMING, REPOSITORY
from autoresearch.hub.store import Database, commits
from autoresearch.hub.store.database import stamp
from autoresearch.repo.bare import Bare
from autoresearch.repo.quarantine import flush

FORMAT = 1
ABOUT, BUNDLE = "backup.json", "commits.bundle"
COUNTED = ("agents", "commits", "posts", "results")


def write(db: Database, bare: Bare, path: Path, now: int) -> dict[str, Any]:
    """Write a backup of a hub, served or not, and restore it once to see that it can be.

    Returns:
        What it holds: the time, digests of the files, counts.

    Raises:
        Refused: the file is there already, or its disk has no room for a copy of the database.
        Damaged, GitFailed: the hub itself is broken; see `hub doctor`.
        OSError, HubError: the disk is full.
    """
    if path.exists():
        raise Refused(f"{path} must not be there yet; a backup replaces nothing")
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as name:
        folder = Path(name)
        about = _copy(db, bare, folder, now)
        aside = folder / path.name
        _pack(folder, aside)
        (folder / "trial").mkdir()
        _unpack(aside, folder / "trial", bare.env["PATH"])
        os.link(aside, path)  # fails where somebody else has put a file meanwhile
    flush(path.parent)
    return about


def restore(path: Path, folder: Path, programs: str = os.defpath) -> dict[str, Any]:
    """Make a hub from a backup, in a folder that is not there yet.

    Args:
        programs: where git is looked for.

    Returns:
        What the backup holds.

    Raises:
        Refused: the folder is there and not empty.
        Damaged: the file is no backup, or not what was written.
        OSError: the disk is full, or the file cannot be read.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Refused(f"{folder} must be empty or not there yet; a backup is restored over nothing")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as name:
        made = Path(name) / "hub"
        made.mkdir(mode=0o700)
        about = _unpack(path, made, programs)
        flush(made)
        os.replace(made, folder)
    flush(folder.parent)
    return about


def _copy(db: Database, bare: Bare, folder: Path, now: int) -> dict[str, Any]:
    """Put the parts of a backup into a folder."""
    try:
        with closing(sqlite3.connect(folder / DATABASE)) as target:
            db.connection.backup(target)
            target.execute("PRAGMA journal_mode=DELETE")  # one file, without a log beside it
    except sqlite3.OperationalError as error:
        raise Refused(
            f"{folder.parent} must take a backup but: {error}; make room, or name a FILE elsewhere"
        ) from error
    copy = Database(folder / DATABASE)
    tips = commits.tips(copy)
    counts = {noun: copy.value(f"SELECT count(*) FROM {noun}") for noun in COUNTED}
    created = copy.value(f"SELECT {stamp('?')}", now)
    copy.close()
    with open(folder / BUNDLE, "wb") as file:
        if tips:
            bare.export(tips, file)
    files = {name: _digest(folder / name) for name in (DATABASE, BUNDLE)}
    about = {"format": FORMAT, "created_at": created, "counts": counts, "sha256": files}
    (folder / ABOUT).write_text(json.dumps(about, indent=1) + "\n")
    return about


def _pack(folder: Path, path: Path) -> None:
    """Make one file of them, which only its owner reads."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        with tarfile.open(fileobj=file, mode="w") as tar:
            for name in (ABOUT, DATABASE, BUNDLE):
                tar.add(folder / name, name)
        file.flush()
        os.fsync(file.fileno())


def _unpack(path: Path, folder: Path, programs: str) -> dict[str, Any]:
    """Make a hub of a backup, in an empty folder, and check all of it."""
    try:
        with tarfile.open(path, "r:") as tar:
            for name in (ABOUT, DATABASE, BUNDLE):
                _take_out(tar, name, folder / name)
        about = json.loads((folder / ABOUT).read_text())
        if about["format"] != FORMAT:
            raise Damaged(f"{path} must be a backup of format {FORMAT} but is of {about['format']!r}; update")
        wrong = [name for name in (DATABASE, BUNDLE) if about["sha256"][name] != _digest(folder / name)]
    except (tarfile.TarError, ValueError, KeyError, TypeError) as error:
        raise Damaged(f"{path} must be a backup of a hub but: {error}; take another") from error
    if wrong:
        raise Damaged(f"{path} is not what was written: {wrong[0]} has changed; take another")
    try:
        _check(folder, programs)
    except (Damaged, GitFailed, sqlite3.DatabaseError) as error:
        raise Damaged(f"{path} must hold all of a hub but: {error}") from error
    for name in (ABOUT, BUNDLE):
        (folder / name).unlink()
    return about


def _check(folder: Path, programs: str) -> None:
    """Open the database, fill the repository, and see that they are whole and agree."""
    db, bare = Database(folder / DATABASE), Bare(folder / REPOSITORY, programs)
    try:
        said = db.value("PRAGMA integrity_check")
        if said != "ok" or db.row("PRAGMA foreign_key_check"):
            raise sqlite3.DatabaseError(f"the database is broken: {said}")
        tips = commits.tips(db)
        bare.create()
        (folder / INCOMING).mkdir(mode=0o700)
        if tips:
            bare.unbundle(folder / BUNDLE)
            bare.check()
        if missing := tips - bare.tips():
            raise GitFailed(f"{len(missing)} commits are recorded and not there, as {min(missing)}")
    finally:
        db.close()


def _take_out(tar: tarfile.TarFile, name: str, path: Path) -> None:
    source = tar.extractfile(name)
    if source is None:
        raise ValueError(f"{name} is no file")
    with source, open(path, "wb") as file:
        shutil.copyfileobj(source, file)
        file.flush()
        os.fsync(file.fileno())


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
