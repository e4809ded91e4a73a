"""What `status CONFIG` prints."""

import time
from pathlib import Path
from typing import Any

from autoresearch.commands import searching, terminal
from autoresearch.errors import Refused
from autoresearch.search import standing
from autoresearch.search.config import Config
from autoresearch.search.executors import PROGRESS
from autoresearch.search.store import Store
from autoresearch.search.trial import Bench
from autoresearch.search.watch import Trail


def show(path: Path, last: int) -> None:
    """Print a search as JSON, also while it runs.

    Raises:
        Refused: it was never begun.
    """
    config = searching.load(path)
    if not config.store_path.exists():
        raise Refused(f"{config.store_path} must exist but does not; begin with `uv run -m autoresearch run {path}`")
    store = Store(config.store_path, readonly=True)
    entries, spent_s, spans = store.entries(), store.fact("spent_s", 0.0), list(store.spans())
    store.close()
    over = sorted((entry for entry in entries if entry.place), key=lambda entry: entry.place or 0)
    facts = standing.overview(config, entries, spent_s, spans)
    facts["in_flight"] = standing.live(entries, lambda number: report(config, number), time.time())
    facts["last"] = [standing.describe(entry) for entry in over[len(over) - min(last, len(over)) :]]
    terminal.print_json(facts)


def report(config: Config, number: int) -> dict[str, Any]:
    """What a running trial reported last."""
    trail = Trail(Bench(config, {}).folder(number) / PROGRESS)
    while trail.read():
        pass
    return trail.reports[-1].model_dump(exclude_defaults=True) if trail.reports else {}
