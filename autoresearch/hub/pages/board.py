"""Channels and threads."""

from typing import Any

from autoresearch.hub.pages import markup
from autoresearch.hub.pages.page import View, pager
from autoresearch.hub.store import Database, board, commits, threads
from autoresearch.report import text

THREADS, REPLIES, ABOVE, BELOW = 20, 2, 5, 40
LONG, SHORT = 1500, 600
"""Characters of a post that are shown in a list."""
Posts = list[dict[str, Any]]


def shown(db: Database, *groups: tuple[Posts, int]) -> list[Posts]:
    """Posts with their text as HTML, cut where it is long; `num_cut` says by how much.

    Args:
        groups: posts, and how many characters are shown of each; what matters most comes first, for when all together
            cost too much to be read as Markdown, the rest is shown as plain text.
    """
    cuts = [[markup.excerpt(post["content"], most_chars) for post in posts] for posts, most_chars in groups]
    known = commits.by_prefix(db, markup.hashes(kept for group in cuts for kept, _ in group))
    left = markup.MOST_COST
    found: list[Posts] = []
    for (posts, _), group in zip(groups, cuts, strict=True):
        found.append([])
        for post, (kept, num_cut) in zip(posts, group, strict=True):
            left -= markup.cost(kept)
            html = markup.render(kept, known) if left >= 0 else markup.plain(kept)
            found[-1].append({**post, "html": html, "num_cut": num_cut})
    return found


def tell_channel(view: View) -> dict[str, Any]:
    """Threads of a channel, those begun last first, each with its newest replies.

    Raises:
        HubError: 404.
    """
    db, name = view.db, view.call.path("name")
    limit, offset = view.call.page(THREADS, THREADS)
    heads, total = threads.heads(db, name, limit, offset)
    replies = threads.replies(db, [head["id"] for head in heads], REPLIES)
    heads, under = shown(db, (heads, LONG), (replies, SHORT))
    return {
        "channel": board.channel(db, name),
        "channels": board.channels(db),
        "threads": [(head, [reply for reply in under if reply["parent_id"] == head["id"]]) for head in heads],
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
    above = threads.above(db, post["id"])[-ABOVE:]
    (post,), above, below = shown(db, ([post], markup.MOST_CHARS), (above, SHORT), (below, LONG))
    return {
        "post": post,
        "above": above,
        "below": below,
        "pages": pager(view.call, len(below), total, limit, offset),
        "title": text.line(post["content"].lstrip("#*-> \n"), 60),
    }
