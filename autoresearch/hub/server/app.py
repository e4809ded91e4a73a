"""The ASGI application: routes, the names it answers to, and errors in the form of the wire."""

from collections.abc import Sequence

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from autoresearch.errors import HubError
from autoresearch.hub.pages import site
from autoresearch.hub.pages.page import problem
from autoresearch.hub.server import board, brief, claims, events, leaderboard, members, results, search
from autoresearch.hub.server.context import Hub, refusal
from autoresearch.hub.server.operation import to_route

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
OPERATIONS = [
    *members.OPERATIONS,
    *board.OPERATIONS,
    *results.OPERATIONS,
    *leaderboard.OPERATIONS,
    *claims.OPERATIONS,
    *events.OPERATIONS,
    *brief.OPERATIONS,
    *search.OPERATIONS,
    *site.OPERATIONS,
]


class KnownHosts:
    """Answers only to names that are the hub's: a name that was rebound to this address reads nothing."""

    def __init__(self, app: ASGIApp, names: Sequence[str]):
        self.app, self.names = app, {name.lower() for name in names}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            name = Request(scope).headers.get("host", "").lower()
            if not name.endswith("]"):
                name = name.rpartition(":")[0] or name
            if name not in self.names and "*" not in self.names:
                await refusal(HubError(403, f"this hub does not answer to the name {name!r}; see `--host`"))(
                    scope, receive, send
                )
                return
        await self.app(scope, receive, send)


async def refuse(request: Request, error: Exception) -> Response:
    """Unknown routes and methods; a page for whoever asks for one."""
    assert isinstance(error, HTTPException)
    told = HubError(error.status_code, error.detail.lower())
    response = problem(told) if "text/html" in request.headers.get("accept", "") else refusal(told)
    response.headers.update(error.headers or {})
    return response


async def fail(request: Request, error: Exception) -> Response:
    """What nobody foresaw: the log has the traceback, the client a word."""
    return refusal(HubError(500, "internal error"))


def make_app(hub: Hub, hosts: Sequence[str] = LOOPBACK) -> Starlette:
    """The application of one hub.

    Args:
        hosts: names and addresses that it answers to; `*` for any.
    """
    return Starlette(
        routes=[to_route(operation, hub) for operation in OPERATIONS],
        middleware=[Middleware(KnownHosts, names=hosts)],
        exception_handlers={HTTPException: refuse, Exception: fail},
    )
