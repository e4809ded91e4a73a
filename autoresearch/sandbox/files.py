"""Reads and writes files where a trial may have put something else: a link, a pipe, a folder.

Nothing is reached through a link in the last place, and nothing waits. The folders above must be out of its reach.
"""

import os
import shutil
import stat
from io import FileIO
from pathlib import Path

SAFE = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def remove(path: Path) -> None:
    """Take away whatever is there, if anything."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def create(path: Path) -> FileIO:
    """Open a new file in the place of whatever is there, to write and read, without a buffer."""
    remove(path)
    return open(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | SAFE, 0o666), "w+b", buffering=0)


def write(path: Path, text: str) -> None:
    """Put a text in the place of whatever is there."""
    with create(path) as file:
        file.write(text.encode())


def replace(path: Path, text: str, is_durable: bool = False) -> None:
    """Put a text in the place of a file in one step; when durable, it is on the disk before."""
    aside = path.with_name(f".{path.name}")
    with create(aside) as file:
        file.write(text.encode())
        if is_durable:
            os.fsync(file.fileno())
    os.replace(aside, path)


def read(path: Path, most_bytes: int | None = None) -> bytes:
    """A plain file, or its last bytes; empty when it is none or missing."""
    try:
        with open(os.open(path, os.O_RDONLY | SAFE), "rb") as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                return b""
            if most_bytes is not None:
                file.seek(max(0, found.st_size - most_bytes))
            return file.read()
    except OSError:
        return b""


def read_text(path: Path) -> str:
    """The text of a plain file; empty when it is none or missing."""
    return read(path).decode(errors="replace")


def append(path: Path, text: str) -> None:
    """Add to a plain file; whatever else is there gives way to a new one."""
    if path.is_symlink() or not path.is_file():
        remove(path)
    with open(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | SAFE, 0o666), "ab") as file:
        file.write(text.encode())


def first_odd(folder: Path, trusted: Path) -> str:
    """What in a folder, other than in `trusted`, could lead a reader elsewhere or have it wait; empty if nothing could.

    A folder that cannot be listed counts: a path through it may still be followed. A socket, as libraries leave them
    behind, does not: to open it fails at once.
    """
    folders = [folder]
    while folders:
        place = folders.pop()
        try:
            with os.scandir(place) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        folders += [Path(entry.path)] if Path(entry.path) != trusted else []
                    elif entry.is_symlink():
                        return f"{Path(entry.path).relative_to(folder)} is a link"
                    elif stat.S_IFMT(entry.stat(follow_symlinks=False).st_mode) not in (stat.S_IFREG, stat.S_IFSOCK):
                        return f"{Path(entry.path).relative_to(folder)} is a pipe or a device"
        except OSError as error:
            return f"a folder cannot be listed: {error.strerror}, {place.relative_to(folder)}"
    return ""
