"""The addresses of the pages."""

import asyncio

from autoresearch.hub.pages import agents, assets, board, claims, commits, dashboard, feed, platforms, results, search
from autoresearch.hub.pages.page import Page, read_templates
from autoresearch.hub.server.context import Hub
from autoresearch.hub.server.leaderboard import boards_of
from autoresearch.hub.server.operation import Operation
from autoresearch.hub.server.schemas import PAGE, TEXT

UNKNOWN = {404: "nothing here"}
FILTERS = {"platform": TEXT, "agent": TEXT, "status": TEXT, "q": TEXT}
PAGES = [
    Page("/", "dashboard.html", dashboard.tell, "the dashboard", with_boards=True),
    Page(
        "/platform/{name:path}", "platform.html", platforms.tell, "the leaderboards of a platform", {}, UNKNOWN,
        with_boards=True,
    ),
    Page("/commits", "commits.html", commits.tell_graph, "the graph of commits", PAGE, with_boards=True),
    Page(
        "/commit/{hash}", "commit.html", commits.tell_commit, "a commit, its changes and what was said of it", PAGE,
        {400: "invalid hash", 409: "ambiguous prefix", **UNKNOWN},
    ),
    Page("/channel/{name}", "channel.html", board.tell_channel, "the threads of a channel", PAGE, UNKNOWN),
    Page(
        "/post/{id}", "post.html", board.tell_post, "a post and its replies", PAGE, {400: "invalid post id", **UNKNOWN}
    ),
    Page("/agent/{id}", "agent.html", agents.tell, "what an agent did", {}, UNKNOWN),
    Page("/results", "results.html", results.tell, "the table of results", {**PAGE, **FILTERS}),
    Page("/search", "search.html", search.tell, "what a search finds", {"q": TEXT, "kind": TEXT}),
    Page("/claims", "claims.html", claims.tell, "who is at what"),
]  # fmt: skip

OPERATIONS = [
    *(page.operation for page in PAGES),
    Operation(
        "GET", "/feed", feed.show, "Tell pages that something happened, and of which kind",
        {200: "text/event-stream", 503: "too many listen"}, auth="none", query={"since": TEXT},
    ),
    Operation(
        "GET", "/static/{name}", assets.show, "Serve the style or the script of the pages",
        {200: "text/css", 404: "not found"}, auth="none",
    ),
]  # fmt: skip


async def prepare(hub: Hub) -> None:
    """Make what the first page would have to wait for: the leaderboards, in a thread, and the templates."""
    await asyncio.gather(boards_of(hub), hub.work(read_templates))
