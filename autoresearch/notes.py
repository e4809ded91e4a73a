"""notes.md: the agent's long-term memory; five headings, a size cap, an archive."""

import os
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


def sections(text: str) -> dict[str, str]:
    """The text under each of HEADINGS, in order.

    Raises:
        Damaged: a heading is missing; names it.
    """
    found: dict[str, str] = {}
    current = ""
    for line in text.splitlines(keepends=True):
        title = line[3:].strip() if line.startswith("## ") else ""
        if title in HEADINGS:
            current = title
            found[current] = ""
        elif current:
            found[current] += line
    missing = [f"'## {title}'" for title in HEADINGS if title not in found]
    if missing:
        raise Damaged(f"notes.md must have the headings of notes.md.template but lacks {', '.join(missing)}")
    return found


def append_entry(folder: Path, title: str, body: str) -> None:
    """Add an entry to the Experiment Log, moving the oldest ones to notes-archive.md when the file outgrows its cap."""
    path, archive = folder / "notes.md", folder / "notes-archive.md"
    text = path.read_text() if path.exists() else "# Notes\n\n" + "".join(f"## {title}\n\n" for title in HEADINGS)
    sections(text)
    head, marker, log = text.rpartition(f"## {HEADINGS[-1]}\n")
    entries = _split(log)
    entries.append(f"### {title}\n{body.strip()}\n\n")
    moved = []
    while len(entries) > 2 and len((head + marker + "".join(entries)).encode()) > CAP_BYTES:
        moved.append(entries.pop(1))  # the first piece is what stands above all entries
    if moved:
        with open(archive, "a") as file:
            file.write("".join(moved))
    replace(path, head + marker + "".join(entries))


def _split(log: str) -> list[str]:
    """What stands above all entries, then each entry with a blank line behind it."""
    first, *entries = f"\n{log.strip()}\n".split("\n### ")
    return [first.lstrip("\n") + "\n", *(f"### {entry.rstrip()}\n\n" for entry in entries)]


def replace(path: Path, text: str) -> None:
    """Write aside, flush, put in place."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    with open(aside, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(aside, path)
