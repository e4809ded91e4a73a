"""Full text: posts, results, claims and the messages of commits, found by their words."""

import re
from collections.abc import Iterable
from typing import Any

from autoresearch.hub.store.database import Database, stamp

KINDS = ("post", "result", "commit", "claim")
WORD = re.compile(r"[^\W_]+\*?")
MOST_WORDS = 16
EXCERPT_TOKENS = 24
NOTHING = '""'
WHO = {
    "post": f"SELECT agent_id, {stamp('created')} AS created_at FROM posts WHERE id = ?",
    "result": f"SELECT agent_id, {stamp('created')} AS created_at FROM results WHERE id = ?",
    "commit": f"SELECT agent_id, {stamp('created')} AS created_at FROM commits WHERE hash = ?",
    "claim": f"SELECT agent_id, {stamp('created')} AS created_at FROM claims WHERE id = ?",
}

UNKNOWN = {"agent_id": "", "created_at": ""}


def add(db: Database, kind: str, subject: object, text: str) -> None:
    """Make a text findable, in the transaction that stores it."""
    db.run("INSERT INTO found (text, kind, subject) VALUES (?, ?, ?)", text, kind, str(subject))


def to_query(text: str, kinds: Iterable[str], joined: str = " ") -> str:
    """Words as FTS5 takes them, each quoted: nothing in the text is an operator, except a star at the end of a word.

    Args:
        joined: `" "` where all words must be found, `" OR "` where one is enough.

    Returns:
        What `found MATCH` takes; it finds nothing where the text has no word.
    """
    words = [f'"{word.rstrip("*")}"{"*" if word.endswith("*") else ""}' for word in WORD.findall(text)[:MOST_WORDS]]
    wanted = " OR ".join(f'"{kind}"' for kind in kinds)
    return f"text : ({joined.join(words)}) AND kind : ({wanted})" if words else NOTHING


def search(db: Database, text: str, kinds: Iterable[str], limit: int) -> list[dict[str, Any]]:
    """What holds all the words, the newest first."""
    return _find(db, to_query(text, kinds), "rowid DESC", limit)


def similar(db: Database, text: str, kinds: Iterable[str], limit: int) -> list[dict[str, Any]]:
    """What holds any of the words, the most alike first; takes a while among many texts."""
    return _find(db, to_query(text, kinds, " OR "), "rank", limit)


def _find(db: Database, query: str, order: str, limit: int) -> list[dict[str, Any]]:
    rows = db.rows(
        "SELECT kind, subject, snippet(found, 0, '', '', '…', ?) AS excerpt FROM found WHERE found MATCH ?"
        f" ORDER BY {order} LIMIT ?",
        *(EXCERPT_TOKENS, query, limit),
    )
    return [{**row, **(db.row(WHO[row["kind"]], row["subject"]) or UNKNOWN)} for row in rows]
