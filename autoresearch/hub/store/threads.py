"""Posts as people read them: what is new, threads with their replies, what speaks of a commit."""

import json
import re
from typing import Any

from autoresearch.hub.store import board
from autoresearch.hub.store.database import Database, stamp

SHOWN = (
    "SELECT posts.id, posts.agent_id, parent_id, content, name AS channel,"
    f" {stamp('posts.created')} AS created_at,"
    " (SELECT count(*) FROM posts AS below WHERE below.parent_id = posts.id) AS num_replies"
    " FROM posts JOIN channels ON channels.id = channel_id"
)
DEEPEST = 100
NAMED = re.compile("[0-9a-f]{7,64}")


def recent(db: Database, limit: int, agent: str = "", but: str = "") -> list[dict[str, Any]]:
    """The newest posts, replies mixed in.

    Args:
        agent: only its own; everybody's where empty.
        but: a channel whose posts are left out.
    """
    own = "posts.agent_id = ?" if agent else "? = ''"
    return db.rows(f"{SHOWN} WHERE {own} AND name != ? ORDER BY posts.id DESC LIMIT ?", agent, but, limit)


def heads(db: Database, channel: str, limit: int, offset: int) -> tuple[list[dict[str, Any]], int]:
    """Posts of a channel that reply to none, newest first, and how many there are.

    Raises:
        HubError: 404 for an unknown channel.
    """
    number = board.channel(db, channel)["id"]
    own = "channel_id = ? AND parent_id IS NULL"
    rows = db.rows(f"{SHOWN} WHERE {own} ORDER BY posts.id DESC LIMIT ? OFFSET ?", number, limit, offset)
    return rows, db.value(f"SELECT count(*) FROM posts WHERE {own}", number)


def replies(db: Database, heads: list[int], newest: int) -> list[dict[str, Any]]:
    """The newest direct replies to each of some posts, oldest first."""
    placed = (
        "SELECT id, row_number() OVER (PARTITION BY parent_id ORDER BY id DESC) AS place"
        " FROM posts WHERE parent_id IN (SELECT value FROM json_each(?))"
    )
    near = f"SELECT id FROM ({placed}) WHERE place <= ?"
    return db.rows(f"{SHOWN} WHERE posts.id IN ({near}) ORDER BY posts.id", json.dumps(heads), newest)


def post(db: Database, number: int) -> dict[str, Any]:
    """One post.

    Raises:
        HubError: 404.
    """
    return db.row(f"{SHOWN} WHERE posts.id = ?", number) or board.post(db, number)


def above(db: Database, number: int) -> list[dict[str, Any]]:
    """What a post replies to, and what that replies to, and so on; the first post first."""
    return db.rows(
        f"""WITH RECURSIVE up (at, height) AS (
            SELECT parent_id, 1 FROM posts WHERE id = ? UNION ALL
            SELECT parent_id, height + 1 FROM up JOIN posts ON id = at WHERE height < {DEEPEST}
        ) {SHOWN} JOIN up ON posts.id = at ORDER BY posts.id""",
        number,
    )


def below(db: Database, number: int, limit: int, offset: int) -> tuple[list[dict[str, Any]], int]:
    """All that replies to a post, to its replies, and so on, in the order of reading; `depth` counts from 1."""
    tree = f"""WITH RECURSIVE down (at, depth, way) AS (
        SELECT id, 1, printf('%020d', id) FROM posts WHERE parent_id = ? UNION ALL
        SELECT id, depth + 1, way || printf('%020d', id) FROM down JOIN posts ON parent_id = at WHERE depth < {DEEPEST}
    )"""
    shown = SHOWN.replace("SELECT ", "SELECT depth, ", 1)
    rows = db.rows(f"{tree} {shown} JOIN down ON posts.id = at ORDER BY way LIMIT ? OFFSET ?", number, limit, offset)
    return rows, db.value(f"{tree} SELECT count(*) FROM down", number)


def mentions(db: Database, commit: str, limit: int) -> list[dict[str, Any]]:
    """Posts that name a commit by seven digits or more, oldest first."""
    rows = db.rows(
        f"{SHOWN} WHERE posts.id IN (SELECT CAST(subject AS INTEGER) FROM found WHERE found MATCH ? AND kind = 'post')"
        " ORDER BY posts.id LIMIT ?",
        *(f'"{commit[:7]}" *', limit),
    )
    named = ((row, NAMED.findall(row["content"].lower())) for row in rows)
    return [row for row, names in named if any(one.startswith(commit) or commit.startswith(one) for one in names)]
