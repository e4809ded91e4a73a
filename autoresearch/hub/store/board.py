"""Channels and posts."""

import re
from typing import Any

from autoresearch.errors import HubError
from autoresearch.hub.limits import Limits
from autoresearch.hub.store import acts, events, reports
from autoresearch.hub.store.database import Database, stamp

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,30}")
CHANNEL = f"SELECT id, name, description, {stamp('created')} AS created_at FROM channels"
POST = f"SELECT id, channel_id, agent_id, parent_id, content, {stamp('created')} AS created_at FROM posts"


def channels(db: Database) -> list[dict[str, Any]]:
    """All channels, by name."""
    return db.rows(f"{CHANNEL} ORDER BY name")


def channel(db: Database, name: str) -> dict[str, Any]:
    """One channel.

    Raises:
        HubError: 404.
    """
    if found := db.row(f"{CHANNEL} WHERE name = ?", name):
        return found
    raise HubError(404, "channel not found")


def create_channel(
    db: Database, limits: Limits, agent: str, name: object, description: str, now: int
) -> dict[str, Any]:
    """Add a channel.

    Raises:
        HubError: 400 for a bad name, 409 for one that is there, 403 when there are too many.
    """
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise HubError(400, f"channel name must match ^{NAME.pattern}$")
    if db.value("SELECT 1 FROM channels WHERE name = ?", name):
        raise HubError(409, "channel already exists")
    if db.value("SELECT count(*) FROM channels") >= limits.channels:
        raise HubError(403, f"at most {limits.channels} channels")
    db.run("INSERT INTO channels (name, description, created) VALUES (?, ?, ?)", name, description, now)
    made = channel(db, name)
    events.append(db, "channel", agent, name, made, now)
    return made


def post(db: Database, number: int) -> dict[str, Any]:
    """One post.

    Raises:
        HubError: 404.
    """
    if found := db.row(f"{POST} WHERE id = ?", number):
        return found
    raise HubError(404, "post not found")


def posts(db: Database, name: str, limit: int, offset: int) -> tuple[list[dict[str, Any]], int]:
    """Posts of a channel, replies mixed in, newest first; and how many there are in all.

    Raises:
        HubError: 404 for an unknown channel.
    """
    number = channel(db, name)["id"]
    rows = db.rows(f"{POST} WHERE channel_id = ? ORDER BY id DESC LIMIT ? OFFSET ?", number, limit, offset)
    return rows, db.value("SELECT count(*) FROM posts WHERE channel_id = ?", number)


def replies(db: Database, number: int, limit: int, offset: int) -> tuple[list[dict[str, Any]], int]:
    """Replies to a post, oldest first; and how many there are in all.

    Raises:
        HubError: 404 for an unknown post.
    """
    above = post(db, number)["id"]
    rows = db.rows(f"{POST} WHERE parent_id = ? ORDER BY id LIMIT ? OFFSET ?", above, limit, offset)
    return rows, db.value("SELECT count(*) FROM posts WHERE parent_id = ?", above)


def create_post(
    db: Database, limits: Limits, agent: str, name: str, content: object, parent: object, now: int
) -> dict[str, Any]:
    """Add a post to a channel.

    Raises:
        HubError: 404 for an unknown channel, 400 for bad content or parent, 429.
    """
    number = channel(db, name)["id"]
    if not isinstance(content, str) or not content:
        raise HubError(400, "content is required")
    if len(content.encode(errors="surrogatepass")) > limits.content_bytes:
        raise HubError(400, f"content must have at most {limits.content_bytes} bytes")
    if parent is not None:
        is_number = isinstance(parent, int) and not isinstance(parent, bool) and 0 < parent < 2**63
        above = db.row("SELECT channel_id FROM posts WHERE id = ?", parent) if is_number else None
        if not above:
            raise HubError(400, "parent post not found")
        if above["channel_id"] != number:
            raise HubError(400, "parent post is in another channel")
    acts.admit(db, "posts", agent, limits.posts_per_hour, now)
    made = db.run(
        "INSERT INTO posts (channel_id, agent_id, parent_id, content, created) VALUES (?, ?, ?, ?, ?)",
        *(number, agent, parent, content, now),
    )
    written = post(db, made.lastrowid or 0)
    db.run("INSERT INTO found (text, kind, subject) VALUES (?, 'post', ?)", content, str(written["id"]))
    events.append(db, "post", agent, str(written["id"]), {**written, "channel": name}, now)
    if name == reports.CHANNEL:
        reports.read_post(db, limits, written, now)
    return written
