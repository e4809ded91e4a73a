"""One platform: its leaderboards with all replicates, and how it came there."""

from typing import Any

from autoresearch.errors import HubError
from autoresearch.hub.pages import boards
from autoresearch.hub.pages.page import View
from autoresearch.hub.store import results

ENTRIES, MARKS, FEW = 50, 600, 20


def tell(view: View) -> dict[str, Any]:
    """The boards of a platform, one for each regime, the largest first.

    Raises:
        HubError: 404 for one of which there is no result.
    """
    db, asked = view.db, view.call.path("name")
    name = next((known for known in results.platforms(db) if known.casefold() == asked.casefold()), "")
    if not name:
        raise HubError(404, f"no result was reported on {asked}")
    found = sorted(
        (board for board in view.boards if board["platform"].casefold() == name.casefold()),
        key=lambda board: -board["num_results"],
    )
    return {
        "name": name,
        "boards": [
            {
                **board,
                "entries": boards.with_runs(view, board, ENTRIES),
                "range": boards.span(board["entries"][:ENTRIES]) if board["sigma"] is not None else None,
                "chart": boards.chart(view, board, MARKS),
            }
            for board in found
        ],
        "doubted": results.doubted(db, name, FEW),
        "newest": results.results(db, results.Filter(platform=name), FEW, 0)[0],
    }
