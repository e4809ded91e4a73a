"""results.tsv and results/<tag>/NNNN.json: append, read, champion.

The JSON records are the truth; results.tsv is the table that people and agents read. Rows without a record were made
by hand: they are shown, and never compared with measured ones.
"""

import fcntl
import hashlib
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from pydantic import ValidationError

from autoresearch.errors import Damaged, Refused
from autoresearch.notes import replace
from autoresearch.records import COLUMNS, Attempt, Pins, Status


@dataclass(frozen=True)
class Row:
    """One line of results.tsv."""

    line: int
    """From 1, the header."""
    values: dict[str, str]

    def number(self, column: str) -> float | None:
        """A finite number of a row that has a score; a crash has none, whatever its zeros say."""
        try:
            value = float(self.values.get(column, ""))
        except ValueError:
            return None
        return value if math.isfinite(value) and self.values.get("status") != Status.CRASH else None


class Ledger:
    """The records of one tag below a repository's root."""

    def __init__(self, root: Path, tag: str, columns: tuple[str, ...] = COLUMNS):
        self.root, self.tag, self.columns = root, tag, columns
        self.table = root / "results.tsv"
        self.folder = root / "results" / tag

    # --- records

    def path(self, number: int) -> Path:
        """Where a record lies."""
        return self.folder / f"{number:04d}.json"

    def numbers(self) -> list[int]:
        """Numbers of the records, rising."""
        return sorted(int(path.stem) for path in self.folder.glob("[0-9][0-9][0-9][0-9].json"))

    def read(self, number: int) -> Attempt:
        """One record.

        Raises:
            Refused: there is none of that number; names the known ones.
            Damaged: it is not what was written.
        """
        try:
            return Attempt.model_validate_json(self.path(number).read_bytes())
        except FileNotFoundError as error:
            known = self.numbers()
            span = f"{known[0]:04d}..{known[-1]:04d}" if known else "none"
            raise Refused(f"no attempt {number:04d} under {self.tag!r}; known: {span}") from error
        except (ValidationError, ValueError) as error:
            raise Damaged(f"{self.path(number)} is damaged: {first_line(error)}; restore it from a copy") from error

    def attempts(self) -> list[Attempt]:
        """All records, oldest first."""
        return [self.read(number) for number in self.numbers()]

    def write(self, attempt: Attempt) -> None:
        """Put a record in place of its earlier state, in one step."""
        self.folder.mkdir(parents=True, exist_ok=True)
        replace(self.path(attempt.id), attempt.model_dump_json(indent=1) + "\n")

    def digest(self, number: int) -> str:
        """sha256 of a record as it lies there; empty for number 0."""
        return hashlib.sha256(self.path(number).read_bytes()).hexdigest() if number else ""

    def check_chain(self, attempts: list[Attempt]) -> None:
        """Refuse records that were changed after the next one began.

        Raises:
            Damaged: names the record.
        """
        for before, attempt in pairwise(attempts):
            if attempt.previous != self.digest(before.id):
                raise Damaged(f"{self.path(before.id)} was changed after attempt {attempt.name} had begun; restore it")

    # --- pins

    def pins(self) -> Pins:
        """What `setup` fixed.

        Raises:
            Refused: there was no setup.
        """
        path = self.folder / "pins.json"
        try:
            return Pins.model_validate_json(path.read_bytes())
        except FileNotFoundError as error:
            raise Refused(f"no tag {self.tag!r} here; run `uv run -m autoresearch setup {self.tag}`") from error
        except (ValidationError, ValueError) as error:
            raise Damaged(f"{path} is damaged: {first_line(error)}; restore it from a copy") from error

    def write_pins(self, pins: Pins) -> None:
        """Fix them."""
        self.folder.mkdir(parents=True, exist_ok=True)
        replace(self.folder / "pins.json", pins.model_dump_json(indent=1) + "\n")

    # --- the table

    def rows(self) -> Iterator[Row]:
        """Rows of results.tsv by column name.

        Raises:
            Damaged: a header or a row that cannot be read; names the line.
        """
        yield from read_table(self.table)

    def start_table(self) -> None:
        """Write the header, unless there is one."""
        if not self.table.exists() or not self.table.read_text().strip():
            replace(self.table, "\t".join(self.columns) + "\n")

    def append_row(self, values: dict[str, str]) -> None:
        """Add a row, locked and flushed; a row that already is the last one is not added again."""
        self.start_table()
        columns = self.table.read_text().split("\n", 1)[0].split("\t")
        row = "\t".join(clean(values.get(column, "")) for column in columns) + "\n"
        with open(self.table, "r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            text = file.read()
            file.seek(0, os.SEEK_END)
            if text and not text.endswith(b"\n"):  # a row that was cut off stays visible, on a line of its own
                file.write(b"\n")
            file.write(row.encode())
            file.flush()
            os.fsync(file.fileno())

    def has_row(self, commit: str, status: str, description: str) -> bool:
        """Whether results.tsv already tells of this attempt: a crash of the tooling may lie between row and record."""
        wanted = {"commit": commit, "status": status, "description": clean(description)}
        return any(wanted.items() <= row.values.items() for row in self.rows())


def first_line(error: Exception) -> str:
    """The first line of a message."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def clean(text: str) -> str:
    """One line without tabs."""
    return " ".join(text.split())


def read_table(path: Path) -> Iterator[Row]:
    """Rows of any results.tsv by column name.

    Raises:
        Damaged: no header, or a row of another length; names the line.
    """
    if not path.exists():
        return
    lines = path.read_text(errors="replace").split("\n")
    header = lines[0].rstrip("\r").split("\t")
    if "commit" not in header or "status" not in header:
        raise Damaged(f"{path} line 1 must name the columns, commit and status among them, but is {lines[0]!r}")
    for number, line in enumerate(lines[1:], start=2):
        if not line.strip():
            continue
        cells = line.rstrip("\r").split("\t")
        if len(cells) != len(header):
            raise Damaged(f"{path} line {number} must have {len(header)} columns but has {len(cells)}: {line[:120]!r}")
        yield Row(number, dict(zip(header, cells, strict=True)))


@contextmanager
def locked(path: Path) -> Iterator[bool]:
    """Hold a lock file while the block runs; yields False at once when another process holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
