"""News over HTTP: a long poll for curl, and a stream of server-sent events."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable

from starlette.responses import Response, StreamingResponse
from starlette.types import Message, Send

from autoresearch.errors import HubError
from autoresearch.hub.server.context import Call, Hub, answer
from autoresearch.hub.server.operation import Operation
from autoresearch.hub.server.schemas import NUMBER, TEXT, TIME, array, record
from autoresearch.hub.store import events

NUM_EVENTS = 100
WAIT_S = 60
HEARTBEAT_S = 15
RETRY_S = 3
LAST = "X-Last-Event-ID"
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
Tell = Callable[[Hub, int], AsyncIterator[bytes]]
EVENT = record(id=NUMBER, kind=TEXT, agent_id=TEXT, subject=TEXT, data={}, created_at=TIME)


async def list_events(call: Call) -> Response:
    hub, limit = call.hub, min(call.number("limit", NUM_EVENTS, 1), events.MOST)
    since = min(call.number("since", 0), events.last(hub.db))
    until = time.monotonic() + min(call.number("wait", 0), WAIT_S)
    while not (rows := events.since(hub.db, since, limit)):
        left_s = until - time.monotonic()
        if left_s <= 0 or hub.bell.is_closed:
            break
        await hub.bell.wait(left_s)
    return answer(rows, headers={LAST: str(rows[-1]["id"] if rows else since)})


async def stream_events(call: Call) -> Response:
    resume = call.request.headers.get("last-event-id") or call.query("since")
    return open_stream(call.hub, resume, is_head=call.request.method == "HEAD")


def open_stream(hub: Hub, resume: str, is_head: bool = False, tell: Tell | None = None) -> Response:
    """The answer to a listener.

    Args:
        resume: number of the last event that it has; anything else means that it wants what is new from now on.
        is_head: only the headers are asked for.
        tell: what is sent of the events after a number; all about them unless told.

    Raises:
        HubError: 503, too many listen.
    """
    if hub.feed.num_listeners >= hub.limits.listeners:
        raise HubError(503, f"at most {hub.limits.listeners} may listen; ask /api/events?wait=30", retry_after_s=60)
    newest = events.last(hub.db)
    start = min(int(resume[:20]), newest) if resume.isascii() and resume.isdigit() else newest
    if is_head:
        return Response(headers=HEADERS, media_type=Stream.media_type)
    return Stream(hub, start, tell or news_after)


class Stream(StreamingResponse):
    """Events without end; a listener that takes nothing for long is dropped, and may resume."""

    media_type = "text/event-stream"

    def __init__(self, hub: Hub, last: int, tell: Tell):
        super().__init__(tell(hub, last), headers=HEADERS)
        self.feed = hub.feed

    async def stream_response(self, send: Send) -> None:
        """Send what is new until the listener goes, or stalls, or the hub ends."""

        async def send_in_time(message: Message) -> None:
            async with asyncio.timeout(self.feed.stalled_s):
                await send(message)

        self.feed.num_listeners += 1
        try:
            with contextlib.suppress(TimeoutError):
                await super().stream_response(send_in_time)
        finally:
            self.feed.num_listeners -= 1


async def news_after(hub: Hub, last: int) -> AsyncIterator[bytes]:
    """Events after number `last` as they happen, and a comment where there are none for long."""
    yield f"retry: {1000 * RETRY_S}\n\n".encode()
    while not hub.bell.is_closed:
        text, last = hub.feed.after(last)
        if text:
            yield text
        elif not await hub.bell.wait(HEARTBEAT_S):
            yield b": still here\n\n"


OPERATIONS = [
    Operation(
        "GET", "/api/events", list_events, "List what happened after an event, oldest first, or wait for it",
        {200: array(EVENT)},
        query={"since": {**NUMBER, "minimum": 0, "description": "number of the last event that is known"},
               "wait": {**NUMBER, "minimum": 0, "description": f"seconds to wait for news, at most {WAIT_S}"},
               "limit": {**NUMBER, "minimum": 1, "description": f"at most {events.MOST}; {NUM_EVENTS} unless told"}},
        detail="Kinds: register, commit, channel, post, claim, release, result, and recount, an older result that "
        f"now counts or no longer does. The header {LAST} has the number with which to ask for what comes next.",
    ),
    Operation(
        "GET", "/api/stream", stream_events, "Listen to what happens, as server-sent events",
        {200: "text/event-stream", 503: "too many listeners"},
        query={"since": {**NUMBER, "minimum": 0, "description": "as Last-Event-ID; without either: from now on"}},
        detail="Each event carries its number as `id` and what /api/events shows as `data`; send the number of the "
        "last one as Last-Event-ID to go on after it. A comment comes every 15 s where nothing happens.",
    ),
]  # fmt: skip
