"""Rows of the commit graph: each commit is one, but the leaves of one parent share one where they are many."""

import json
from dataclasses import dataclass
from typing import Any

from autoresearch.hub.store.database import Database, stamp

LEAST = 4
"""Leaves of one parent that make a fan."""
LEAF = "num_children = 0 AND parent_hash != ''"
FANS = f"""WITH fans AS (
    SELECT parent_hash, max(seq) AS newest, count(*) AS count FROM commits WHERE {LEAF}
    GROUP BY parent_hash HAVING count(*) >= {LEAST}
)"""
SINGLE = f"NOT ({LEAF} AND parent_hash IN (SELECT parent_hash FROM fans))"
COMMIT = f"hash, parent_hash, agent_id, message, num_children, train_blob, {stamp('created')} AS created_at"


@dataclass(frozen=True)
class Fan:
    """A commit, or a fan of them."""

    commits: list[dict[str, Any]]
    """One, or the newest of the fan."""
    parents: tuple[str, ...]
    count: int
    """How many commits it stands for."""


def rows(db: Database, limit: int, offset: int, most_shown: int) -> tuple[list[Fan], int]:
    """Rows of the graph, newest first and children before parents, and how many there are in all.

    Args:
        most_shown: how many commits of a fan are returned.
    """
    found = db.rows(
        f"{FANS} SELECT seq AS newest, hash, '' AS parent, 1 AS count FROM commits WHERE {SINGLE}"
        " UNION ALL SELECT newest, '', parent_hash, count FROM fans ORDER BY newest DESC LIMIT ? OFFSET ?",
        *(limit, offset),
    )
    total = db.value(f"{FANS} SELECT (SELECT count(*) FROM commits WHERE {SINGLE}) + (SELECT count(*) FROM fans)")
    singles = json.dumps([row["hash"] for row in found if row["hash"]])
    named = "IN (SELECT value FROM json_each(?))"
    commits = {row["hash"]: row for row in db.rows(f"SELECT {COMMIT} FROM commits WHERE hash {named}", singles)}
    parents: dict[str, list[str]] = {}
    for row in db.rows(f"SELECT child, parent FROM parents WHERE child {named} ORDER BY child, position", singles):
        parents.setdefault(row["child"], []).append(row["parent"])
    of_parent = f"SELECT {COMMIT} FROM commits WHERE parent_hash = ? AND num_children = 0 ORDER BY seq DESC LIMIT ?"
    return [
        Fan([commits[row["hash"]]], tuple(parents.get(row["hash"], ())), 1)
        if row["hash"]
        else Fan(db.rows(of_parent, row["parent"], most_shown), (row["parent"],), row["count"])
        for row in found
    ], total
