"""The attempts of a night in their order, each with its score and with what the champion then was known to measure.

Numbers of rows without a record are shown as they stand; where there are records they are never compared with those.
"""

from collections import deque
from dataclasses import dataclass, field, replace

from autoresearch import verdict
from autoresearch.ledger import Row
from autoresearch.records import Attempt, State, Status
from autoresearch.report import text
from autoresearch.report.sources import Found

OWN_COLUMNS = ("commit", "status", "description", "reasoning", "decision", "metric_name", "metric_value")
FAILED = ("failed", "fail", "error", "timeout", "oom", "killed", "invalid_metric", "rejected", "crashed")
LARGEST = 1e12
KINDS = ("keep", "discard", "crash", "backtrack", "cancelled", "running", "cut off", "by hand", "other", "damaged")


@dataclass
class Entry:
    """One attempt, or one row without a record."""

    place: int
    """From 1, in the order of the night."""
    name: str
    """Four digits, or the line of the table."""
    kind: str
    """One of KINDS."""
    word: str
    """The status as it was written."""
    description: str
    score: float | None = None
    """Mean of its runs; None: no comparable number."""
    level: float | None = None
    """What the champion was known to measure after it."""
    change: str = ""
    """Difference to the champion and its standard error, in words."""
    commit: str = ""
    attempt: Attempt | None = None
    cells: dict[str, str] = field(default_factory=dict)
    """Columns of its row beyond those that every table has."""
    reasoning: str = ""
    """Of a row."""
    damage: str = ""


def collect(found: Found, is_alive: bool) -> list[Entry]:
    """Records by number, each row without one after the record above it in the table.

    Args:
        is_alive: whether some process is at it; an attempt without a verdict is `cut off` otherwise.
    """
    named = dict.fromkeys(name for row in found.rows if not row.damage for name in row.values)
    columns = [name for name in named if name not in (*OWN_COLUMNS, found.source.metric, "memory_gb")]
    placed = [((one.id, 0, 0), _of_attempt(one, columns, is_alive)) for one in found.attempts]
    lost = {number: text.line(f"the record cannot be read: {why}", 400) for number, why in found.broken.items()}
    numbers: dict[tuple[str, str], deque[int]] = {}
    for one in found.attempts:
        numbers.setdefault((one.commit[:7], str(one.status)), deque()).append(one.id)
    above = 0
    for row in found.rows:
        same = numbers.get((row.values.get("commit", "")[:7], row.values.get("status", "")))
        if same and not row.damage:
            above = max(above, same.popleft())
            continue
        entry = _of_row(row, found)
        if above + 1 in found.broken and not row.damage:
            above += 1
            entry = replace(entry, name=f"{above:04d}", kind="damaged", word="damaged", score=None)
            entry.damage = lost.pop(above)
        placed.append(((above, 1, row.line), entry))
    placed += [((number, 0, 0), _of_broken(number, why)) for number, why in lost.items()]
    entries = [entry for _, entry in sorted(placed, key=lambda pair: pair[0])]
    for place, entry in enumerate(entries, start=1):
        entry.place = place
    return entries


def _of_broken(number: int, why: str) -> Entry:
    return Entry(0, f"{number:04d}", "damaged", "damaged", "its record cannot be read", damage=why)


def _of_attempt(attempt: Attempt, columns: list[str], is_alive: bool) -> Entry:
    is_open = attempt.state in (State.STARTED, State.RUNNING, State.SCORED)
    kind = ("running" if is_alive else "cut off") if is_open else str(attempt.status)
    scores = [score for score in attempt.scores() if is_sane(score)]
    memory_gb = attempt.most("memory_gb")
    cells = {name: f"{value:.6g}" for name in columns if (value := attempt.most(name)) is not None}
    found, change = attempt.verdict, ""
    if found:
        scale = found.standard_error
        change = text.line(f"{verdict.signed(found.difference, scale)} ± {verdict.plain(scale, scale)}", 40)
    return Entry(
        place=0,
        name=attempt.name,
        kind=kind if kind in KINDS else "other",
        word=kind,
        description=text.line(attempt.description),
        score=sum(scores) / len(scores) if scores and kind != "crash" else None,
        change=change,
        commit=attempt.commit[:12],
        attempt=attempt,
        cells=cells | ({"memory_gb": f"{memory_gb:.1f}"} if memory_gb else {}),
    )


def _of_row(row: Row, found: Found) -> Entry:
    """A row of the table; where the others have records, it was made by hand."""
    values = {name: text.line(value) for name, value in row.values.items()}
    word = _status_of(values)
    kind = word if word in list(Status) else "other"
    score = _number(values, found.source.metric) if kind not in ("crash", "cancelled") else None
    if found.attempts:
        kind, word = "by hand", f"by hand: {word}"
    if row.damage:
        kind, word, score = "damaged", "damaged", None
    known = {*OWN_COLUMNS, found.source.metric}
    return Entry(
        place=0,
        name=f"row {row.line}",
        kind=kind,
        word=text.line(word, 40),
        description=values.get("description") or values.get("params") or values.get("reason") or "",
        score=score,
        commit=values.get("commit", "")[:12],
        cells={name: value for name, value in values.items() if name not in known and value},
        reasoning=row.values.get("reasoning", ""),
        damage=text.line(row.damage, 400),
    )


def _status_of(values: dict[str, str]) -> str:
    """The word that says what became of a row, in the words of results.tsv where they are the same."""
    words = [values.get(name, "").strip().lower() for name in ("decision", "status")]
    known = next((word for word in words if word in list(Status)), "")
    if known:
        return known
    return "crash" if words[1] in FAILED else next(filter(None, words), "unknown")


def _number(values: dict[str, str], metric: str) -> float | None:
    """The score of a row, in the column of its name, or where `metric_name` names it."""
    cell = values.get(metric)
    if cell is None and values.get("metric_name") == metric:
        cell = values.get("metric_value")
    try:
        value = float(cell or "")
    except ValueError:
        return None
    return value if is_sane(value) else None


def is_sane(score: float) -> bool:
    """Whether a number can be a score; what overflows when it is squared is none."""
    return abs(score) < LARGEST  # false of nan


# --- the champion's line


def set_levels_by_records(entries: list[Entry]) -> Entry | None:
    """What the champion was known to measure after each attempt, a drift of the machine beginning anew."""
    scores: dict[str, list[float]] = {}
    kept: dict[str, Entry] = {}
    champion: Entry | None = None
    level: float | None = None
    for entry in entries:
        attempt = entry.attempt
        if attempt:
            if attempt.drift:
                scores = {}
            for one in (*attempt.trials, *attempt.champion_trials):
                if one.score is not None and is_sane(one.score):
                    scores.setdefault(one.commit, []).append(one.score)
            if entry.kind == "keep":
                champion = kept[attempt.commit] = entry
            elif entry.kind == "backtrack":
                champion = kept.get(attempt.commit, champion)
            known = scores.get(champion.attempt.commit) if champion and champion.attempt else None
            fallback = champion.score if entry.kind in ("keep", "backtrack") and champion else level
            level = sum(known) / len(known) if known else fallback
            if entry.kind == "backtrack":
                entry.score = level
        entry.level = level
    return champion


def set_levels_by_rows(entries: list[Entry], sign: int) -> Entry | None:
    """The best number kept so far; a row that goes back begins anew."""
    champion: Entry | None = None
    for entry in entries:
        if entry.score is not None and entry.kind in ("keep", "backtrack"):
            is_better = champion is None or sign * entry.score < sign * (champion.score or 0.0)
            champion = entry if is_better or entry.kind == "backtrack" else champion
        entry.level = champion.score if champion else None
    return champion
