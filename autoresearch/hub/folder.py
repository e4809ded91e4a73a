"""What lies where in the folder of a hub, and who may open it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from autoresearch.errors import Busy, Refused
from autoresearch.hub.store import Database
from autoresearch.ledger import locked

DATABASE = "hub.sqlite"
REPOSITORY = "git"
INCOMING = "incoming"  # uploads and quarantines, while a push is under way
ADMIN_KEY = "admin.key"
LOCK = "serving"


def open_database(folder: Path) -> Database:
    """The database of a hub that is there, served or not.

    Raises:
        Refused: there is none.
        Damaged: what lies there is none of a hub.
    """
    if not (folder / DATABASE).is_file():
        raise Refused(f"{folder} must be the folder of a hub; name it with --data, or make one with `hub serve`")
    return Database(folder / DATABASE)


@contextmanager
def held(folder: Path, what: str) -> Iterator[None]:
    """Hold a hub alone while the block runs, as serving it does.

    Args:
        what: what the others are told that the holder does.

    Raises:
        Busy: another process holds it; says what it does.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with locked(folder / LOCK) as file:
        if file is None:
            holder = (folder / LOCK).read_text().strip() or "another process"
            raise Busy(f"{folder} must belong to one process but {holder}; end that one, or give another --data")
        file.truncate(0)
        file.write(what)
        file.flush()
        yield


def write_secret(path: Path, text: str) -> None:
    """Write a file that only its owner can read, at no instant anybody else."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    aside.unlink(missing_ok=True)
    with open(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(aside, path)
