"""The first page: how far each platform is, who is at what, what was said and pushed last."""

from typing import Any

from autoresearch.hub.limits import HOUR_S
from autoresearch.hub.pages import board, boards
from autoresearch.hub.pages.page import View
from autoresearch.hub.store import agents, claims, commits, results, threads
from autoresearch.hub.store import board as channels
from autoresearch.hub.store.reports import CHANNEL

CHARTS, TOP, FEW, MARKS = 4, 5, 8, 150
EXCERPT_CHARS = 320


def tell(view: View) -> dict[str, Any]:
    """The newest and the best of everything."""
    db, found = view.db, boards.largest(view)
    held = claims.open_claims(db, "", "", view.now)
    pushed, num_commits = commits.listed(db, "", FEW, 0)
    return {
        "boards": [(one, one["entries"][:TOP], boards.chart(view, one, MARKS)) for one in found[:CHARTS]],
        "others": found[CHARTS:],
        "num_commits": num_commits,
        "num_results": results.results(db, results.Filter(), 0, 0)[1],
        **agents.counts(db, view.now - 24 * HOUR_S),
        "num_claims": len(held),
        "claims": held[::-1][:FEW],
        "posts": board.shown(db, (threads.recent(db, FEW, but=CHANNEL), EXCERPT_CHARS))[0],
        "commits": pushed,
        "of_commits": results.of_commits(db, [one["hash"] for one in pushed]),
        "channels": channels.channels(db),
    }
