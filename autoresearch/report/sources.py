"""What a night has left behind, read leniently: damage becomes a line of the page, never an end of it.

Nothing is locked and nothing is written, so that a file may change or vanish while it is read.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import ValidationError

from autoresearch import arena
from autoresearch.attempt.campaign import PREFIX
from autoresearch.attempt.setup import current_tag
from autoresearch.errors import AutoresearchError, BadConfig, Damaged, Refused
from autoresearch.ledger import Row, first_problem, read_table
from autoresearch.records import Attempt, Pins, Remeasurement
from autoresearch.repo import Repo

Direction = Literal["min", "max"]
Stored = TypeVar("Stored", Remeasurement, Pins)


@dataclass(frozen=True)
class Source:
    """Where the records of a tag, or a table alone, lie."""

    title: str
    table: Path
    records: Path
    """Folder of NNNN.json, NNNN.diff, NNNN/R/ and what was measured again."""
    notes: Path
    metric: str
    direction: Direction
    repo: Repo | None = None
    """Where commits are looked up; None: only NNNN.diff tells of changes."""
    problems: tuple[str, ...] = ()


@dataclass
class Found:
    """All that was read."""

    source: Source
    attempts: list[Attempt] = field(default_factory=list)
    """Oldest first."""
    broken: dict[int, str] = field(default_factory=dict)
    """Number of each record that cannot be read, and why."""
    rows: list[Row] = field(default_factory=list)
    again: list[Remeasurement] = field(default_factory=list)
    """What `confirm` and `ablate` measured, oldest first."""
    pins: Pins | None = None
    notes: str = ""
    problems: list[str] = field(default_factory=list)


def of_checkout(start: Path, variables: Mapping[str, str]) -> Source:
    """The tag of the branch that is checked out.

    Raises:
        Refused: no repository, another branch, or nothing was begun here.
    """
    repo = Repo.find(start, variables)
    branch, root = repo.branch(), repo.root
    if not branch.startswith(PREFIX):
        raise Refused(
            f"the branch must be {PREFIX}<tag> but is {branch or 'detached'!r}; begin with "
            "`uv run -m autoresearch setup TAG`, `git switch` to yours, or name a table with --ledger FILE"
        )
    tag = branch.removeprefix(PREFIX)
    folder = root / "results" / tag
    top = root if current_tag(root) in (tag, "") else folder
    if not (top / "results.tsv").exists() and not folder.exists():
        raise Refused(f"nothing was begun under {tag!r}; run `uv run -m autoresearch setup {tag}`")
    problems: tuple[str, ...] = ()
    try:
        metric = arena.load(root).metric
    except BadConfig as error:
        metric, problems = arena.Metric(), (str(error),)
    paths = (top / "results.tsv", folder, top / "notes.md")
    return Source(tag, *paths, metric.name, metric.direction, repo, problems)


def of_ledger(table: Path, metric: str, direction: Direction, repo: Repo | None) -> Source:
    """A table anywhere; its records lie in `records/` beside it, or beside it.

    Args:
        metric: column of the score, or a value of the column `metric_name`; empty: val_bpb.

    Raises:
        Refused: there is no such file, or no such column; names those that there are.
        Damaged: it cannot be read as a table.
    """
    if not table.is_file():
        raise Refused(f"--ledger must name a table such as results.tsv but there is no file {str(table)!r}")
    rows = read_table(table)
    columns = [*dict.fromkeys(name for row in rows for name in row.values)]  # a damaged row lacks some
    wanted = metric or "val_bpb"
    names = {row.values.get("metric_name") for row in rows}
    if columns and wanted not in columns and not (wanted in names and "metric_value" in columns):
        raise Refused(f"{table} must have a column {wanted!r}; name one of {', '.join(columns)} with --metric")
    beside = table.parent / "records"
    records = beside if beside.is_dir() else table.parent
    title = table.absolute().parent.name if table.name == "results.tsv" else table.stem
    return Source(title, table, records, table.parent / "notes.md", wanted, direction, repo)


def read(source: Source) -> Found:
    """Read everything that is there."""
    found = Found(source, problems=list(source.problems))
    _read_attempts(found)
    try:
        found.rows = read_table(source.table)
    except (Damaged, OSError) as error:
        found.problems.append(str(error))
    for kind in ("confirm", "ablate"):
        for path in sorted(source.records.glob(f"{kind}-*.json")):
            if isinstance(one := _parse(path, Remeasurement), str):
                found.problems.append(one)
            else:
                found.again.append(one)
    found.again.sort(key=lambda one: one.started)
    pins = _parse(source.records / "pins.json", Pins)
    if isinstance(pins, Pins):
        found.pins = pins
    elif found.attempts or found.broken:
        found.problems.append(pins)
    try:
        found.notes = source.notes.read_text(errors="replace")
    except OSError:
        found.notes = ""
    return found


def _read_attempts(found: Found) -> None:
    """Records in order, those that changed after the next had begun named."""
    paths = (path for path in found.source.records.glob("[0-9][0-9][0-9][0-9]*.json") if path.stem.isdigit())
    previous: tuple[Path, str] | None = None
    for path in sorted(paths, key=lambda path: int(path.stem)):
        number = int(path.stem)
        try:
            data = path.read_bytes()
        except OSError as error:
            found.broken[number] = f"{path.name}: {error.strerror}"
            continue
        try:
            attempt = Attempt.model_validate_json(data)
        except ValidationError as error:
            found.broken[number] = f"{path.name}: {first_problem(error)}"
            previous = None
            continue
        if attempt.id != number:
            found.broken[number] = f"{path.name} tells of attempt {attempt.name}"
            continue
        if previous and attempt.previous != previous[1]:
            name = previous[0].name
            found.problems.append(f"{name} was changed after attempt {attempt.name} had begun, or one between is gone")
        previous = path, hashlib.sha256(data).hexdigest()
        found.attempts.append(attempt)


def _parse(path: Path, model: type[Stored]) -> Stored | str:
    """A stored value, or what is wrong with it."""
    try:
        return model.model_validate_json(path.read_bytes())
    except OSError as error:
        return f"{path.name}: {error.strerror}"
    except ValidationError as error:
        return f"{path.name}: {first_problem(error)}"


def stamp(source: Source) -> str:
    """What changes as soon as anything that `read` reads does."""
    seen = []
    paths = [source.table, source.notes, *sorted(source.records.glob("*.json"))]
    for path in paths:
        try:
            file = path.stat()
        except OSError:
            continue
        seen.append((path.name, file.st_ino, file.st_mtime_ns, file.st_size))
    return hashlib.sha256(repr(seen).encode()).hexdigest()[:16]


def repo_around(folder: Path, variables: Mapping[str, str]) -> Repo | None:
    """The repository around a folder; None where there is none."""
    try:
        return Repo.find(folder, variables)
    except AutoresearchError:
        return None
