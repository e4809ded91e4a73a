"""The SQLite file: opening, transactions, rows."""

import re
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from autoresearch.errors import AutoresearchError, Damaged, HubError

SCHEMA_VERSION = 2
LATER = re.compile(r"^(?=-- Since version )", re.MULTILINE)
"""Where schema.sql goes on with what a database of the version before lacks."""
BUSY_MS = 10_000
NO_ROOM = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY)
ROOM_BYTES = 1 << 20
"""A disk with less room than this counts as full: to be opened, a database needs some for its log and its index."""


class Database:
    """One connection to the file; another process may hold another.

    Nothing else in this process may open the file: closing it would give up the locks of SQLite.
    """

    def __init__(self, path: Path, read_only: bool = False):
        """Open the file, and make its tables if it is new.

        Args:
            read_only: only read what is there, for a thread that is not the one of the hub.

        Raises:
            Damaged: it is no database, or one of a later version.
            HubError: 507, the disk is full or takes nothing; 503, another process has been writing for too long.
        """
        self.path = path
        name = f"{path.absolute().as_uri()}{'?mode=ro' if read_only else ''}"
        try:
            self.connection = sqlite3.connect(name, uri=True, isolation_level=None, check_same_thread=False)
            self.connection.row_factory = sqlite3.Row
            if not read_only:
                self._set_up()
        except sqlite3.DatabaseError as error:
            if read_only:  # for somebody far away, whom the path is no concern of
                raise
            raise _unopened(path, error) from error

    def _set_up(self) -> None:
        try:
            for setting in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", f"busy_timeout={BUSY_MS}"):
                self.connection.execute(f"PRAGMA {setting}")
            self._make_tables()
        except BaseException:
            self.close()
            raise

    def _make_tables(self) -> None:
        with self.transaction():
            version = self.value("PRAGMA user_version")
            if version > SCHEMA_VERSION:
                raise Damaged(f"{self.path} must have version {SCHEMA_VERSION} or older but has {version}; update")
            if version < SCHEMA_VERSION:
                parts = LATER.split(Path(__file__).with_name("schema.sql").read_text())
                for statement in "".join(parts[version:]).split(";\n"):
                    self.connection.execute(statement)
                self.connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")

    def close(self) -> None:
        """Close the file."""
        self.connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing of what the block writes; nobody else writes meanwhile. They do not nest.

        Raises:
            HubError: 507, the disk is full or takes nothing; 503, another process has been writing for too long.
        """
        try:
            self.connection.execute("BEGIN IMMEDIATE")
            yield
            self.connection.execute("COMMIT")
        except BaseException as error:
            if self.connection.in_transaction:  # SQLite may have rolled back by itself
                self.connection.execute("ROLLBACK")
            if isinstance(error, sqlite3.OperationalError) and (refused := _no_fault_of_ours(error)):
                raise refused from error
            raise

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Reads of the block all see one state."""
        self.connection.execute("BEGIN")
        try:
            yield
        finally:
            self.connection.execute("COMMIT")

    def run(self, sql: str, *values: Any) -> sqlite3.Cursor:
        """Execute one statement."""
        return self.connection.execute(sql, values)

    def rows(self, sql: str, *values: Any) -> list[dict[str, Any]]:
        """All rows of a query, by column name."""
        return [dict(row) for row in self.connection.execute(sql, values)]

    def row(self, sql: str, *values: Any) -> dict[str, Any] | None:
        """The first row of a query."""
        found = self.connection.execute(sql, values).fetchone()
        return dict(found) if found else None

    def value(self, sql: str, *values: Any) -> Any:
        """The first column of the first row; None where there is none."""
        found = self.connection.execute(sql, values).fetchone()
        return found[0] if found else None


def _unopened(path: Path, error: sqlite3.DatabaseError) -> AutoresearchError:
    """What to say when a file cannot be opened; only what lies in it makes it a damaged one."""
    if _kind(error) == sqlite3.SQLITE_BUSY:
        return HubError(503, f"another process writes to {path}; repeat this", retry_after_s=1)
    if _kind(error) not in (*NO_ROOM, sqlite3.SQLITE_CANTOPEN):
        return Damaged(f"{path} must be the database of a hub but: {error}; put a backup in its place")
    if shutil.disk_usage(path.parent).free < ROOM_BYTES:
        return HubError(507, f"{path} must have room beside it but the disk is full; make room there and repeat this")
    return HubError(507, f"{path} must be writable, with room beside it, but: {error}; see to its disk and its rights")


def _kind(error: sqlite3.DatabaseError) -> int:
    """The code of SQLite without its upper bits, which tell in which call it was."""
    return (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF


def _no_fault_of_ours(error: sqlite3.OperationalError) -> HubError | None:
    """What to answer when the machine, and not the statement, is why nothing could be written."""
    kind = _kind(error)
    if kind in NO_ROOM:
        return HubError(507, f"the hub cannot write ({error}); nothing was changed; make room on its disk")
    if kind == sqlite3.SQLITE_BUSY:
        return HubError(503, "another process writes to the hub; nothing was changed", retry_after_s=1)
    return None


def stamp(column: str) -> str:
    """SQL that writes seconds since 1970 as RFC 3339 UTC, whole seconds."""
    return f"strftime('%Y-%m-%dT%H:%M:%SZ', {column}, 'unixepoch')"
