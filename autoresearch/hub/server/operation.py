"""An operation of the API: how it is called, by whom, and what comes back; and the endpoint made from it."""

import errno
import json
import sqlite3
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


@dataclass(frozen=True)
class Operation:
    """One row of the API."""

    method: Literal["GET", "POST", "DELETE"]
    path: str
    """As Starlette and OpenAPI both write it: `/api/posts/{id}`."""
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


def to_route(operation: Operation, hub: Hub) -> Route:
    """The endpoint: who calls, what was sent, then the handler."""

    async def endpoint(request: Request) -> Response:
        try:
            agent = identify(request, hub, operation.auth)
            body = await read_object(request, hub.limits.body_bytes) if isinstance(operation.body, dict) else {}
            return await operation.handler(Call(hub, request, agent, body))
        except HubError as error:
            return refusal(error)
        except (OSError, sqlite3.OperationalError) as error:
            if not is_full(error):
                raise
            return refusal(HubError(507, "the disk of the hub is full; nothing was changed"))

    return Route(operation.path, endpoint, methods=[operation.method])


def is_full(error: OSError | sqlite3.OperationalError) -> bool:
    """Whether there is no room left on the disk."""
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    return error.sqlite_errorcode == sqlite3.SQLITE_FULL


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
    try:
        found = json.loads(b"".join(parts).decode(), parse_constant=_refuse_constant)
        json.dumps(found, ensure_ascii=False).encode()  # a lone surrogate cannot be stored
    except (ValueError, RecursionError) as error:
        raise HubError(400, "invalid json") from error
    if not isinstance(found, dict):
        raise HubError(400, "invalid json: an object is needed")
    return found


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")
