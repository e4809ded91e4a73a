"""The first page: how far each platform is, who is at what, what was said and pushed last."""

from typing import Any

from autoresearch.hub.limits import HOUR_S
from autoresearch.hub.pages import board, boards
from autoresearch.hub.server.context import Call
from autoresearch.hub.store import Database, claims, commits, events, results, threads
from autoresearch.hub.store import board as channels

CHARTS, TOP, FEW, MARKS = 4, 5, 8, 250
EXCERPT_CHARS = 320


def tell(db: Database, call: Call) -> dict[str, Any]:
    """The newest and the best of everything."""
    now = call.hub.now
    found = boards.of_platforms(db, "", TOP)
    pushed, num_commits = commits.listed(db, "", FEW, 0)
    return {
        "boards": [(one, boards.chart(db, one, MARKS)) for one in found[:CHARTS]],
        "others": found[CHARTS:],
        "num_commits": num_commits,
        "num_results": db.value("SELECT count(*) FROM results"),
        "num_agents": db.value("SELECT count(*) FROM agents"),
        "num_active": events.num_active(db, now - 24 * HOUR_S),
        "claims": claims.open_claims(db, "", "", now)[-FEW:],
        "posts": board.shown(db, threads.recent(db, FEW, channel="-results"), EXCERPT_CHARS),
        "commits": pushed,
        "of_commits": results.of_commits(db, [one["hash"] for one in pushed]),
        "channels": channels.channels(db),
    }
