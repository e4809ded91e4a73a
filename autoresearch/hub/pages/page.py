"""How a page is made: read in one snapshot by a thread, filled into its template, sent with headers that let nothing in.

Whatever agents write reaches a page through the escaping of the templates or through `markup`; nothing is `safe` else.
"""

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from starlette.responses import Response

from autoresearch.errors import HubError
from autoresearch.hub.pages import assets, words
from autoresearch.hub.server.context import Call, Handler
from autoresearch.hub.store import Database, events
from autoresearch.hub.store.database import reading

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-cache",
}
Tell = Callable[[Database, Call], dict[str, Any]]
"""What a page shows: reads the database, writes nothing, runs in a thread of its own.

Raises:
    HubError: 400 or 404, shown as a page.
"""


def page(template: str, tell: Tell) -> Handler:
    """The handler of one page."""

    async def show(call: Call) -> Response:
        hub, url = call.hub, call.request.url
        try:
            body = await hub.shelf.fetch(
                f"{url.path}?{url.query}", events.last(hub.db), lambda: hub.work(_render, template, tell, call)
            )
        except HubError as error:
            return problem(error)
        etag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
        if etag in call.request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers={**HEADERS, "ETag": etag})
        return Response(body, headers={**HEADERS, "ETag": etag}, media_type="text/html")

    return show


def problem(error: HubError) -> Response:
    """A refusal as a page."""
    html = environment().get_template("problem.html").render(status=error.status, why=str(error), event=None, path="")
    return Response(html, error.status, headers=HEADERS, media_type="text/html")


def _render(template: str, tell: Tell, call: Call) -> bytes:
    with reading(call.hub.db.path) as db:
        shown = {"now": call.hub.now, "event": events.last(db), "path": call.request.url.path, **tell(db, call)}
    return environment().get_template(template).render(shown).encode(errors="replace")


@cache
def environment() -> jinja2.Environment:
    """Templates, whose every value is escaped."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, auto_reload=False,
    )  # fmt: skip
    made.filters |= words.FILTERS
    made.globals |= {"asset": assets.url}
    return made
