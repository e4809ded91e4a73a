"""What became of a trial that ended: its status, its number, and why."""

from collections.abc import Sequence
from pathlib import Path

from autoresearch import summary
from autoresearch.sandbox import files
from autoresearch.search import metrics
from autoresearch.search.executors import CANCEL_EXIT, LOGS, METRIC_FILE, Outcome
from autoresearch.search.metrics import Measured
from autoresearch.search.proposal import Result, TrialStatus
from autoresearch.search.store import Entry
from autoresearch.search.watch import Trail

TAIL_BYTES = 1 << 16
TAIL_LINES = 30
MOST_REASON_CHARS = 500
HEEDED = b"cancelled on request"  # the shim's words


def conclude(
    entry: Entry, outcome: Outcome, trail: Trail, folder: Path, metric: str, is_evaluated: bool = False
) -> Result:
    """Judge a trial by how it ended and what it left.

    Args:
        trail: its reports, read to the end.
        folder: of the trial.
        metric: name of the objective.
        is_evaluated: whether a command of its own measures the objective after training.
    """
    measured = measure(outcome, trail, folder, metric, is_evaluated)
    status, reason, tail = TrialStatus.OK, "", ""
    if outcome.end != "exited" or outcome.exit_code:
        status, reason, tail = failure(outcome, trail, folder)
    elif measured.value is None:
        status, tail = TrialStatus.INVALID_METRIC, _tail(folder)
        reason = f"{metric} must be a finite number but is {measured.said!r}" if measured.said else f"no {metric} found"
        reason = outcome.why or reason
    others = dict(measured.others)
    if status != TrialStatus.OK:
        others.pop(metric, None)
    return Result(
        number=entry.number,
        proposal=entry.proposal,
        status=status,
        metric=measured.value if status == TrialStatus.OK else None,
        metrics=others,
        reason=reason,
        seconds=round(outcome.seconds, 3),
        reports=list(trail.reports),
        tail=tail,
        commit=entry.commit,
    )


def measure(outcome: Outcome, trail: Trail, folder: Path, metric: str, is_evaluated: bool = False) -> Measured:
    """The numbers of a trial; the objective from whoever answered with numbers itself, if anybody did.

    Where a command of its own evaluates, the objective is what that says, never what training says of itself.
    """
    last = trail.reports[-1].metrics if trail.reports else {}
    training, evaluation = (folder / log for log in LOGS)
    if is_evaluated:
        trained = metrics.read([training], None, last, metric).others
        found = metrics.read([evaluation], folder / METRIC_FILE, {}, metric)
        others = {name: value for name, value in trained.items() if name != metric} | found.others
        found = found._replace(others=others)
    else:
        found = metrics.read([training], folder / METRIC_FILE, last, metric)
    if outcome.metrics is None:
        return found
    numbers = {name: value for name, raw in outcome.metrics.items() if (value := metrics.number(raw)) is not None}
    said = "" if metric in numbers else str(outcome.metrics.get(metric, ""))
    others = {name: value for name, value in found.others.items() if name != metric}
    return Measured(numbers.get(metric), others | numbers, said)


def failure(outcome: Outcome, trail: Trail, folder: Path) -> tuple[TrialStatus, str, str]:
    """Status, reason and the lines that explain a trial that did not end well."""
    if outcome.end == "exited" and trail.cancelled and (outcome.exit_code == CANCEL_EXIT or _has_heeded(folder)):
        return TrialStatus.CANCELLED, trail.cancelled, ""
    if outcome.end in ("timeout", "oom", "killed"):
        return TrialStatus(outcome.end), outcome.why, _tail(folder)
    if outcome.end != "exited":
        return TrialStatus.FAILED, outcome.why, _tail(folder)
    if outcome.exit_code == CANCEL_EXIT:
        return TrialStatus.FAILED, "left with exit code 42, though nobody cancelled it", _tail(folder)
    crash = summary.explain(_tail(folder, TAIL_LINES * 4), outcome.exit_code)
    kinds = {"out of memory": TrialStatus.OOM, "killed": TrialStatus.KILLED}
    reason = f"exit code {outcome.exit_code}: {crash.why}"
    return kinds.get(crash.kind, TrialStatus.FAILED), reason, summary.tail(crash.tail, TAIL_LINES)


def _has_heeded(folder: Path) -> bool:
    """Whether the log of training says that it left on request: a launcher around it may turn 42 into another code."""
    return HEEDED in files.read(folder / LOGS[0], TAIL_BYTES)


def rejection(entry: Entry, reason: str) -> Result:
    """The result of a proposal that never ran."""
    return Result(number=entry.number, proposal=entry.proposal, status=TrialStatus.REJECTED, reason=reason)


def broken(entry: Entry, what: str, error: Exception, seconds: float = 0.0) -> Result:
    """The result of a trial whose data nobody could work with."""
    said = f"{what}: {type(error).__name__}: {error}".encode(errors="replace").decode()[:MOST_REASON_CHARS]
    return Result(
        number=entry.number, proposal=entry.proposal, status=TrialStatus.FAILED, reason=said, seconds=round(seconds, 3)
    )


def _tail(folder: Path, lines: int = TAIL_LINES) -> str:
    """The end of the last log that says something."""
    texts: Sequence[str] = [files.read(folder / log, TAIL_BYTES).decode(errors="replace") for log in LOGS]
    return summary.tail(next((text for text in reversed(texts) if text.strip()), ""), lines)
