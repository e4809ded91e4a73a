"""The commit graph, and one commit with its diff and what was said about it."""

from typing import Any

from autoresearch.errors import GitFailed
from autoresearch.hub.pages import board, boards, diff, graph
from autoresearch.hub.pages.page import pager
from autoresearch.hub.server.context import Call
from autoresearch.repo.bare import Bare
from autoresearch.hub.store import Database, commits, fans, results, threads

ROWS = 60
OF_FAN = 40
CHILDREN = 60
MENTIONS = 50
TRAIN = "train.py"


def tell_graph(db: Database, call: Call) -> dict[str, Any]:
    """Rows of the graph; the line of commits behind the best result of each platform is pointed out."""
    limit, offset = call.page(ROWS, ROWS)
    found, total = fans.rows(db, limit, offset, OF_FAN)
    best = boards.best(db)
    lines = {one["hash"] for _, hash_ in best for one in commits.lineage(db, hash_)}
    rows = graph.lay_out([_node(fan) for fan in found], lines)
    shown = [commit["hash"] for fan in found for commit in fan.commits]
    return {
        "rows": rows,
        "lanes": graph.width(rows),
        "results": results.of_commits(db, shown),
        "best": best,
        "num_commits": db.value("SELECT count(*) FROM commits"),
        "pages": pager(call, len(found), total, limit, offset),
    }


def _node(fan: fans.Fan) -> graph.Node:
    first = fan.commits[0]
    key = first["hash"] if fan.count == 1 else f"fan-{first['parent_hash']}"
    return graph.Node(key, fan.parents, fan.commits, fan.count, first["num_children"] == 0)


def tell_commit(db: Database, call: Call) -> dict[str, Any]:
    """All there is about one commit."""
    found = commits.show(db, call.path("hash"))
    limit, offset = call.page(CHILDREN, CHILDREN)
    children, num_children = commits.children(db, found["hash"], limit, offset)
    of_commits = results.of_commits(db, [found["hash"], *found["parents"], *(one["hash"] for one in children)])
    files, is_whole = _changes(call, found)
    mentions = threads.mentions(db, found["hash"], MENTIONS)
    return {
        "commit": found,
        "parents": [commits.brief(db, parent) for parent in found["parents"]],
        "children": children,
        "num_children": num_children,
        "pages": pager(call, len(children), num_children, limit, offset),
        "results": of_commits,
        "files": files,
        "is_whole": is_whole,
        "posts": board.shown(db, mentions),
    }


def _changes(call: Call, commit: dict[str, Any]) -> tuple[list[diff.File], bool]:
    """The diff against the first parent, and whether that is all of it; of a root, its train.py."""
    bare, most_bytes = Bare(call.hub.folder / "git"), call.hub.limits.diff_bytes
    if not commit["parent_hash"]:
        found = bare.file(commit["hash"], TRAIN, most_bytes)
        return ([diff.whole(TRAIN, found[1].decode(errors="replace"))], len(found[1]) == found[0]) if found else ([], True)
    try:
        told, is_whole = bare.diff(commit["parent_hash"], commit["hash"], most_bytes)
    except GitFailed:  # it was too large or took too long
        return [], False
    return diff.parse(told.decode(errors="replace"), TRAIN), is_whole
