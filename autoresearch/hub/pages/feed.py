"""News for pages that are open: what kind of thing happened, not what; for anybody, as the pages are."""

import asyncio
import json
from collections.abc import AsyncIterator

from starlette.responses import Response

from autoresearch.errors import HubError
from autoresearch.hub.server.context import Call, Hub
from autoresearch.hub.server.events import HEARTBEAT_S, RETRY_S, open_stream
from autoresearch.hub.store import events

CALM_S = 0.5


async def show(call: Call) -> Response:
    """A stream of server-sent events; half of all places stay with those who have a key."""
    hub = call.hub
    if hub.feed.num_listeners >= hub.limits.listeners // 2:
        raise HubError(503, "too many listen; ask for the page now and then", retry_after_s=60)
    heard = call.request.headers.get("last-event-id") or call.query("since")
    return open_stream(hub, heard, call.request.method == "HEAD", _kinds_after)


async def _kinds_after(hub: Hub, last: int) -> AsyncIterator[bytes]:
    """One message for all that happened at a time, at most two of them a second."""
    yield f"retry: {1000 * RETRY_S}\n\n".encode()
    while not hub.bell.is_closed:
        if kinds := events.kinds_since(hub.db, last):
            last = events.last(hub.db)
            yield f"id: {last}\ndata: {json.dumps({'last': last, 'kinds': kinds})}\n\n".encode()
            await asyncio.sleep(CALM_S)
        elif not await hub.bell.wait(HEARTBEAT_S):
            yield b": nothing new\n\n"
