"""What people open: results.tsv, versions, checkpoint.json, events.jsonl, timeline.json.

All of it is made from the store, anew at every start, so that a kill in the middle of a write costs nothing. What
cannot be written does not stop the search: all files are made anew with the next trial that is over.
"""

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from autoresearch.sandbox import files
from autoresearch.search.config import Config
from autoresearch.search.spans import Span
from autoresearch.search.store import Entry, Event, Store
from autoresearch.search.timeline import Timeline

COLUMNS = (
    *("commit", "metric_name", "metric_value", "status", "decision", "description", "params", "budget_s"),
    *("comparable", "reason"),
)


class Exports:
    """The files of one campaign."""

    def __init__(self, config: Config, store: Store, begun_s: float):
        """Write all of them from the store.

        Args:
            begun_s: seconds since 1970 at which the campaign began.
        """
        self.config, self.paths, self.store, self.begun_s = config, config.telemetry, store, begun_s
        self.timeline: Timeline | None = None
        self.is_stale = False
        """Whether something could not be written."""
        self.last_event = 0
        """Number of the last one that was written."""
        self.write_all()

    def write_all(self) -> None:
        """Make all files from the store; OSError where that cannot be."""
        for path in (self.paths.ledger_path, self.paths.trace_path, self.config.controller.checkpoint_path):
            path.parent.mkdir(parents=True, exist_ok=True)
        over = sorted((entry for entry in self.store.entries() if entry.place), key=lambda entry: entry.place or 0)
        _replace(self.paths.ledger_path, "\t".join(COLUMNS) + "\n" + "".join(map(self.row, over)))
        events = list(self.store.events())
        _replace(self.paths.trace_path, "".join(map(_line, events)))
        self.last_event = events[-1].id if events else 0
        for entry in over:
            if entry.version:
                self.write_version(entry)
        if self.paths.timeline_path:
            self.paths.timeline_path.parent.mkdir(parents=True, exist_ok=True)
            self.timeline = Timeline(self.paths.timeline_path, self.config.name, self.begun_s)
            self.timeline.add(self.store.spans())
        self.is_stale = False

    @contextmanager
    def _lenient(self) -> Iterator[None]:
        """A block that writes; what it cannot is written later."""
        try:
            yield
        except OSError:
            self.is_stale = True

    def row(self, entry: Entry) -> str:
        """A line of results.tsv; a trial without a number has none."""
        result = entry.result
        assert result
        cells = {
            "commit": entry.short_commit(7),
            "metric_name": self.config.objective.metric,
            "metric_value": "" if result.metric is None else repr(result.metric),
            "status": result.status,
            "decision": result.decision,
            "description": entry.proposal.description[:200].replace('"', "'"),
            "params": json.dumps(entry.proposal.params),
            "budget_s": f"{self.config.target.timeout_s:g}",
            "comparable": str(not entry.comparable).lower(),
            "reason": (result.reason or entry.comparable)[:200].replace('"', "'"),
        }
        return "\t".join(" ".join(cells[name].split()) for name in COLUMNS) + "\n"

    def add_result(self, entry: Entry) -> None:
        """Write down a trial that is over, which is in the store already."""
        with self._lenient():
            if self.is_stale:
                self.write_all()
                return
            _append(self.paths.ledger_path, self.row(entry))
            if entry.version:
                self.write_version(entry)

    def add_events(self, events: Iterable[Event]) -> None:
        """Write down what happened."""
        new = [one for one in events if one.id > self.last_event]
        if new and not self.is_stale:
            with self._lenient():
                _append(self.paths.trace_path, "".join(map(_line, new)))
                self.last_event = new[-1].id

    def add_spans(self, spans: Iterable[Span]) -> None:
        """Draw what took time."""
        if self.timeline and not self.is_stale:
            with self._lenient():
                self.timeline.add(spans)

    def version_dir(self, version: int) -> Path:
        """Folder of a kept version."""
        return self.paths.versions_dir / f"v{version:04d}"

    def write_version(self, entry: Entry) -> None:
        """Write version.json of a kept trial."""
        assert entry.version and entry.result
        folder, result = self.version_dir(entry.version), entry.result
        folder.mkdir(parents=True, exist_ok=True)
        model = model_dir(self.config, entry)
        places = [model, model.with_name(f"run-{entry.number:04d}")]  # it gets its name once the trial is recorded
        facts = {
            "version": entry.version,
            "trial": entry.number,
            "objective": self.config.objective.model_dump(),
            "metric": result.metric,
            "metrics": result.metrics,
            "params": entry.proposal.params,
            "diff": entry.proposal.diff,
            "commit": entry.commit,
            "source": entry.proposal.source,
            "rationale": entry.proposal.rationale,
            "model_dir": str(model) if any(any(place.glob("*")) for place in places) else None,
        }
        _replace(folder / "version.json", json.dumps(facts, indent=1) + "\n")

    def write_checkpoint(self, facts: dict[str, Any]) -> None:
        """Say where the campaign stands; the store beside it is what `run` goes on from."""
        with self._lenient():
            if self.is_stale:
                self.write_all()
            _replace(self.config.controller.checkpoint_path, json.dumps(facts, indent=1) + "\n")


def model_dir(config: Config, entry: Entry) -> Path:
    """Where the model of a kept trial lies."""
    shared = config.telemetry.model_output_dir
    return (
        shared / f"v{entry.version:04d}" if shared else config.telemetry.artifacts_dir / f"run-{entry.number:04d}/model"
    )


def set_aside(config: Config) -> list[str]:
    """Rename what another tool or campaign left where a new one writes; returns what was done, in words."""
    paths, said = config.telemetry, []
    for path in (paths.ledger_path, paths.trace_path, paths.timeline_path, config.controller.checkpoint_path):
        if path and path.is_file():
            said.append(_rename(path))
    for folder, pattern in ((paths.artifacts_dir, "run-*"), (paths.versions_dir, "v[0-9]*")):
        said += [_rename(path) for path in sorted(folder.glob(pattern))]
    return said


def _rename(path: Path) -> str:
    number = 1
    while (other := path.with_name(f"old-{number}-{path.name}")).exists():
        number += 1
    path.rename(other)
    return f"{path} was there before this campaign; it is now {other.name}"


def _line(event: Event) -> str:
    return json.dumps({"id": event.id, "at": event.at, "type": event.kind, **event.body}, default=str) + "\n"


def _append(path: Path, text: str) -> None:
    """Write at the end of a file that must be there: a new one would lack what came before."""
    with open(path, "r+") as file:
        file.seek(0, os.SEEK_END)
        file.write(text)


def _replace(path: Path, text: str) -> None:
    aside = path.with_name(f".{path.name}")
    files.write(aside, text)
    aside.replace(path)
