"""Full text: posts, results, claims and the messages of commits, found by their words."""

import re
from collections.abc import Iterable
from typing import Any

from autoresearch.hub.store.database import Database, stamp

KINDS = ("post", "result", "commit", "claim")
WORD = re.compile(r"[^\W_]+\*?")
MOST_WORDS = 16
EXCERPT_TOKENS = 24
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


def to_query(text: str, joined: str = " ") -> str:
    """Words as FTS5 takes them, each quoted: nothing in the text is an operator, except a star at the end of a word.

    Args:
        joined: `" "` where all words must be found, `" OR "` where one is enough.
    """
    words = WORD.findall(text)[:MOST_WORDS]
    return joined.join(f'"{word.rstrip("*")}"{"*" if word.endswith("*") else ""}' for word in words)


def search(db: Database, text: str, kinds: Iterable[str], limit: int, joined: str = " ") -> list[dict[str, Any]]:
    """What holds the words, the best match first; nothing where the text has no word."""
    query, wanted = to_query(text, joined), list(kinds)
    if not query:
        return []
    marks = ", ".join("?" * len(wanted))
    rows = db.rows(
        "SELECT kind, subject, snippet(found, 0, '', '', '…', ?) AS excerpt FROM found"
        f" WHERE found MATCH ? AND kind IN ({marks}) ORDER BY rank LIMIT ?",
        *(EXCERPT_TOKENS, query, *wanted, limit),
    )
    return [{**row, **(db.row(WHO[row["kind"]], row["subject"]) or UNKNOWN)} for row in rows]
