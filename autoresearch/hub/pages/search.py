"""Full text search."""

from typing import Any

from autoresearch.hub.server.context import Call
from autoresearch.hub.store import Database, search

MOST = 50


def tell(db: Database, call: Call) -> dict[str, Any]:
    """What holds all the words."""
    words, kind = call.query("q"), call.query("kind")
    kinds = (kind,) if kind in search.KINDS else search.KINDS
    return {"words": words, "kind": kind, "kinds": search.KINDS, "found": search.search(db, words, kinds, MOST)}
