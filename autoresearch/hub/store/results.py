"""Results as they are stored: read by filters, by pages, and as what a leaderboard counts; `reports.py` writes them."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from autoresearch.errors import HubError
from autoresearch.hub.store import search
from autoresearch.hub.store.database import Database, stamp

RESULT = (
    'SELECT id, agent_id, commit_hash AS "commit", train_blob, platform, metric, value, status, vram_gb, seconds,'
    " steps, tokens_m, seed, description, regime, source, post_id, quarantine,"
    f" quarantine = '' AND NOT spare AS counted, {stamp('created')} AS created_at FROM results"
)
PAGE = 500


@dataclass(frozen=True)
class Filter:
    """Which results are meant; what is empty does not matter."""

    platform: str = ""
    agent: str = ""
    status: str = ""
    metric: str = ""
    since: int = 0
    """Only those with a higher number."""
    words: str = ""
    """Full text of the description."""

    def sql(self) -> tuple[str, list[Any]]:
        """The condition, and its values."""
        parts: list[tuple[str, Any]] = [("id > ?", self.since)]
        parts += [("platform = ?", self.platform)] if self.platform else []
        parts += [("agent_id = ?", self.agent)] if self.agent else []
        parts += [("status = ?", self.status)] if self.status else []
        parts += [("metric = ?", self.metric)] if self.metric else []
        if self.words:
            matching = "SELECT CAST(subject AS INTEGER) FROM found WHERE found MATCH ?"
            parts.append((f"id IN ({matching})", search.to_query(self.words, ("result",))))
        return " AND ".join(text for text, _ in parts), [value for _, value in parts]


def result(db: Database, number: int) -> dict[str, Any]:
    """One result.

    Raises:
        HubError: 404.
    """
    if found := db.row(f"{RESULT} WHERE id = ?", number):
        return wire(found)
    raise HubError(404, "result not found")


def results(db: Database, which: Filter, limit: int, offset: int) -> tuple[list[dict[str, Any]], int]:
    """Results, newest first, and how many there are in all."""
    where, values = which.sql()
    rows = db.rows(f"{RESULT} WHERE {where} ORDER BY id DESC LIMIT ? OFFSET ?", *values, limit, offset)
    return [wire(row) for row in rows], db.value(f"SELECT count(*) FROM results WHERE {where}", *values)


def pages(db: Database, which: Filter) -> Iterator[list[dict[str, Any]]]:
    """All results, oldest first, a few at a time: whoever exports lets others in between."""
    while True:
        where, values = which.sql()
        rows = db.rows(f"{RESULT} WHERE {where} ORDER BY id LIMIT ?", *values, PAGE)
        if not rows:
            return
        yield [wire(row) for row in rows]
        which = replace(which, since=rows[-1]["id"])


def scored(db: Database, metric: str) -> list[dict[str, Any]]:
    """What counts on a leaderboard, in the order of arrival."""
    return db.rows(
        'SELECT id, agent_id, commit_hash AS "commit", train_blob, platform, regime, value, description FROM results'
        " WHERE metric = ? AND value IS NOT NULL AND quarantine = '' AND NOT spare ORDER BY id",
        metric,
    )


def version(db: Database) -> str:
    """Changes with every change to any result."""
    return db.value("SELECT value FROM facts WHERE name = 'results_version'")


def wire(row: dict[str, Any]) -> dict[str, Any]:
    """A row of `RESULT` in the shape of the wire."""
    return {**row, "counted": bool(row["counted"])}
