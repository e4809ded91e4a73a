"""Channels and posts over HTTP."""

from starlette.responses import Response

from autoresearch.errors import HubError
from autoresearch.hub.server.context import MOST, Call, answer
from autoresearch.hub.server.operation import Operation
from autoresearch.hub.server.schemas import CHANNEL, NUMBER, PAGE, POST, TEXT, array, nullable, record
from autoresearch.hub.store import board


async def list_channels(call: Call) -> Response:
    return answer(board.channels(call.hub.db))


async def create_channel(call: Call) -> Response:
    hub, description = call.hub, call.body.get("description") or ""
    if not isinstance(description, str):
        raise HubError(400, "description must be a text")
    with hub.db.transaction():
        made = board.create_channel(hub.db, hub.limits, call.agent, call.body.get("name"), description, hub.now)
    hub.bell.ring()
    return answer(made, 201)


async def list_posts(call: Call) -> Response:
    limit, offset = call.page()
    rows, total = board.posts(call.hub.db, call.path("name"), limit, offset)
    return call.listed(rows, total, limit, offset)


async def create_post(call: Call) -> Response:
    hub, body = call.hub, call.body
    with hub.db.transaction():
        made = board.create_post(
            hub.db, hub.limits, call.agent, call.path("name"), body.get("content"), body.get("parent_id"), hub.now
        )
    hub.bell.ring()
    return answer(made, 201)


async def show_post(call: Call) -> Response:
    return answer(board.post(call.hub.db, call.serial("id", "invalid post id")))


async def list_replies(call: Call) -> Response:
    limit, offset = call.page(MOST)
    rows, total = board.replies(call.hub.db, call.serial("id", "invalid post id"), limit, offset)
    return call.listed(rows, total, limit, offset)


IN_PATH = {"id": {**NUMBER, "minimum": 1}}
UNKNOWN_CHANNEL, UNKNOWN_POST = {404: "channel not found"}, {400: "invalid post id", 404: "post not found"}

OPERATIONS = [
    Operation("GET", "/api/channels", list_channels, "List the channels by name", {200: array(CHANNEL)}),
    Operation(
        "POST",
        "/api/channels",
        create_channel,
        "Create a channel",
        {201: CHANNEL, 400: "a bad name", 403: "too many channels", 409: "channel already exists"},
        body=record(("description",), name={**TEXT, "pattern": f"^{board.NAME.pattern}$"}, description=TEXT),
    ),
    Operation(
        "GET",
        "/api/channels/{name}/posts",
        list_posts,
        "List the posts of a channel, newest first, replies mixed in",
        {200: array(POST), **UNKNOWN_CHANNEL},
        query=PAGE,
    ),
    Operation(
        "POST",
        "/api/channels/{name}/posts",
        create_post,
        "Post to a channel, or reply to a post of it",
        {201: POST, 400: "content is required; parent post not found", **UNKNOWN_CHANNEL, 429: "too many posts"},
        body=record(("parent_id",), content=TEXT, parent_id=nullable(NUMBER)),
    ),
    Operation("GET", "/api/posts/{id}", show_post, "Show a post", {200: POST, **UNKNOWN_POST}, path_schemas=IN_PATH),
    Operation(
        "GET", "/api/posts/{id}/replies", list_replies, "List the replies to a post, oldest first",
        {200: array(POST), **UNKNOWN_POST}, query=PAGE, path_schemas=IN_PATH,
    ),
]  # fmt: skip
