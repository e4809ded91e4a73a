"""What the tests of the report share: the story of a checkout or of a table, and a way to change a record."""

import json
from pathlib import Path

from autoresearch.report import sources, story

NOW = "2026-11-21T07:00:00+00:00"
UPSTREAM = "commit\tval_bpb\tmemory_gb\tstatus\tdescription\n"


def source_in(root: Path) -> sources.Source:
    return sources.of_checkout(root, {})


def story_in(root: Path, is_alive: bool = False) -> story.Story:
    return story.tell(sources.read(source_in(root)), is_alive)


def ledger_story(folder: Path, table: str, metric: str = "", direction: sources.Direction = "min") -> story.Story:
    path = folder / "results.tsv"
    path.write_text(table)
    return story.tell(sources.read(sources.of_ledger(path, metric, direction, None)), False)


def edit(path: Path, **fields: object) -> None:
    """Give a record other fields."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))
