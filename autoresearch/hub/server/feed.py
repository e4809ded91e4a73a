"""News on their way to those who wait: a bell, and the latest events, each encoded once for everybody.

A listener is a place in the row of events and nothing more: one that is slow reads from the database what has left the
feed, so that memory does not grow with its delay.
"""

import asyncio
import json
import math
from collections import deque
from typing import Any

from autoresearch.hub.store import Database, events

NUM_KEPT = 256
NUM_READ = 50


class Bell:
    """Wakes everybody who waits for news; rung after a transaction that wrote events."""

    def __init__(self) -> None:
        self._news = asyncio.Event()
        self.num_rings = 0
        self.is_closed = False
        """Set when the hub ends: nobody shall wait any more."""

    def ring(self) -> None:
        """Wake all who wait now."""
        self.num_rings += 1
        self._news.set()
        self._news = asyncio.Event()

    def close(self) -> None:
        """Wake all who wait, for the last time."""
        self.is_closed = True
        self.ring()

    async def wait(self, seconds: float) -> bool:
        """Wait for the next ring; False when the time is over first."""
        if self.is_closed:
            return True
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            return False
        return True


class Feed:
    """The latest events as server-sent events."""

    def __init__(self, db: Database, bell: Bell, stalled_s: float = math.inf):
        self.db, self.bell = db, bell
        self.stalled_s = stalled_s
        """Seconds after which a listener that takes nothing is dropped."""
        self.num_listeners = 0
        """Streams that are open."""
        self._latest: deque[tuple[int, bytes]] = deque(maxlen=NUM_KEPT)
        self._start = self._end = events.last(db)
        self._rings_seen = bell.num_rings
        self._version = self._others_version()

    def _others_version(self) -> int:
        return self.db.value("PRAGMA data_version")

    def look(self) -> None:
        """Ring if another process has written to the database."""
        if self._version != (version := self._others_version()):
            self._version = version
            self.bell.ring()

    def after(self, last: int) -> tuple[bytes, int]:
        """The next events after number `last`, encoded, and the number of the last of them; a few at a time."""
        self._read_on()
        if last < self._start:
            rows = events.since(self.db, last, NUM_READ)
            return b"".join(map(encode, rows)), rows[-1]["id"] if rows else last
        parts = []
        for number, text in reversed(self._latest):
            if number <= last:
                break
            parts.append(text)
        return b"".join(reversed(parts)), max(last, self._end)

    def _read_on(self) -> None:
        """Encode what has happened since."""
        if self._rings_seen == self.bell.num_rings:
            return
        self._rings_seen = self.bell.num_rings
        while rows := events.since(self.db, self._end):
            for row in rows:
                if len(self._latest) == NUM_KEPT:
                    self._start = self._latest[0][0]
                self._latest.append((row["id"], encode(row)))
            self._end = rows[-1]["id"]


def encode(event: dict[str, Any]) -> bytes:
    """An event as text/event-stream has it."""
    data = json.dumps(event, ensure_ascii=False, separators=(",", ":"))
    return f"id: {event['id']}\ndata: {data}\n\n".encode(errors="replace")
