"""The text of a run log: its summary, or the tail that explains the crash."""

import math
import re

from autoresearch.records import Crash, CrashKind, Metrics

TAIL_LINES = 50
OUT_OF_MEMORY = re.compile(r"out of memory|OutOfMemoryError|MemoryError|Cannot allocate memory", re.IGNORECASE)
DIVERGED = re.compile(r"^FAIL\b|loss is nan|non-finite|NonFinite", re.IGNORECASE | re.MULTILINE)
REFUSED = re.compile(r"^(?:prepare\.)?(PrepareError|ClockError|NonCausal|Stateful|NonFinite)\b: ?(.*)$", re.MULTILINE)
SYNTAX = re.compile(r"^(SyntaxError|IndentationError|ModuleNotFoundError|ImportError)\b: ?(.*)$", re.MULTILINE)


def parse(text: str) -> Metrics:
    """Read the `key: value` lines after the last line `---`; a key that appears twice counts by its last line."""
    lines = re.split(r"^---\s*$", text, flags=re.MULTILINE)
    pairs = dict(re.findall(r"^([A-Za-z_]\w*): +(.*?)\s*$", lines[-1], re.MULTILINE)) if len(lines) > 1 else {}
    values: dict[str, float | int] = {}
    for name in Metrics.model_fields:
        number = _number(pairs.get(name, ""))
        if name != "others" and number is not None:
            values[name] = int(number) if name in ("num_steps", "depth") else number
    return Metrics.model_validate(
        {**values, "others": {k: v for k, v in pairs.items() if k not in Metrics.model_fields}}
    )


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def tail(text: str, lines: int = TAIL_LINES) -> str:
    """The last lines of a log, progress bars resolved to what they last showed."""
    rows = [row.rpartition("\r")[2] for row in text.rstrip().split("\n")]
    return "\n".join(rows[-lines:])


def explain(text: str, exit_code: int | None, timeout: str = "") -> Crash:
    """Why a trial failed.

    Args:
        text: its log.
        exit_code: negative for a signal, None when it is unknown.
        timeout: which deadline ended it, if one did.
    """
    end = tail(text)
    kind: CrashKind = "error"
    why = next((row.strip() for row in reversed(end.split("\n")) if row.strip()), "no output")
    if timeout:
        kind, why = "timeout", timeout
    elif OUT_OF_MEMORY.search(end):
        kind = "out of memory"
        why = next(row.strip() for row in reversed(end.split("\n")) if OUT_OF_MEMORY.search(row))
    elif DIVERGED.search(end):
        kind = "diverged"
    elif match := REFUSED.search(end):
        kind, why = "refused", f"{match[1]}: {match[2]}"
    elif match := SYNTAX.search(end):
        kind, why = "syntax", f"{match[1]}: {match[2]}"
    elif exit_code is not None and exit_code < 0:
        kind, why = "killed", f"signal {-exit_code}"
        if exit_code == -9:
            why += " (often the kernel's out-of-memory killer)"
    elif exit_code == 42:
        kind, why = "interrupted", "cancelled on request"
    return Crash(kind=kind, why=why[:300], tail=end)
