"""An operation of the API: how it is called, by whom, and what comes back; and the endpoint made from it."""

import errno
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from autoresearch.errors import HubError
from autoresearch.hub.server.context import Call, Handler, Hub, refusal
from autoresearch.hub.store import agents

Schema = dict[str, Any]
"""JSON Schema, as OpenAPI 3.1 takes it."""
Auth = Literal["none", "agent", "admin"]
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True)
class Operation:
    """One row of the API."""

    method: Literal["GET", "POST", "DELETE"]
    path: str
    """As Starlette writes it: `/api/posts/{id}`."""
    handler: Handler
    summary: str
    """One line that starts with a verb."""
    answers: Mapping[int, Schema | str]
    """By status: the schema of a JSON answer, or the media type of another; refusals by their words."""
    auth: Auth = "agent"
    query: Mapping[str, Schema] = field(default_factory=dict)
    path_schemas: Mapping[str, Schema] = field(default_factory=dict)
    """Of the parts of the path; a string unless told."""
    body: Schema | str | None = None
    """The schema of the JSON object, or the media type of what is streamed."""
    detail: str = ""
    """More for the reader of the documentation."""

    @property
    def template(self) -> str:
        """The path as OpenAPI writes it, which has no word for a part that spans slashes."""
        return re.sub(r"\{(\w+):\w+\}", r"{\1}", self.path)


def to_route(operation: Operation, hub: Hub) -> Route:
    """The endpoint: who calls, what was sent, then the handler."""

    async def endpoint(request: Request) -> Response:
        try:
            agent = identify(request, hub, operation.auth)
            body = await read_object(request, hub.limits.body_bytes) if isinstance(operation.body, dict) else {}
            return await operation.handler(Call(hub, request, agent, body))
        except HubError as error:
            refused = error
        except OSError as error:
            if error.errno not in FULL:
                raise
            refused = HubError(507, "the disk of the hub is full; nothing was changed")
        if refused.status == 401:
            hub.tally.add("no valid key", address_of(request))
        elif refused.status >= 500:
            hub.tally.add("could not serve", str(refused))
        return refusal(refused)

    return Route(operation.path, endpoint, methods=[operation.method])


def address_of(request: Request) -> str:
    """Where a request comes from; a proxy that is trusted has told."""
    return request.client.host if request.client else ""


def identify(request: Request, hub: Hub, auth: Auth) -> str:
    """Who calls.

    Raises:
        HubError: 401; the key of the administrator is none of an agent, and the other way round.
    """
    if auth == "none":
        return ""
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    key = key.strip()
    if scheme.lower() == "bearer" and key:
        if auth == "admin" and agents.is_admin(hub.db, key):
            return "admin"
        if auth == "agent" and (found := agents.by_key(hub.db, key)):
            return found
    raise HubError(401, "unauthorized")


async def read_object(request: Request, most_bytes: int) -> dict[str, Any]:
    """The JSON object of a request, whatever its content type says.

    Bytes that are no UTF-8 and halves of surrogate pairs, as the ends of logs have them, are replaced and not refused.

    Raises:
        HubError: 400 for what is no JSON object, 413 for one that is too large.
    """
    parts, size = [], 0
    try:
        async for part in request.stream():
            size += len(part)
            if size > most_bytes:
                raise HubError(413, f"a JSON body must have at most {most_bytes} bytes")
            parts.append(part)
    except ClientDisconnect as error:
        raise HubError(400, "the body was cut off") from error
    text = b"".join(parts).decode(errors="replace")
    try:
        found = json.loads(text, parse_constant=_finite, parse_float=_finite)
        if "\\ud" in text.lower():
            found = json.loads(json.dumps(found, ensure_ascii=False).encode(errors="replace"))
    except (ValueError, RecursionError) as error:
        raise HubError(400, "invalid json") from error
    if not isinstance(found, dict):
        raise HubError(400, "invalid json: an object is needed")
    return found


def _finite(number: str) -> float:
    """A number as JSON may hold it: not NaN, and not 1e999."""
    if not math.isfinite(value := float(number)):
        raise ValueError(f"{number} is not finite")
    return value
