"""What a finished trial measured: its AR_METRIC lines or file, else lines named exactly as the objective, else its
last report. Logs are read line by line, so that their size costs no memory."""

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from autoresearch.sandbox import files

MARK = b"AR_METRIC "
LINE_BYTES = 1 << 16
MOST_NAMES = 200  # of a trial
MOST_NAME_CHARS = 100
PAIR = rb"^\s*(%b|[A-Za-z_][\w./-]*)\s*[:=]\s*(\S+)\s*$"


class Measured(NamedTuple):
    """The numbers of a trial."""

    value: float | None
    """Of the objective, from the strictest place that names it."""
    others: dict[str, float]
    """All finite numbers by name, the objective among them."""
    said: str
    """What stood where the objective should have been a number; empty where it is one, or nothing named it."""


def read(logs: Sequence[Path], file: Path | None, last_report: Mapping[str, float], objective: str) -> Measured:
    """All numbers of a trial; of each name the last one counts.

    Args:
        logs: in the order in which they were written.
        file: a JSON object of names and numbers, as after AR_METRIC; None where there is none.
    """
    a_pair = re.compile(PAIR % re.escape(objective.encode()))
    strict, plain = dict[str, Any](), dict[str, Any]()
    for line in _lines(logs):
        if line.startswith(MARK):
            _take(strict, _object(line[len(MARK) :]), objective)
        elif pair := a_pair.match(line):
            _take(plain, {pair[1].decode(errors="replace"): pair[2].decode(errors="replace")}, objective)
    _take(strict, _object(files.read(file, LINE_BYTES) if file else b""), objective)
    found: dict[str, Any] = {}
    for one in (strict, plain, last_report):
        _take(found, {name: value for name, value in one.items() if name not in found}, objective)
    numbers = {name: value for name, raw in found.items() if (value := number(raw)) is not None}
    said = "" if objective in numbers or objective not in found else str(found[objective])[:60]
    return Measured(numbers.get(objective), numbers, said)


def _lines(logs: Sequence[Path]) -> Iterator[bytes]:
    """Lines of plain files, a progress bar as it was last shown, in pieces where they are long."""
    for log in logs:
        if log.is_symlink() or not log.is_file():
            continue
        with open(log, "rb") as file:
            while line := file.readline(LINE_BYTES):
                yield line.rstrip(b"\r\n").rpartition(b"\r")[2]


def _object(text: bytes) -> dict[str, Any]:
    try:
        found = json.loads(text) if text else {}
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _take(known: dict[str, Any], new: Mapping[str, Any], objective: str) -> None:
    """Add to what is known, as long as it is not too much; the objective always."""
    for name, value in new.items():
        if name in known or name == objective or (len(known) < MOST_NAMES and len(name) <= MOST_NAME_CHARS):
            known[name] = value


def number(raw: Any) -> float | None:
    """A finite number, also from its text; None for anything else."""
    if isinstance(raw, bool) or not isinstance(raw, int | float | str):
        return None
    try:
        value = float(raw)
    except (ValueError, OverflowError):
        return None
    return value if math.isfinite(value) else None
