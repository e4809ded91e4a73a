"""The table of results, by filters."""

from typing import Any

from autoresearch.hub.pages.page import View, pager
from autoresearch.hub.store import results
from autoresearch.records import Status

ROWS = 100


def tell(view: View) -> dict[str, Any]:
    """Results, newest first."""
    call = view.call
    which = results.Filter(call.query("platform"), call.query("agent"), call.query("status"), words=call.query("q"))
    limit, offset = call.page(ROWS, ROWS)
    found, total = results.results(view.db, which, limit, offset)
    return {
        "which": which,
        "results": found,
        "total": total,
        "platforms": results.platforms(view.db),
        "statuses": list(Status),
        "pages": pager(call, len(found), total, limit, offset),
    }
