"""News for pages that are open: what kind of thing happened, not what; for anybody, as the pages are."""

import asyncio
import json
from collections.abc import AsyncIterator

from starlette.responses import Response, StreamingResponse

from autoresearch.errors import HubError
from autoresearch.hub.pages.page import HEADERS
from autoresearch.hub.server.context import Call, Hub
from autoresearch.hub.store import events

MOST_LISTENERS = 1000
CALM_S = 0.5
SILENCE_S = 20
RETRY_MS = 3000


async def show(call: Call) -> Response:
    """A stream of server-sent events; a page that gets none asks for itself now and then."""
    hub = call.hub
    if hub.shelf.listeners >= MOST_LISTENERS:
        raise HubError(503, f"at most {MOST_LISTENERS} pages listen at a time", retry_after_s=60)
    heard = call.request.headers.get("last-event-id", "")
    last = int(heard[:18]) if heard.isascii() and heard.isdigit() else call.number("since", events.last(hub.db))
    headers = {**HEADERS, "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(_tell(hub, last), headers=headers, media_type="text/event-stream")


async def _tell(hub: Hub, last: int) -> AsyncIterator[str]:
    """One message for all that happened at a time, at most two of them a second."""
    hub.shelf.listeners += 1
    try:
        yield f"retry: {RETRY_MS}\n\n"
        while True:
            if news := events.kinds_since(hub.db, last):
                last = events.last(hub.db)
                yield f"id: {last}\ndata: {json.dumps({'last': last, 'kinds': news})}\n\n"
                await asyncio.sleep(CALM_S)
            elif not await hub.bell.wait(SILENCE_S):
                yield ": nothing new\n\n"
    finally:
        hub.shelf.listeners -= 1
