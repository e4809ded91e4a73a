"""One SQLite file per campaign: trials, reports, state of the policy, events; what is committed survives any kill.

A process that is killed loses nothing; with the power goes what was not committed as durable in the last moments.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from autoresearch.errors import Damaged, Refused
from autoresearch.records import Record
from autoresearch.search.proposal import Proposal, Report, Result
from autoresearch.search.spans import Span

VERSION = 1
DIRTY = "-dirty"
BUSY_MS = 60_000  # a person's tool may hold the file for a while
SCHEMA = (
    "CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE trials (number INTEGER PRIMARY KEY, entry TEXT NOT NULL)",
    "CREATE TABLE reports (trial INTEGER NOT NULL, place INTEGER NOT NULL, report TEXT NOT NULL"
    ", PRIMARY KEY (trial, place)) WITHOUT ROWID",
    "CREATE TABLE events (id INTEGER PRIMARY KEY, at REAL NOT NULL, kind TEXT NOT NULL, body TEXT NOT NULL)",
    "CREATE TABLE spans (id INTEGER PRIMARY KEY, span TEXT NOT NULL)",
)


class Entry(Record):
    """A trial as it stands in the store."""

    number: int
    """From 1, in order of submission."""
    state: Literal["queued", "running", "over"] = "queued"
    proposal: Proposal
    handle: dict[str, Any] = Field(default_factory=dict)
    """By which its executor finds it while it runs."""
    losses: int = 0
    """How often what ran it was lost."""
    begun: float = 0.0
    """Seconds since 1970."""
    devices: list[str] = Field(default_factory=list)
    """GPUs that it may see."""
    base: str = ""
    """Commit that its diff is made against."""
    commit: str = ""
    """Hash of the code that runs, with `-dirty` where files differ from it; empty outside a repository."""
    result: Result | None = None
    """Once it is over; without its reports, which have a table."""
    place: int | None = None
    """Order in which trials ended, from 1."""
    version: int | None = None
    """Number of the kept version, from 1."""
    comparable: str = ""
    """Why its score does not compare with the others; empty where it does."""

    def short_commit(self, length: int) -> str:
        """The commit as tables show it."""
        return self.commit.removesuffix(DIRTY)[:length] + (DIRTY if self.commit.endswith(DIRTY) else "")


class Event(Record):
    """A line of events.jsonl."""

    id: int
    at: float
    """Seconds since 1970."""
    kind: str
    body: dict[str, Any]


class Store:
    """One connection, used by one thread."""

    def __init__(self, path: Path, *, readonly: bool = False):
        """Open the file, and make its tables if it is new.

        Raises:
            Damaged: it is no database, or one of a later version.
        """
        self.path = path
        target = f"{path.absolute().as_uri()}?mode={'ro' if readonly else 'rwc'}"
        try:
            self.connection = sqlite3.connect(target, uri=True, isolation_level=None)
            for setting in (f"busy_timeout={BUSY_MS}", *([] if readonly else ["journal_mode=WAL"])):
                self.connection.execute(f"PRAGMA {setting}")
            self._make_tables()
        except sqlite3.Error as error:
            raise Damaged(f"{path} must be the database of a campaign but: {error}; move it away") from error

    def _make_tables(self) -> None:
        version = self.connection.execute("PRAGMA user_version").fetchone()[0]
        if version > VERSION:
            raise Damaged(f"{self.path} must have version {VERSION} or older but has {version}; update")
        if version == 0:
            with self.transaction():
                for statement in SCHEMA:
                    self.connection.execute(statement)
                self.connection.execute(f"PRAGMA user_version={VERSION}")

    def close(self) -> None:
        """Close the file."""
        self.connection.close()

    @contextmanager
    def transaction(self, *, durable: bool = False) -> Iterator[None]:
        """All or nothing of what the block writes; they do not nest.

        Args:
            durable: whether it is on the disk before the block is left.

        Raises:
            Refused: the disk is full, or another holds the file for long.
        """
        try:
            self.connection.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
            self.connection.execute("BEGIN IMMEDIATE")
            yield
            self.connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise Refused(f"{self.path} must take what is measured but: {error}; make room, and repeat") from error
        finally:
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")

    def fact(self, name: str, default: Any = None) -> Any:
        """A single value."""
        row = self.connection.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return json.loads(row[0]) if row else default

    def set_fact(self, name: str, value: Any) -> None:
        """Replace a single value, any JSON."""
        self.connection.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, json.dumps(value)))

    def entries(self) -> list[Entry]:
        """All trials in order of submission, those that are over with their reports.

        Raises:
            Damaged: a row is not what was written.
        """
        reports: dict[int, list[Report]] = {}
        for trial, text in self.connection.execute("SELECT trial, report FROM reports ORDER BY trial, place"):
            reports.setdefault(trial, []).append(Report.model_validate_json(text))
        found = []
        for number, text in self.connection.execute("SELECT number, entry FROM trials ORDER BY number"):
            try:
                entry = Entry.model_validate_json(text)
            except ValueError as error:
                raise Damaged(f"trial {number} in {self.path} is not what was written: {error}") from error
            if entry.result:
                entry.result.reports = reports.get(number, [])
            found.append(entry)
        return found

    def put(self, entry: Entry) -> None:
        """Add a trial or replace it."""
        text = entry.model_dump_json(exclude={"result": {"reports"}}, exclude_defaults=True)
        self.connection.execute("INSERT OR REPLACE INTO trials VALUES (?, ?)", (entry.number, text))

    def put_reports(self, trial: int, reports: Sequence[Report]) -> None:
        """Replace the reports of a trial."""
        self.connection.execute("DELETE FROM reports WHERE trial = ?", (trial,))
        rows = [(trial, place, one.model_dump_json(exclude_defaults=True)) for place, one in enumerate(reports)]
        self.connection.executemany("INSERT INTO reports VALUES (?, ?, ?)", rows)

    def add_event(self, at: float, kind: str, body: Mapping[str, Any]) -> Event:
        """Add an event and return it with its number."""
        row = self.connection.execute(
            "INSERT INTO events (at, kind, body) VALUES (?, ?, ?)", (at, kind, json.dumps(body, default=str))
        )
        assert row.lastrowid
        return Event(id=row.lastrowid, at=at, kind=kind, body=dict(body))

    def events(self, after: int = 0) -> Iterator[Event]:
        """Events beyond a number, in order."""
        rows = self.connection.execute("SELECT id, at, kind, body FROM events WHERE id > ? ORDER BY id", (after,))
        for number, at, kind, body in rows:
            yield Event(id=number, at=at, kind=kind, body=json.loads(body))

    def add_spans(self, spans: Iterable[Span]) -> None:
        """Add bars of the timeline."""
        rows = [(one.model_dump_json(),) for one in spans]
        self.connection.executemany("INSERT INTO spans (span) VALUES (?)", rows)

    def spans(self) -> Iterator[Span]:
        """All bars in the order in which they ended."""
        for (text,) in self.connection.execute("SELECT span FROM spans ORDER BY id"):
            yield Span.model_validate_json(text)
