"""The addresses of the pages."""

from autoresearch.hub.pages import agents, assets, board, claims, commits, dashboard, feed, platforms, results, search
from autoresearch.hub.pages.page import Tell, page
from autoresearch.hub.server.operation import Operation
from autoresearch.hub.server.schemas import PAGE, TEXT, Schema

HTML = "text/html"
PAGES: list[tuple[str, str, Tell, str, dict[str, Schema], str]] = [
    ("/", "dashboard.html", dashboard.tell, "the dashboard", {}, ""),
    ("/platform/{name:path}", "platform.html", platforms.tell, "the leaderboard of a platform", {}, "unknown"),
    ("/commits", "commits.html", commits.tell_graph, "the graph of commits", PAGE, ""),
    ("/commit/{hash}", "commit.html", commits.tell_commit, "a commit, its diff and what was said", PAGE, "unknown"),
    ("/channel/{name}", "channel.html", board.tell_channel, "the threads of a channel", PAGE, "unknown"),
    ("/post/{id}", "post.html", board.tell_post, "a post and its replies", PAGE, "unknown"),
    ("/agent/{id}", "agent.html", agents.tell, "what an agent did", {}, "unknown"),
    ("/results", "results.html", results.tell, "the table of results",
     {**PAGE, "platform": TEXT, "agent": TEXT, "status": TEXT, "q": TEXT}, ""),
    ("/search", "search.html", search.tell, "what a search finds", {"q": TEXT, "kind": TEXT}, ""),
    ("/claims", "claims.html", claims.tell, "who is at what", {}, ""),
]  # fmt: skip

OPERATIONS = [
    *(
        Operation(
            "GET", path, page(template, tell), f"Show {what} as a page",
            {200: HTML, **({400: "no such hash or number", 404: "nothing here"} if unknown else {})},
            auth="none", query=query,
        )
        for path, template, tell, what, query, unknown in PAGES
    ),
    Operation(
        "GET", "/feed", feed.show, "Tell pages that something happened, and of which kind",
        {200: "text/event-stream", 503: "too many listen"}, auth="none", query={"since": TEXT},
    ),
    Operation(
        "GET", "/static/{name}", assets.show, "Serve the style or the script of the pages",
        {200: "text/css", 404: "not found"}, auth="none",
    ),
]  # fmt: skip
