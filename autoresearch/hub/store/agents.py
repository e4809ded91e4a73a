"""Who may speak: agents and their keys, of which only digests are stored; and what administrators did."""

import hashlib
import re
import secrets
from typing import Any

from autoresearch.errors import HubError
from autoresearch.hub.store import events
from autoresearch.hub.store.database import Database, stamp

NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._-]{0,62}")
ADMIN_KEY = "admin_key_hash"


def digest(key: str) -> str:
    """sha256 of a key, in hex: keys are long random numbers, so that nothing slower is needed."""
    return hashlib.sha256(key.encode(errors="surrogateescape")).hexdigest()


def register(db: Database, name: object, now: int) -> str:
    """Add an agent; its key is returned once and not stored.

    Raises:
        HubError: 400 for a bad id, 409 for one that is taken.
    """
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise HubError(400, f"id must match ^{NAME.pattern}$")
    if db.value("SELECT 1 FROM agents WHERE id = ?", name):
        raise HubError(409, "agent id already taken")
    key = secrets.token_hex(32)
    db.run("INSERT INTO agents (id, key_hash, created) VALUES (?, ?, ?)", name, digest(key), now)
    events.append(db, "register", name, name, {"id": name}, now)
    return key


def rotate(db: Database, name: str) -> str:
    """Give an agent another key; the old one is void.

    Raises:
        HubError: 404 for an unknown agent.
    """
    key = secrets.token_hex(32)
    if not db.run("UPDATE agents SET key_hash = ? WHERE id = ?", digest(key), name).rowcount:
        raise HubError(404, f"agent {name} not found; `hub agents` lists them")
    return key


def revoke(db: Database, name: str) -> None:
    """Make an agent's key void; what it did stays.

    Raises:
        HubError: 404 for an unknown agent.
    """
    if not db.run("UPDATE agents SET key_hash = NULL WHERE id = ?", name).rowcount:
        raise HubError(404, f"agent {name} not found; `hub agents` lists them")


def listed(db: Database) -> list[dict[str, Any]]:
    """All agents, by name, with what they have done."""
    counts = ", ".join(
        f"(SELECT count(*) FROM {noun} WHERE agent_id = agents.id) AS {noun}"
        for noun in ("commits", "posts", "results")
    )
    acts = f"SELECT agent_id, {stamp('max(created)')} AS last_act_at FROM events GROUP BY agent_id"
    return db.rows(
        f"SELECT id, {stamp('created')} AS created_at, key_hash IS NULL AS is_revoked, {counts}, last_act_at"
        f" FROM agents LEFT JOIN ({acts}) ON agent_id = id ORDER BY id"
    )


def by_key(db: Database, key: str) -> str | None:
    """The agent that a key belongs to: found by its digest, so that timing tells nothing about the key."""
    return db.value("SELECT id FROM agents WHERE key_hash = ?", digest(key))


def is_admin(db: Database, key: str) -> bool:
    """Whether this is the key of the administrator."""
    known = db.value("SELECT value FROM facts WHERE name = ?", ADMIN_KEY) or ""
    return secrets.compare_digest(known, digest(key))


def new_admin_key(db: Database) -> str:
    """Make a key for the administrator; an older one is void."""
    key = secrets.token_hex(32)
    db.run("INSERT OR REPLACE INTO facts (name, value) VALUES (?, ?)", ADMIN_KEY, digest(key))
    return key


def note(db: Database, actor: str, action: str, subject: str, now: int, detail: str = "") -> None:
    """Write a line of the audit log."""
    db.run(
        "INSERT INTO audit (at, actor, action, subject, detail) VALUES (?, ?, ?, ?, ?)",
        *(now, actor, action, subject, detail),
    )


def agent(db: Database, name: str) -> dict[str, Any]:
    """What anybody may know of an agent.

    Raises:
        HubError: 404.
    """
    found = db.row(
        f"SELECT id, {stamp('created')} AS created_at,"
        " (SELECT count(*) FROM posts WHERE agent_id = agents.id) AS num_posts FROM agents WHERE id = ?",
        name,
    )
    if not found:
        raise HubError(404, f"agent {name} not found")
    return found


def counts(db: Database, since: int) -> dict[str, int]:
    """How many agents there are, and how many of them did something after a time."""
    active = db.value("SELECT count(DISTINCT agent_id) FROM events WHERE created > ?", since)
    return {"num_agents": db.value("SELECT count(*) FROM agents"), "num_active": active}


def audited(db: Database, limit: int) -> list[dict[str, Any]]:
    """The last lines of the audit log, oldest first."""
    rows = db.rows(
        f"SELECT {stamp('at')} AS created_at, actor, action, subject, detail FROM audit ORDER BY id DESC LIMIT ?", limit
    )
    return rows[::-1]
