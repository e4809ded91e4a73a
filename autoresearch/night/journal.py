"""What a night did, on disk: a journal of JSON lines, from which a second start goes on, and a heartbeat.

`begin` opens a night and `end` closes it; between the two it is resumed by whoever starts next.
"""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from autoresearch.errors import Busy
from autoresearch.ledger import locked
from autoresearch.night.rules import Life
from autoresearch.notes import replace


class Journal:
    """The files of the nights of one tag."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.path = folder / "journal.jsonl"
        self.heartbeat = folder / "heartbeat.json"

    def add(self, event: str, now: float, **facts: Any) -> None:
        """Write one event; it is on disk when this returns.

        Raises:
            OSError: it could not be written; the journal is as it was.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        line = json.dumps({"event": event, "time": round(now, 3), **facts}) + "\n"
        with open(self.path, "ab+", buffering=0) as file:
            num_bytes = file.tell()
            is_cut_off = num_bytes and self._lacks_line_end()  # by a kill
            data = (b"\n" if is_cut_off else b"") + line.encode()
            try:
                while data:
                    data = data[file.write(data) :]
                os.fsync(file.fileno())
            except OSError:
                file.truncate(num_bytes)
                raise

    def _lacks_line_end(self) -> bool:
        with open(self.path, "rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read(1) != b"\n"

    def events(self) -> list[dict[str, Any]]:
        """All events, oldest first; a line that was cut off is left out."""
        found = []
        lines = self.path.read_text(errors="replace").splitlines() if self.path.exists() else []
        for line in lines:
            try:
                event = json.loads(line)
            except ValueError:
                continue
            if isinstance(event, dict) and "event" in event:
                found.append(event)
        return found

    def night(self) -> list[dict[str, Any]]:
        """Events of the night that has begun and not ended; empty when there is none."""
        events = self.events()
        begun = max((place for place, one in enumerate(events) if one["event"] == "begin"), default=None)
        if begun is None or any(one["event"] == "end" for one in events[begun:]):
            return []
        return events[begun:]

    def beat(self, facts: Mapping[str, Any]) -> None:
        """Say that the watch is awake, and what it sees."""
        self.folder.mkdir(parents=True, exist_ok=True)
        replace(self.heartbeat, json.dumps(facts) + "\n")

    @contextmanager
    def hold(self, tag: str) -> Iterator[None]:
        """Keep the nights of the tag alone while the block runs.

        Raises:
            Busy: another `drive` keeps them, that of one agent or of one for each device.
        """
        with locked(self.folder / ".lock") as lock:
            if lock is None:
                raise Busy(f"another `drive` keeps {tag}; see {self.folder}")
            yield


def lives_of(events: list[dict[str, Any]]) -> list[Life]:
    """The lives of an agent that a journal tells of."""
    names = ("seconds", "num_attempts", "exit_code", "tail")
    return [Life(**{name: one[name] for name in names}) for one in events if one["event"] == "life"]
