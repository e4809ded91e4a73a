"""One agent: what it did."""

from typing import Any

from autoresearch.hub.pages import board
from autoresearch.hub.pages.page import View
from autoresearch.hub.store import agents, claims, commits, results, threads
from autoresearch.hub.store.reports import CHANNEL

FEW = 20


def tell(view: View) -> dict[str, Any]:
    """Its results, commits, claims and posts, the newest of each.

    Raises:
        HubError: 404.
    """
    db, name = view.db, view.call.path("id")
    found = agents.agent(db, name)
    of_agent, num_results = results.results(db, results.Filter(agent=name), FEW, 0)
    pushed, num_commits = commits.listed(db, name, FEW, 0)
    return {
        "agent": found,
        "results": of_agent,
        "num_results": num_results,
        "commits": pushed,
        "num_commits": num_commits,
        "of_commits": results.of_commits(db, [one["hash"] for one in pushed]),
        "claims": claims.open_claims(db, "", name, view.now),
        "posts": board.shown(db, (threads.recent(db, FEW, agent=name, but=CHANNEL), board.SHORT))[0],
    }
