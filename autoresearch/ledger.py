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
from typing import IO

from pydantic import ValidationError

from autoresearch.errors import Damaged, Refused
from autoresearch.notes import replace
from autoresearch.records import COLUMNS, Attempt, Pins, Status

SCORED = (Status.KEEP, Status.DISCARD)
REQUIRED = ("commit", "status")


@dataclass(frozen=True)
class Row:
    """One line of results.tsv."""

    line: int
    """From 1, the header."""
    values: dict[str, str]
    """Cells by column; of a damaged row what there is."""
    damage: str = ""
    """What is wrong with it, line and text included; empty for a whole row."""

    def number(self, column: str) -> float | None:
        """A finite number of a row that was scored; the others have none, whatever their zeros say."""
        try:
            value = float(self.values.get(column, ""))
        except ValueError:
            return None
        return value if math.isfinite(value) and self.values.get("status") in SCORED else None


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
        return sorted(int(path.stem) for path in self.folder.glob("[0-9][0-9][0-9][0-9]*.json") if path.stem.isdigit())

    def read(self, number: int) -> Attempt:
        """One record.

        Raises:
            Refused: there is none of that number; names the known ones.
            Damaged: it is not what was written.
        """
        path = self.path(number)
        try:
            attempt = Attempt.model_validate_json(path.read_bytes())
        except FileNotFoundError as error:
            known = self.numbers()
            span = f"{known[0]:04d}..{known[-1]:04d}" if known else "none"
            raise Refused(f"no attempt {number:04d} under {self.tag!r}; known: {span}") from error
        except ValidationError as error:
            raise Damaged(f"{path} is damaged: {first_problem(error)}; restore it from a copy") from error
        if (attempt.tag, attempt.id) != (self.tag, number):
            raise Damaged(
                f"{path} must tell of attempt {number:04d} of {self.tag!r} but tells of {attempt.name} of "
                f"{attempt.tag!r}; restore it from a copy"
            )
        return attempt

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
        """Refuse records that were changed or removed after the next one began.

        Raises:
            Damaged: names the record.
        """
        if attempts and attempts[0].previous:
            raise Damaged(f"{self.path(attempts[0].id)} has lost the record before it; restore that one from a copy")
        for before, attempt in pairwise(attempts):
            if attempt.previous != self.digest(before.id):
                raise Damaged(
                    f"{self.path(before.id)} was changed after attempt {attempt.name} had begun, or a record between "
                    "them was removed; restore it from a copy"
                )

    # --- pins

    @property
    def is_begun(self) -> bool:
        """Whether `setup` has fixed the pins."""
        return (self.folder / "pins.json").exists()

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
        except ValidationError as error:
            raise Damaged(f"{path} is damaged: {first_problem(error)}; restore it from a copy") from error

    def write_pins(self, pins: Pins) -> None:
        """Fix them."""
        self.folder.mkdir(parents=True, exist_ok=True)
        replace(self.folder / "pins.json", pins.model_dump_json(indent=1) + "\n")

    # --- the table

    def rows(self) -> list[Row]:
        """Rows of results.tsv by column name.

        Raises:
            Damaged: a header or rows that cannot be read; names the lines.
        """
        rows = read_table(self.table)
        if damage := [row.damage for row in rows if row.damage]:
            raise Damaged("; ".join([*damage[:5], f"{len(damage)} damaged rows in all; mend or remove them"]))
        return rows

    def start_table(self) -> None:
        """Write the header, unless there is one."""
        header = ("\t".join(self.columns) + "\n").encode()
        with self._table() as file:
            text = file.read()
            if header.startswith(text):  # there is nothing, or a header that was cut off
                self._extend(file, len(text), header[len(text) :])

    def append_row(self, values: dict[str, str], times: int = 1) -> None:
        """Add a row unless the table already has it so many times, locked and flushed.

        A row that was cut off while it was written is completed.

        Raises:
            Damaged: the header lacks a column that readers need.
            OSError: it could not be written; the table is as it was.
        """
        self.start_table()
        with self._table() as file:
            text = file.read()
            header = _cells(text.split(b"\n", 1)[0].decode("utf-8-sig", "replace"))
            if lacks := [name for name in values if name not in header and name != "reasoning"]:
                raise Damaged(
                    f"{self.table} line 1 must name the columns {', '.join(self.columns)} but lacks "
                    f"{', '.join(lacks)}; mend it"
                )
            line = "\t".join(clean(values.get(column, "")) for column in header).encode(errors="replace")
            *whole, last = text.split(b"\n")
            if sum(other.rstrip(b"\r") == line for other in whole) >= times:
                return
            if last and line.startswith(last):  # cut off by a kill or a full disk
                self._extend(file, len(text), line[len(last) :] + b"\n")
            else:  # what somebody else left unfinished stays visible, on a line of its own
                self._extend(file, len(text), (b"\n" if last else b"") + line + b"\n")

    @contextmanager
    def _table(self) -> Iterator[IO[bytes]]:
        """The open table, made if there is none, held alone while the block runs."""
        with open(os.open(self.table, os.O_RDWR | os.O_CREAT, 0o666), "r+b", buffering=0) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file

    def _extend(self, file: IO[bytes], num_bytes: int, data: bytes) -> None:
        """Write to the end of an open file of so many bytes, or leave it as it was."""
        try:
            file.seek(num_bytes)
            while data:
                data = data[file.write(data) :]
            os.fsync(file.fileno())
        except OSError as error:
            file.truncate(num_bytes)
            raise OSError(error.errno, error.strerror, str(self.table)) from error


def first_problem(error: ValidationError) -> str:
    """Where a record is wrong, and how."""
    problem = error.errors()[0]
    place = ".".join(map(str, problem["loc"]))
    return f"{place}: {problem['msg']}" if place else problem["msg"]


def clean(text: str) -> str:
    """One line without tabs."""
    return " ".join(text.split())


def read_table(path: Path) -> list[Row]:
    """Rows of any results.tsv by column name, the damaged ones marked; none where there is no file.

    Raises:
        Damaged: line 1 names no columns.
    """
    text = path.read_bytes().decode("utf-8-sig", "replace") if path.exists() else ""
    if not text.strip():
        return []
    first, *lines = text.split("\n")
    header = _cells(first)
    if lacks := [name for name in REQUIRED if name not in header]:
        raise Damaged(
            f"{path} line 1 must name the columns {', '.join(REQUIRED)} but lacks {', '.join(lacks)}: {first!r}"
        )
    return [_row(path, number, header, line) for number, line in enumerate(lines, start=2) if line.strip()]


def _row(path: Path, number: int, header: list[str], line: str) -> Row:
    cells = _cells(line)
    damage = ""
    if len(cells) != len(header):
        damage = f"{path} line {number} must have {len(header)} columns but has {len(cells)}: {line[:120]!r}"
    return Row(number, dict(zip(header, cells, strict=False)), damage)


def _cells(line: str) -> list[str]:
    return line.rstrip("\r").split("\t")


@contextmanager
def locked(path: Path) -> Iterator[IO[str] | None]:
    """Hold a lock file while the block runs; yields None at once when another process holds it.

    A child that inherits the open file goes on holding it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
            return
        yield file
