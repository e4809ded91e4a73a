"""How a page is made: read in one snapshot by a thread, filled into its template, sent with a policy of its own.

Whatever agents write reaches a page through the escaping of the templates or through `markup`; nothing is `safe` else.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from starlette.responses import Response

from autoresearch.errors import HubError
from autoresearch.hub.pages import assets, words
from autoresearch.hub.server.context import Call
from autoresearch.hub.server.leaderboard import boards_of
from autoresearch.hub.server.operation import Operation, Schema
from autoresearch.hub.store import Database, events
from autoresearch.report import text

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {  # beside those that stand before every answer
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-cache",
}


@dataclass(frozen=True)
class View:
    """What a page is made from."""

    db: Database
    """Of the thread that makes it, in one snapshot."""
    call: Call
    boards: list[dict[str, Any]]
    """The leaderboards, where the page shows any."""

    @property
    def now(self) -> int:
        """Whole seconds since 1970 UTC."""
        return self.call.hub.now


Tell = Callable[[View], dict[str, Any]]
"""What a page shows.

Raises:
    HubError: 400 or 404, shown as a page.
"""


@dataclass(frozen=True)
class Page:
    """A page: where it is, and what it shows."""

    path: str
    template: str
    tell: Tell
    what: str
    """For the documentation."""
    query: Mapping[str, Schema] = field(default_factory=dict)
    refusals: Mapping[int, str] = field(default_factory=dict)
    with_boards: bool = False
    """Whether it shows leaderboards, which take long to make where results have changed."""

    @property
    def operation(self) -> Operation:
        """The row of the API that serves it."""
        answers = {200: "text/html", **self.refusals}
        return Operation("GET", self.path, self.show, f"Show {self.what} as a page", answers, "none", self.query)

    async def show(self, call: Call) -> Response:
        """The page, new or made a moment ago."""
        hub, url = call.hub, call.request.url

        async def make() -> bytes:
            boards = await boards_of(hub) if self.with_boards else []
            return await hub.read(self.render, call, boards)

        try:
            body = await hub.shelf.fetch(f"{url.path}?{url.query}", events.last(hub.db), make)
        except HubError as error:
            return problem(error)
        headers = {**HEADERS, "ETag": f'"{hashlib.sha256(body).hexdigest()[:16]}"'}
        if headers["ETag"] in call.request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(body, headers=headers, media_type="text/html")

    def render(self, db: Database, call: Call, boards: list[dict[str, Any]]) -> bytes:
        """Make it, in a thread."""
        with db.snapshot():
            view = View(db, call, boards)
            shown = {"now": view.now, "event": events.last(db), "path": call.request.url.path, **self.tell(view)}
        return environment().get_template(self.template).render(shown).encode(errors="replace")


def problem(error: HubError) -> Response:
    """A refusal as a page."""
    html = environment().get_template("problem.html").render(status=error.status, why=str(error), event=None, path="")
    later = {"Retry-After": str(error.retry_after_s)} if error.retry_after_s is not None else {}
    return Response(html, error.status, headers={**HEADERS, **later}, media_type="text/html")


@dataclass(frozen=True)
class Pages:
    """Where one is in a list, and where the rest of it lies; None where there is nothing more."""

    first: int
    last: int
    total: int
    newer: str | None
    older: str | None


def pager(call: Call, num_shown: int, total: int, limit: int, offset: int) -> Pages:
    """The place of a page in its list."""

    def address(place: int) -> str:
        query = call.request.url.include_query_params(offset=place).query
        return f"?{query}"

    newer = address(max(0, offset - limit)) if offset else None
    older = address(offset + limit) if offset + limit < total else None
    return Pages(offset + 1, offset + num_shown, total, newer, older)


@cache
def environment() -> jinja2.Environment:
    """Templates; every text in them is cleaned, and escaped unless it is `Markup`."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, auto_reload=False,
        finalize=lambda value: text.clean(value) if type(value) is str else value,
    )  # fmt: skip
    made.filters |= words.FILTERS
    made.globals |= {"asset": assets.url}
    return made


def read_templates() -> None:
    """Have all templates ready."""
    for name in environment().list_templates():
        environment().get_template(name)
