"""The commit graph, and one commit with its diff and what was said about it."""

import re
from typing import Any

from autoresearch.errors import GitFailed, HubError
from autoresearch.hub.pages import board, boards, diff, graph
from autoresearch.hub.pages.page import View, pager
from autoresearch.hub.store import commits, fans, results, threads

ROWS, OF_FAN = 60, 40
CHILDREN, MENTIONS = 40, 30
TRAIN = "train.py"
NAMED = re.compile("[0-9a-f]{7,64}")


def tell_graph(view: View) -> dict[str, Any]:
    """Rows of the graph; the line of commits behind the leader of each platform is pointed out."""
    limit, offset = view.call.page(ROWS, ROWS)
    found, total = fans.rows(view.db, limit, offset, OF_FAN)
    leaders = boards.leaders(view)
    lines = {one["hash"] for hash_ in leaders.values() for one in commits.lineage(view.db, hash_)}
    rows = graph.lay_out([_node(fan) for fan in found], lines)
    shown = [commit["hash"] for fan in found for commit in fan.commits]
    return {
        "rows": rows,
        "lanes": graph.width(rows),
        "results": results.of_commits(view.db, shown),
        "leaders": leaders,
        "num_commits": commits.listed(view.db, "", 0, 0)[1],
        "pages": pager(view.call, len(found), total, limit, offset),
    }


def _node(fan: fans.Fan) -> graph.Node:
    first = fan.commits[0]
    key = first["hash"] if fan.count == 1 else f"fan-{first['parent_hash']}"
    return graph.Node(key, fan.parents, fan.commits, fan.count, first["num_children"] == 0)


def tell_commit(view: View) -> dict[str, Any]:
    """All there is about one commit.

    Raises:
        HubError: 400, 404, 409.
    """
    try:
        found = commits.show(view.db, view.call.path("hash"))
    except HubError as error:
        return _unpushed(view, error)
    limit, offset = view.call.page(CHILDREN, CHILDREN)
    children, num_children = commits.children(view.db, found["hash"], limit, offset)
    parents = [one for parent in found["parents"] if (one := commits.brief(view.db, parent))]
    near = [found["hash"], *(one["hash"] for one in (*parents, *children))]
    files, is_whole = _changes(view, found)
    return {
        "commit": found,
        "is_pushed": True,
        "parents": parents,
        "children": children,
        "num_children": num_children,
        "pages": pager(view.call, len(children), num_children, limit, offset),
        "results": results.of_commits(view.db, near),
        "files": files,
        "is_whole": is_whole,
        "posts": board.shown(view.db, (threads.mentions(view.db, found["hash"], MENTIONS), board.LONG))[0],
    }


def _unpushed(view: View, error: HubError) -> dict[str, Any]:
    """What was reported of a commit that nobody has pushed: most of those that were discarded."""
    name = view.call.path("hash")
    found = results.of_commits(view.db, [name]) if error.status == 404 and NAMED.fullmatch(name) else {}
    if not found:
        raise error
    first = found[name][0]
    commit = {"hash": name, "message": first["description"], "agent_id": first["agent_id"]}
    (posts,) = board.shown(view.db, (threads.mentions(view.db, name, MENTIONS), board.LONG))
    return {"commit": commit, "is_pushed": False, "results": found, "posts": posts}


def _changes(view: View, commit: dict[str, Any]) -> tuple[list[diff.File], bool]:
    """The diff against the first parent, and whether that is all of it; of a root, its train.py."""
    bare, most_bytes = view.call.hub.bare, view.call.hub.limits.diff_bytes
    try:
        if commit["parent_hash"]:
            told, is_whole = bare.diff(commit["parent_hash"], commit["hash"], most_bytes)
            return diff.parse(told.decode(errors="replace"), TRAIN), is_whole
        found = bare.file(commit["hash"], TRAIN, most_bytes)
        if not found:
            return [], True
        return [diff.whole(TRAIN, found[1].decode(errors="replace"))], len(found[1]) == found[0]
    except GitFailed:  # it is too large or takes too long
        return [], False
