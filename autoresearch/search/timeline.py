"""The timeline: a JSON file of trace events that chrome://tracing and ui.perfetto.dev open at any time."""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from autoresearch.search.spans import Span

HEAD = '{"displayTimeUnit": "ms", "traceEvents": [\n'
TAIL = "\n]}\n"


class Timeline:
    """The file as this process goes on writing it; it is valid JSON after every call."""

    def __init__(self, path: Path, name: str, begun_s: float):
        """Write it anew, empty.

        Args:
            begun_s: seconds since 1970 that the timeline counts from.
        """
        self.path, self.begun_s = path, begun_s
        self.lanes: dict[str, int] = {}
        first = {"name": "process_name", "ph": "M", "pid": 1, "tid": 0, "args": {"name": name}}
        aside = path.with_name(f".{path.name}")
        aside.write_text(HEAD + json.dumps(first) + TAIL)
        aside.replace(path)

    def add(self, spans: Iterable[Span]) -> None:
        """Draw spans whose `begun_s` counts from 1970; one write puts them in the place of the end of the file."""
        events = [event for span in spans for event in self._events(span)]
        if not events:
            return
        text = "".join(f",\n{json.dumps(event, default=str)}" for event in events) + TAIL
        with open(self.path, "r+b", buffering=0) as file:
            file.seek(-len(TAIL), os.SEEK_END)
            file.write(text.encode())

    def _events(self, span: Span) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        if span.lane not in self.lanes:
            self.lanes[span.lane] = len(self.lanes) + 1
            named = {"name": "thread_name", "ph": "M", "pid": 1, "tid": self.lanes[span.lane]}
            found.append({**named, "args": {"name": span.lane}})
        times = {"ts": round(1e6 * (span.begun_s - self.begun_s)), "dur": max(1, round(1e6 * span.seconds))}
        drawn = {"name": span.name, "cat": span.name.split(".")[0], "ph": "X", "pid": 1, "tid": self.lanes[span.lane]}
        return [*found, {**drawn, **times, "args": span.args}]
