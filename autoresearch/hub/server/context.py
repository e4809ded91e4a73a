"""What every handler is given: the hub, and one call of it."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import Response

from autoresearch.errors import HubError
from autoresearch.hub.limits import Limits
from autoresearch.hub.pages.shelf import Shelf
from autoresearch.hub.server.feed import Bell, Feed
from autoresearch.hub.server.fetches import Fetches
from autoresearch.hub.server.tally import Tally
from autoresearch.hub.store import Database
from autoresearch.repo.bare import Bare

T = TypeVar("T")
PAGE = 50
MOST = 200
INT64 = 2**63 - 1


@dataclass
class Hub:
    """One hub: where it lies, what it allows, and its one connection, which only the event loop uses."""

    folder: Path
    db: Database
    limits: Limits
    clock: Callable[[], float]
    """Seconds since 1970 UTC."""
    workers: ThreadPoolExecutor
    """For git, backups and exports: whatever takes longer than a millisecond."""
    bare: Bare
    """The repository; its own processes, in threads."""
    bell: Bell = field(default_factory=Bell)
    tally: Tally = field(default_factory=lambda: Tally(lambda text: None))
    reached: Callable[[str], None] = lambda step: None
    """Called after each step of a push with its name."""
    publishing: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while a pack is moved into the repository and its commits are recorded."""
    uploading_bytes: int = 0
    """Of all uploads that are under way."""
    feed: Feed = field(init=False)
    fetches: Fetches = field(init=False)
    boards: dict[tuple[str, str], tuple[str, asyncio.Future[Any]]] = field(default_factory=dict)
    """Leaderboards of a metric and a direction, with the version of the results from which they are made."""
    shelf: Shelf = field(default_factory=Shelf)
    """Pages that were made a moment ago."""

    def __post_init__(self) -> None:
        self.feed = Feed(self.db, self.bell, self.limits.stalled_s)
        self.fetches = Fetches(self.limits.fetches)

    @property
    def now(self) -> int:
        """Whole seconds since 1970 UTC."""
        return int(self.clock())

    async def work(self, function: Callable[..., T], *args: Any) -> T:
        """Run what takes its time in a thread; it must not touch the connection."""
        return await asyncio.get_running_loop().run_in_executor(self.workers, function, *args)

    async def read(self, function: Callable[..., T], *args: Any) -> T:
        """Call `function(db, *args)` in a thread, on a connection of its own: for reads of more than a few ms."""

        def apart() -> T:
            db = Database(self.db.path, read_only=True)
            try:
                return function(db, *args)
            finally:
                db.close()

        return await self.work(apart)


@dataclass(frozen=True)
class Call:
    """One request, read and checked as far as its operation asks."""

    hub: Hub
    request: Request
    agent: str
    """Who calls; 'admin' for the administrator, '' where nobody has to say."""
    body: dict[str, Any]
    """The JSON object that was sent; empty where the operation takes none."""

    def path(self, name: str) -> str:
        """A part of the path."""
        return self.request.path_params[name]

    def query(self, name: str, default: str = "") -> str:
        """A parameter of the query; the last one counts."""
        return self.request.query_params.get(name, default)

    def number(self, name: str, default: int, lowest: int = 0) -> int:
        """A whole number of the query; whatever is none, or below `lowest`, reads as the default."""
        text = self.query(name)
        if not (text.isascii() and text.isdigit()) or not lowest <= (value := int(text[:20])) <= INT64:
            return default
        return value

    def serial(self, name: str, refusal: str) -> int:
        """The number of something in the path.

        Raises:
            HubError: 400 with the refusal.
        """
        text = self.path(name)
        if not (text.isascii() and text.isdigit()) or len(text) > 19 or int(text) > INT64:
            raise HubError(400, refusal)
        return int(text)

    def page(self, default: int = PAGE, most: int = MOST) -> tuple[int, int]:
        """Limit and offset of a list; junk reads as the default."""
        return min(self.number("limit", default, 1), most), self.number("offset", 0)

    def listed(self, rows: list[Any], total: int, limit: int, offset: int) -> Response:
        """A bare array; how many there are and where the others lie stands in the headers."""
        url, links = self.request.url, []
        if offset + limit < total:
            links.append((offset + limit, "next"))
        if offset:
            links.append((max(0, offset - limit), "prev"))
        link = ", ".join(
            f'<{url.include_query_params(limit=limit, offset=place)}>; rel="{name}"' for place, name in links
        )
        headers = {"X-Total-Count": str(total), **({"Link": link} if link else {})}
        return answer(rows, headers=headers)


Handler = Callable[[Call], Awaitable[Response]]


def answer(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A JSON body, which ends with a newline."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    body = text.encode(errors="replace") + b"\n"
    return Response(body, status, headers=headers, media_type="application/json")


def refusal(error: HubError) -> Response:
    """What a refusal looks like on the wire."""
    headers = {"Retry-After": str(error.retry_after_s)} if error.retry_after_s is not None else {}
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return answer({"error": str(error), **error.more}, error.status, headers)
