"""Commits and what they were built on: a forest with merges, in the order of arrival."""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from autoresearch.errors import HubError
from autoresearch.hub.limits import Limits
from autoresearch.hub.store import events, replicates
from autoresearch.hub.store.database import Database, stamp

HASH = re.compile(r"[0-9a-f]{4,64}")
WIRE = f"hash, parent_hash, agent_id, message, {stamp('created')} AS created_at"
NUM_CHILDREN = "(SELECT count(DISTINCT child) FROM parents WHERE parent = commits.hash)"
NAMED = "(SELECT value FROM json_each(?))"
FAN = 200  # commits on a page of leaves or children, unless told
MOST_LINEAGE = 1000
MOST_ALIKE = 50


@dataclass(frozen=True)
class Arrival:
    """A commit that was not known before."""

    hash: str
    parents: tuple[str, ...]
    tree: str
    author: str
    message: str
    """The subject line."""
    body: str
    train_blob: str | None
    """Object name of train.py; None where there is none."""
    patch_id: str | None
    """Against the first parent; None for a root, and where it was too large to tell."""


def resolve(db: Database, text: str) -> str:
    """The full hash that a prefix of at least four digits stands for.

    Raises:
        HubError: 400, 404, or 409 where it stands for several.
    """
    if not HASH.fullmatch(text):
        raise HubError(400, "invalid hash")
    found = db.rows("SELECT hash FROM commits WHERE hash >= ? AND hash < ? LIMIT 2", text, text + "g")
    if not found:
        raise HubError(404, "commit not found")
    if len(found) > 1:
        raise HubError(409, f"ambiguous prefix: several commits begin with {text}; give more of the hash")
    return found[0]["hash"]


def known(db: Database, hashes: Iterable[str]) -> set[str]:
    """Which of these commits are recorded."""
    rows = db.rows(f"SELECT hash FROM commits WHERE hash IN {NAMED}", json.dumps([*hashes]))
    return {row["hash"] for row in rows}


def listed(db: Database, agent: str, limit: int, offset: int) -> tuple[list[dict[str, Any]], int]:
    """Commits, newest first, and how many there are in all.

    Args:
        agent: only of this one; empty for all.
    """
    where, values = ("WHERE agent_id = ?", (agent,)) if agent else ("", ())
    rows = db.rows(f"SELECT {WIRE} FROM commits {where} ORDER BY seq DESC LIMIT ? OFFSET ?", *values, limit, offset)
    return rows, db.value(f"SELECT count(*) FROM commits {where}", *values)


def show(db: Database, name: str) -> dict[str, Any]:
    """One commit, with what is known beyond its line in a list.

    `replicates` are other commits with the same train.py, `duplicates` those that make the same change to the same
    parent; the newest of both.

    Raises:
        HubError: 400, 404, 409.
    """
    found = db.row(
        f"SELECT {WIRE}, author, body, tree, train_blob, patch_id, num_children FROM commits WHERE hash = ?",
        resolve(db, name),
    )
    assert found
    hash_, parents = found["hash"], "SELECT parent FROM parents WHERE child = ? ORDER BY position"
    alike = f"AND hash != ? ORDER BY seq DESC LIMIT {MOST_ALIKE}"
    replicates = db.rows(f"SELECT hash FROM commits WHERE train_blob = ? {alike}", found["train_blob"], hash_)
    duplicates = db.rows(
        f"SELECT hash FROM commits WHERE patch_id = ? AND parent_hash = ? {alike}",
        *(found["patch_id"], found["parent_hash"], hash_),
    )
    return {
        **found,
        "parents": [row["parent"] for row in db.rows(parents, hash_)],
        "replicates": [row["hash"] for row in replicates],
        "duplicates": [row["hash"] for row in duplicates],
    }


def children(db: Database, name: str, limit: int, offset: int) -> tuple[list[dict[str, Any]], int]:
    """Commits that have this one among their parents, newest first, and how many there are; none of an unknown one.

    Raises:
        HubError: 400, 409.
    """
    if not (parent := _resolve_if_known(db, name)):
        return [], 0
    rows = db.rows(
        f"SELECT {WIRE} FROM commits WHERE hash IN (SELECT child FROM parents WHERE parent = ?)"
        " ORDER BY seq DESC LIMIT ? OFFSET ?",
        *(parent, limit, offset),
    )
    return rows, db.value("SELECT num_children FROM commits WHERE hash = ?", parent)


def lineage(db: Database, name: str, limit: int = MOST_LINEAGE) -> list[dict[str, Any]]:
    """A commit, its first parent, and so on to a root or the limit; empty for an unknown one.

    Raises:
        HubError: 400, 409.
    """
    return db.rows(
        f"""WITH RECURSIVE line (at, place) AS (
            SELECT ?, 1 UNION ALL
            SELECT parent_hash, place + 1 FROM line JOIN commits ON hash = at WHERE parent_hash != '' AND place < ?
        ) SELECT {WIRE} FROM line JOIN commits ON hash = at ORDER BY place""",
        *(_resolve_if_known(db, name), limit),
    )


def leaves(db: Database, limit: int, offset: int) -> tuple[list[dict[str, Any]], int]:
    """Commits without children, newest first, and how many there are."""
    rows = db.rows(
        f"SELECT {WIRE} FROM commits WHERE num_children = 0 ORDER BY seq DESC LIMIT ? OFFSET ?", limit, offset
    )
    return rows, db.value("SELECT count(*) FROM commits WHERE num_children = 0")


def tips(db: Database) -> set[str]:
    """All commits without children: what leads to everything."""
    return {row["hash"] for row in db.rows("SELECT hash FROM commits WHERE num_children = 0")}


def record(db: Database, limits: Limits, agent: str, arrivals: Sequence[Arrival], now: int) -> list[dict[str, Any]]:
    """Add commits that are not known yet, parents first; returns those. To be called in a transaction."""
    old = known(db, (one.hash for one in arrivals))
    new = [one for one in arrivals if one.hash not in old]
    names = json.dumps([one.hash for one in new])
    db.connection.executemany(
        "INSERT INTO commits (hash, parent_hash, agent_id, message, body, author, tree, train_blob, patch_id, created)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (one.hash, *(one.parents[:1] or ("",)), agent, one.message, one.body, one.author, one.tree,
             one.train_blob, one.patch_id, now)
            for one in new
        ],
    )  # fmt: skip
    db.connection.executemany(
        "INSERT INTO parents (child, position, parent) VALUES (?, ?, ?)",
        [(one.hash, place, parent) for one in new for place, parent in enumerate(one.parents)],
    )
    touched = f"hash IN {NAMED} OR hash IN (SELECT parent FROM parents WHERE child IN {NAMED})"
    db.run(f"UPDATE commits SET num_children = {NUM_CHILDREN} WHERE {touched}", names, names)
    db.connection.executemany(
        "INSERT INTO found (text, kind, subject) VALUES (?, 'commit', ?)",
        [(f"{one.message}\n\n{one.body}".strip(), one.hash) for one in new],
    )
    replicates.count_again(db, limits, (one.hash for one in new), now)
    made = db.rows(f"SELECT {WIRE} FROM commits WHERE hash IN {NAMED} ORDER BY seq", names)
    for wire in made:
        events.append(db, "commit", agent, wire["hash"], wire, now)
    return made


def _resolve_if_known(db: Database, name: str) -> str:
    """The full hash; empty where there is no such commit."""
    try:
        return resolve(db, name)
    except HubError as error:
        if error.status != 404:
            raise
        return ""


def by_prefix(db: Database, texts: Iterable[str]) -> dict[str, str]:
    """Full hashes of commits by the text that stands for them; what stands for none or for several is left out."""
    rows = db.rows(
        "SELECT text, min(hash) AS hash FROM (SELECT value AS text FROM json_each(?))"
        " JOIN commits ON hash >= text AND hash < text || 'g' GROUP BY text HAVING count(*) = 1",
        json.dumps([*texts]),
    )
    return {row["text"]: row["hash"] for row in rows}


def brief(db: Database, hash_: str) -> dict[str, Any] | None:
    """The line of a commit in a list, by its full hash."""
    return db.row(f"SELECT {WIRE} FROM commits WHERE hash = ?", hash_)
