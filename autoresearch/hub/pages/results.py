"""The table of results, by filters."""

from typing import Any

from autoresearch.hub.pages.page import pager
from autoresearch.hub.server.context import Call
from autoresearch.hub.store import Database, results
from autoresearch.records import Status

ROWS = 100


def tell(db: Database, call: Call) -> dict[str, Any]:
    """Results, newest first."""
    which = results.Filter(call.query("platform"), call.query("agent"), call.query("status"), words=call.query("q"))
    limit, offset = call.page(ROWS, ROWS)
    found, total = results.results(db, which, limit, offset)
    return {
        "which": which,
        "results": found,
        "total": total,
        "platforms": results.platforms(db),
        "statuses": list(Status),
        "pages": pager(call, len(found), total, limit, offset),
    }
