"""notes.md: the agent's long-term memory; five headings, a size cap, an archive.

Only the Experiment Log is kept small: what an agent writes under the other headings is its own to shorten.
"""

import fcntl
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from autoresearch.errors import Damaged

HEADINGS = (
    "Best Known Config",
    "Dead Ends (do not revisit)",
    "What Works",
    "Ideas Queue (ranked by expected value)",
    "Experiment Log",
)
CAP_BYTES = 8 * 1024
EMPTY = "# Notes\n\n" + "".join(f"## {title}\n\n" for title in HEADINGS)


def sections(text: str) -> dict[str, str]:
    """The text under each of HEADINGS, in order; what stands under other headings of the second rank is left out.

    Raises:
        Damaged: a heading is missing; names it.
    """
    found: dict[str, str] = {}
    for title, lines in _chapters(text):
        if title in HEADINGS:
            found[title] = found.get(title, "") + "".join(lines[1:])
    missing = [f"'## {title}'" for title in HEADINGS if title not in found]
    if missing:
        raise Damaged(f"notes.md must have the headings of notes.md.template but lacks {', '.join(missing)}")
    return found


def _chapters(text: str) -> list[tuple[str, list[str]]]:
    """The text cut before every heading of the second rank: its title, its lines; the first has none."""
    chapters: list[tuple[str, list[str]]] = [("", [])]
    for line in text.splitlines(keepends=True):
        if line.startswith("## "):
            chapters.append((line[3:].strip(), []))
        chapters[-1][1].append(line)
    return chapters


def append_entry(folder: Path, title: str, body: str) -> int:
    """Add an entry to the Experiment Log, moving the oldest ones to notes-archive.md when the file outgrows its cap.

    An entry that is too large for the cap by itself goes to the archive, and its title stays.

    Returns:
        Bytes of notes.md, beyond the cap only where the other sections leave no room.

    Raises:
        Damaged: notes.md lacks a heading; nothing was changed.
    """
    return _edit_log(folder, lambda entries: entries.append(f"{_head(title)}{_plain(body)}\n\n"))


def add_analysis(folder: Path, title: str, block: dict[str, str]) -> int:
    """Write the lines of an ANALYSIS below the entry of that title, in place of an earlier one.

    An entry that is no longer in the log is begun anew. Returns and raises as `append_entry` does.
    """
    lines = "".join(f"{name}: {' '.join(text.split())}\n" for name, text in block.items())
    earlier = re.compile("".join(rf"^{re.escape(name)}: .*\n" for name in block), re.MULTILINE)

    def write(entries: list[str]) -> None:
        found = [index for index, entry in enumerate(entries) if entry.startswith(_head(title))]
        if not found:
            entries.append(_head(title))
        place = found[-1] if found else -1
        entries[place] = f"{earlier.sub('', entries[place]).rstrip()}\n{lines}\n"

    return _edit_log(folder, write)


def _edit_log(folder: Path, change: Callable[[list[str]], None]) -> int:
    """Let a function change the entries of the log, then keep the cap."""
    path = folder / "notes.md"
    with _locked(folder):
        text = path.read_bytes().decode(errors="surrogateescape") if path.exists() else EMPTY
        sections(text)
        chapters = _chapters(text)
        place = max(index for index, (name, _) in enumerate(chapters) if name == HEADINGS[-1])
        before = "".join(line for _, lines in chapters[:place] for line in lines)
        after = "".join(line for _, lines in chapters[place + 1 :] for line in lines)
        top, *entries = _split("".join(chapters[place][1]))
        change(entries)
        moved = _shorten(entries, CAP_BYTES - sum(len(_bytes(part)) for part in (before, top, after)))
        if moved:
            _archive(folder / "notes-archive.md", moved)
        text = before + top + "".join(entries) + after
        replace(path, text)
    return len(_bytes(text))


def _head(title: str) -> str:
    return f"### {' '.join(title.split())}\n"


def _shorten(entries: list[str], room_bytes: int) -> list[str]:
    """Take the oldest entries out until the rest has room; of the newest, at least the title stays."""
    moved: list[str] = []
    while len(entries) > 1 and len(_bytes("".join(entries))) > room_bytes:
        moved.append(entries.pop(0))
    if len(_bytes(entries[0])) > room_bytes:
        moved.append(entries[0])
        entries[0] = entries[0].split("\n", 1)[0] + "\nin notes-archive.md\n\n"
    return moved


def _split(log: str) -> list[str]:
    """What stands above all entries, heading included, then each entry with a blank line behind it."""
    first, *entries = re.split(r"^(?=### )", log, flags=re.MULTILINE)
    return [f"{first.rstrip()}\n\n", *(f"{entry.rstrip()}\n\n" for entry in entries)]


def _plain(body: str) -> str:
    """Text that opens no heading."""
    return re.sub(r"^#", r"\\#", body.strip(), flags=re.MULTILINE)


def _archive(path: Path, entries: list[str]) -> None:
    with open(path, "ab") as file:
        file.write(_bytes("".join(entries)))
        file.flush()
        os.fsync(file.fileno())


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogateescape")


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Wait for the folder, in which nothing is left behind by this."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def replace(path: Path, text: str) -> None:
    """Write aside, flush, put in place; a link stays a link.

    Raises:
        OSError: names the file; what it held is still there.
    """
    path = path.resolve()
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(aside, "wb") as file:
            file.write(_bytes(text))
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
    except BaseException as error:
        aside.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
