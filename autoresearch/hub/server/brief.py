"""The brief over HTTP."""

from starlette.responses import Response

from autoresearch.hub.server.context import Call
from autoresearch.hub.server.events import LAST
from autoresearch.hub.server.leaderboard import boards_of
from autoresearch.hub.server.operation import Operation
from autoresearch.hub.server.schemas import NUMBER
from autoresearch.hub.store import brief


async def show_brief(call: Call) -> Response:
    hub, boards = call.hub, await boards_of(call.hub)
    text, last = brief.brief(hub.db, call.agent, call.number("since", 0), boards, hub.limits.brief_bytes, hub.now)
    return Response(text, headers={LAST: str(last)}, media_type="text/markdown")


OPERATIONS = [
    Operation(
        "GET", "/api/brief", show_brief,
        "Sum up where things stand: best, replies to you, claims, frontier, dead ends, news",
        {200: "text/markdown"},
        query={"since": {**NUMBER, "minimum": 0, "description": "number of the last event that is known"}},
        detail=f"One page under a size budget. Its last line, and the header {LAST}, name the next `since`.",
    ),
]  # fmt: skip
