"""Pages that were made a moment ago: what many readers ask for at once is made once."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from autoresearch.errors import HubError

MOST_BYTES = 16 * 1024 * 1024
TURNS = 2
MOST_WAITING = 100
Make = Callable[[], Awaitable[bytes]]


@dataclass(frozen=True)
class Kept:
    """A page as it was sent."""

    body: bytes
    mark: int
    """The newest event that it tells of."""
    made: float
    """Seconds on the clock of the event loop."""


class Shelf:
    """Made pages by their address, the least asked for thrown away first."""

    def __init__(self, young_s: float = 1.0, old_s: float = 30.0):
        """Set up an empty shelf.

        Args:
            young_s: age up to which a page is good whatever has happened since.
            old_s: age up to which it is good if nothing has.
        """
        self.young_s, self.old_s = young_s, old_s
        self._kept: OrderedDict[str, Kept] = OrderedDict()
        self._under_way: dict[str, asyncio.Future[bytes]] = {}
        self._num_bytes = 0
        self._turn = asyncio.Semaphore(TURNS)  # the other workers stay free for pushes

    async def fetch(self, key: str, mark: int, make: Make) -> bytes:
        """A page from the shelf, or a new one.

        Args:
            mark: the newest event there is.
            make: makes the page; what it raises is passed on and not kept.

        Raises:
            HubError: 503, so many others are waited for that this one would take long.
        """
        if found := self._find(key, mark):
            return found
        if key not in self._under_way:
            if len(self._under_way) >= MOST_WAITING:
                raise HubError(503, "too many pages are asked for at once; try again soon", retry_after_s=5)
            task = self._under_way[key] = asyncio.ensure_future(self._make(key, mark, make))
            task.add_done_callback(lambda _: self._under_way.pop(key))
        return await asyncio.shield(self._under_way[key])  # one who goes away takes nothing from the others

    async def _make(self, key: str, mark: int, make: Make) -> bytes:
        async with self._turn:
            begun = asyncio.get_running_loop().time()
            body = await make()
            self._keep(key, Kept(body, mark, begun))
            return body

    def _find(self, key: str, mark: int) -> bytes | None:
        found = self._kept.get(key)
        if not found:
            return None
        age_s = asyncio.get_running_loop().time() - found.made
        if age_s >= (self.old_s if found.mark >= mark else self.young_s):
            return None
        self._kept.move_to_end(key)
        return found.body

    def _keep(self, key: str, page: Kept) -> None:
        if old := self._kept.pop(key, None):
            self._num_bytes -= len(old.body)
        self._kept[key] = page
        self._num_bytes += len(page.body)
        while self._num_bytes > MOST_BYTES:
            _, dropped = self._kept.popitem(last=False)
            self._num_bytes -= len(dropped.body)
