"""Notes when something began and ended, for the timeline; any thread may note."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pydantic import Field

from autoresearch.records import Record

CALL = "llm.chat_completion"
"""Name of the spans that tell what a question to a language model cost."""


class Span(Record):
    """One bar of the timeline."""

    name: str
    begun_s: float
    """Seconds by a clock that stands still with the machine; the engine turns them into its own."""
    seconds: float
    lane: str
    """The row it is drawn in."""
    args: dict[str, Any] = Field(default_factory=dict)


class Spans:
    """Collects spans until somebody drains them."""

    def __init__(self) -> None:
        self._lock, self._found = threading.Lock(), list[Span]()

    @contextmanager
    def span(self, name: str, lane: str = "", **args: Any) -> Iterator[dict[str, Any]]:
        """Note the block as one span.

        Args:
            lane: row of the timeline; by default the part of the name before the dot.

        Yields:
            `args`, to be completed while the block runs (attempts, status); an exception adds `error`.
        """
        begun = time.monotonic()
        try:
            yield args
        except BaseException as error:
            args["error"] = f"{type(error).__name__}: {error}"[:300]
            raise
        finally:
            self.add(name, begun, lane, args)

    def add(self, name: str, begun_s: float, lane: str = "", args: dict[str, Any] | None = None) -> None:
        """Note what began at a reading of `time.monotonic()` and ends now."""
        seconds = time.monotonic() - begun_s
        one = Span(name=name, begun_s=begun_s, seconds=seconds, lane=lane or name.split(".")[0], args=args or {})
        with self._lock:
            self._found.append(one)

    def drain(self) -> list[Span]:
        """Take what was noted since the last time."""
        with self._lock:
            found, self._found = self._found, []
        return found
