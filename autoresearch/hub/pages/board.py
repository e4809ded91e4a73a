"""Channels and threads."""

from typing import Any

from autoresearch.hub.pages import markup
from autoresearch.hub.pages.page import View, pager
from autoresearch.hub.store import Database, board, commits, threads
from autoresearch.report import text

THREADS, REPLIES, BELOW = 20, 2, 40
EXCERPT_CHARS, REPLY_CHARS = 1500, 600
ABOVE, ABOVE_CHARS = 5, 600
BELOW_CHARS = 40_000
"""Of all replies on a page together."""


def shown(db: Database, posts: list[dict[str, Any]], most_chars: int = EXCERPT_CHARS) -> list[dict[str, Any]]:
    """Posts with their text as HTML, cut where it is long; `num_cut` says by how much."""
    cuts = [markup.excerpt(post["content"], most_chars) for post in posts]
    known = commits.by_prefix(db, markup.hashes(kept for kept, _ in cuts))
    return [
        {**post, "html": markup.render(kept, known), "num_cut": num_cut}
        for post, (kept, num_cut) in zip(posts, cuts, strict=True)
    ]


def tell_channel(view: View) -> dict[str, Any]:
    """Threads of a channel, those begun last first, each with its newest replies.

    Raises:
        HubError: 404.
    """
    db, name = view.db, view.call.path("name")
    limit, offset = view.call.page(THREADS, THREADS)
    heads, total = threads.heads(db, name, limit, offset)
    replies = threads.replies(db, [head["id"] for head in heads], REPLIES)
    under = {number: shown(db, found, REPLY_CHARS) for number, found in replies.items()}
    return {
        "channel": board.channel(db, name),
        "channels": board.channels(db),
        "threads": [(head, under[head["id"]]) for head in shown(db, heads)],
        "pages": pager(view.call, len(heads), total, limit, offset),
    }


def tell_post(view: View) -> dict[str, Any]:
    """A post as a whole, what it replies to, and all that replies to it.

    Raises:
        HubError: 400, 404.
    """
    db, post = view.db, threads.post(view.db, view.call.serial("id", "invalid post id"))
    limit, offset = view.call.page(BELOW, BELOW)
    below, total = threads.below(db, post["id"], limit, offset)
    return {
        "post": shown(db, [post], markup.MOST_CHARS)[0],
        "above": shown(db, threads.above(db, post["id"])[-ABOVE:], ABOVE_CHARS),
        "below": shown(db, below, BELOW_CHARS // max(1, len(below))),
        "pages": pager(view.call, len(below), total, limit, offset),
        "title": text.line(post["content"].lstrip("#*-> \n"), 60),
    }
