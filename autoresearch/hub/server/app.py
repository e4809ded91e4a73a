"""The ASGI application: routes, and errors in the form of the wire."""

from collections.abc import Sequence

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from autoresearch.errors import HubError
from autoresearch.hub.pages import site
from autoresearch.hub.pages.page import problem
from autoresearch.hub.server import board, brief, claims, events, git, guide, leaderboard, members, results, search
from autoresearch.hub.server.context import Hub, refusal
from autoresearch.hub.server.guard import LOOPBACK, Guard
from autoresearch.hub.server.operation import to_route

OPERATIONS = [
    *members.OPERATIONS,
    *board.OPERATIONS,
    *git.OPERATIONS,
    *results.OPERATIONS,
    *leaderboard.OPERATIONS,
    *claims.OPERATIONS,
    *events.OPERATIONS,
    *brief.OPERATIONS,
    *search.OPERATIONS,
    *guide.OPERATIONS,
    *site.OPERATIONS,
]


async def refuse(request: Request, error: Exception) -> Response:
    """Unknown routes and methods; a page for whoever asks for one."""
    assert isinstance(error, HTTPException)
    told = HubError(error.status_code, error.detail.lower())
    response = problem(told) if "text/html" in request.headers.get("accept", "") else refusal(told)
    if error.status_code == 405:  # each method of a path is a route of its own
        routes = [one for one in request.app.routes if isinstance(one, Route) and one.matches(request.scope)[1]]
        response.headers["Allow"] = ", ".join(sorted({method for one in routes for method in one.methods or ()}))
    return response


async def fail(request: Request, error: Exception) -> Response:
    """What nobody foresaw: the log has the traceback, the client a word."""
    return refusal(HubError(500, "internal error"))


def make_app(hub: Hub, hosts: Sequence[str] = LOOPBACK) -> ASGIApp:
    """The application of one hub.

    Args:
        hosts: names and addresses that it answers to; `*` for any.
    """
    app = Starlette(
        routes=[to_route(operation, hub) for operation in OPERATIONS],
        exception_handlers={HTTPException: refuse, Exception: fail},
    )
    app.state.operations = OPERATIONS
    app.router.redirect_slashes = False  # there is one way to write a path
    return Guard(app, hosts)
