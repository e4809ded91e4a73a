"""Results as they are stored: read by filters, by pages, and as what a leaderboard counts; `reports.py` writes them."""

import json
from collections.abc import Iterable, Iterator
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
Where = tuple[str, str, str]
"""A board: platform, regime and metric."""
ON_BOARD = "platform = ? AND regime = ? AND metric = ? AND quarantine = '' AND NOT spare"


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


def of_commits(db: Database, commits: Iterable[str]) -> dict[str, list[dict[str, Any]]]:
    """Results of some commits by hash, oldest first; a result may name fewer digits of a commit, or more."""
    found: dict[str, list[dict[str, Any]]] = {}
    rows = db.rows(
        f"{RESULT.replace('SELECT', 'SELECT named.hash,', 1)} JOIN (SELECT value AS hash FROM json_each(?)) AS named"
        " ON commit_hash >= substr(hash, 1, 7) AND commit_hash < substr(hash, 1, 7) || 'g'"
        " AND substr(commit_hash, 1, length(hash)) = substr(hash, 1, length(commit_hash)) ORDER BY id",
        json.dumps([*dict.fromkeys(commits)]),
    )
    for row in rows:
        found.setdefault(row.pop("hash"), []).append(wire(row))
    return found


def series(db: Database, where: Where) -> list[tuple[int, int, float | None]]:
    """Number, time and value of what counts on a board and of runs without a score, in the order of arrival."""
    cursor = db.run(f"SELECT id, created, value FROM results WHERE {ON_BOARD} ORDER BY id", *where)
    cursor.row_factory = None  # there are many, and as tuples they take half the time
    return cursor.fetchall()


def numbered(db: Database, numbers: Iterable[int]) -> list[dict[str, Any]]:
    """Some results, in the order of arrival."""
    named = "id IN (SELECT value FROM json_each(?))"
    return [wire(row) for row in db.rows(f"{RESULT} WHERE {named} ORDER BY id", json.dumps([*numbers]))]


def runs(db: Database, where: Where, blob: str | None, commit: str, limit: int) -> list[dict[str, Any]]:
    """What counts of one train.py on a board, in the order of arrival.

    Args:
        blob: of the train.py; None where no commit of it was pushed.
    """
    of_code, code = ("train_blob = ?", blob) if blob else ("substr(commit_hash, 1, 7) = ?", commit[:7])
    apart = ON_BOARD.replace("platform", "+platform", 1)  # + so that the index of the code is taken
    rows = db.rows(
        f"{RESULT} WHERE {apart} AND {of_code} AND value IS NOT NULL ORDER BY id LIMIT ?", *where, code, limit
    )
    return [wire(row) for row in rows]


def platforms(db: Database) -> list[str]:
    """Names of platforms on which a result was reported."""
    return [row["platform"] for row in db.rows("SELECT DISTINCT platform FROM results ORDER BY platform")]


def doubted(db: Database, platform: str, limit: int) -> list[dict[str, Any]]:
    """Results of a platform that are not believed, newest first."""
    where = "platform = ? AND quarantine != ''"
    return [wire(row) for row in db.rows(f"{RESULT} WHERE {where} ORDER BY id DESC LIMIT ?", platform, limit)]
