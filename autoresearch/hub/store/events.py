"""What happened, in order: written in the transaction of the act, never changed."""

import json
from typing import Any

from autoresearch.hub.store.database import Database, stamp

MOST = 500
MOST_CHARS = 1 << 20  # of one answer; the rest comes with the next


def append(db: Database, kind: str, agent: str, subject: str, data: Any, now: int) -> None:
    """Write one event, in the transaction of the act that it tells of."""
    db.run(
        "INSERT INTO events (kind, agent_id, subject, data, created) VALUES (?, ?, ?, ?, ?)",
        *(kind, agent, subject, json.dumps(data), now),
    )


def since(db: Database, last: int, limit: int = MOST) -> list[dict[str, Any]]:
    """Events after number `last`, oldest first."""
    rows = db.rows(
        f"SELECT id, kind, agent_id, subject, data, {stamp('created')} AS created_at FROM events"
        " WHERE id > ? ORDER BY id LIMIT ?",
        *(last, limit),
    )
    found: list[dict[str, Any]] = []
    size = 0
    for row in rows:
        size += len(row["data"])
        if found and size > MOST_CHARS:
            break
        found.append({**row, "data": json.loads(row["data"])})
    return found


def last(db: Database) -> int:
    """Number of the newest event; 0 when there is none."""
    return db.value("SELECT seq FROM sqlite_sequence WHERE name = 'events'") or 0


def kinds_since(db: Database, last: int) -> list[str]:
    """Which kinds of things happened after event number `last`."""
    newest = f"SELECT kind FROM events WHERE id > ? ORDER BY id DESC LIMIT {MOST}"
    return [row["kind"] for row in db.rows(f"SELECT DISTINCT kind FROM ({newest}) ORDER BY kind", last)]
