"""One platform: its leaderboards with all replicates, and how it came there."""

from typing import Any

from autoresearch.errors import HubError
from autoresearch.hub.pages import boards
from autoresearch.hub.server.context import Call
from autoresearch.hub.store import Database, results
from autoresearch.hub.store.measurement import METRIC

ENTRIES, MARKS, FEW = 100, 1000, 20


def tell(db: Database, call: Call) -> dict[str, Any]:
    """The boards of a platform, one for each regime.

    Raises:
        HubError: 404 for one of which there is no result.
    """
    asked = call.path("name")
    name = next((known for known in results.platforms(db) if known.casefold() == asked.casefold()), "")
    if not name:
        raise HubError(404, f"no result was reported on {asked}")
    rows = results.scored(db, name, METRIC)
    found = boards.of_platforms(db, name, ENTRIES)
    for board in found:
        boards.with_runs(board, rows)
        board["range"] = boards.span(board)
    return {
        "name": name,
        "boards": [(board, boards.chart(db, board, MARKS)) for board in found],
        "doubted": results.doubted(db, name, FEW),
        "newest": results.results(db, results.Filter(platform=name), FEW, 0)[0],
    }
