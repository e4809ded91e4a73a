"""Leaderboards over HTTP, and for whoever shows them."""

import asyncio
from typing import Any

from starlette.responses import Response

from autoresearch.errors import HubError
from autoresearch.hub import leaderboard
from autoresearch.hub.server.context import MOST, PAGE, Call, Hub, answer
from autoresearch.hub.server.operation import Operation, Schema
from autoresearch.hub.server.schemas import LIMIT, NUMBER, TEXT, array, nullable, record
from autoresearch.hub.store import Database, results
from autoresearch.hub.store.measurement import METRIC

NUM_BOARDS = 16
DIRECTIONS = ("min", "max")


async def show_leaderboard(call: Call) -> Response:
    metric, direction = call.query("metric", METRIC), call.query("direction", "min")
    if direction not in DIRECTIONS:
        raise HubError(400, f"direction must be min or max but got {direction!r:.80}")
    platform, limit = call.query("platform").casefold(), min(call.number("limit", PAGE, 1), MOST)
    return answer([
        {**board, "metric": metric, "entries": board["entries"][:limit]}
        for board in await boards_of(call.hub, metric, direction)
        if platform in ("", board["platform"].casefold())
    ])  # fmt: skip


async def boards_of(hub: Hub, metric: str = METRIC, direction: str = "min") -> list[dict[str, Any]]:
    """All leaderboards of a metric: made once for each state of the results, in a thread."""
    version, key = results.version(hub.db), (metric, direction)
    if key not in hub.boards or hub.boards[key][0] != version:
        if len(hub.boards) >= NUM_BOARDS:
            hub.boards.clear()
        made = asyncio.ensure_future(hub.read(make_boards, metric, direction))
        hub.boards[key] = version, made
    try:
        return await asyncio.shield(hub.boards[key][1])
    except Exception:
        hub.boards.pop(key, None)
        raise


def make_boards(db: Database, metric: str, direction: leaderboard.Direction) -> list[dict[str, Any]]:
    """The leaderboards of the results that are there now."""
    return leaderboard.boards(results.scored(db, metric), direction, MOST)


REAL: Schema = {"type": "number"}
ENTRY = record(
    rank=NUMBER, label={"enum": ["baseline", "record", "candidate", ""]},
    trust={"enum": ["self-reported", "replicated", "disputed"]}, commit=TEXT, train_blob=nullable(TEXT),
    description=TEXT, agents=array(TEXT), n=NUMBER, mean=REAL, sd=nullable(REAL), best=REAL, low=nullable(REAL),
    high=nullable(REAL), against=nullable(TEXT), gain=nullable(REAL), needed=nullable(REAL),
    first_result=NUMBER, last_result=NUMBER,
)  # fmt: skip
BOARD = record(
    platform=TEXT, regime=TEXT, metric=TEXT, direction={"enum": list(DIRECTIONS)}, sigma=nullable(REAL),
    degrees_of_freedom=REAL, num_results=NUMBER, num_groups=NUMBER, record=ENTRY, records=array(ENTRY),
    entries=array(ENTRY),
)  # fmt: skip
OPERATIONS = [
    Operation(
        "GET", "/api/leaderboard", show_leaderboard, "Rank what was measured, for each platform and regime",
        {200: array(BOARD), 400: "an unknown direction"},
        query={"platform": TEXT, "metric": {**TEXT, "default": METRIC}, "limit": LIMIT,
               "direction": {"enum": list(DIRECTIONS), "default": "min"}},
    ),
]  # fmt: skip
