"""What the history says should come next: dead ends, plateau, regression, drift; found by code, obeyed by agents."""

import math
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from autoresearch.records import Attempt, Status
from autoresearch.verdict import Noise, plain, signed

STREAK = 3
PLATEAU = 5
PLATEAU_GAIN = 0.001
REGRESSION_ERRORS = 2.0
DRIFT_SIGMAS = 3.0
DRIFT_THROUGHPUT_FRAC = 0.03
UNEVEN_FRAC = 0.1
CHAMPION_CHECK_ATTEMPTS = 20  # a champion not measured for this many attempts is measured before the next one


@dataclass(frozen=True)
class Step:
    """A kept attempt, as the regression check reads it."""

    name: str
    losses: Sequence[float]
    """All its scores so far, at least one, turned so that lower is better."""

    @property
    def mean(self) -> float:
        """Its estimate."""
        return sum(self.losses) / len(self.losses)


@dataclass(frozen=True)
class Measured:
    """One run of a commit, as the drift check reads it."""

    score: float
    tokens_per_s: float
    """Training throughput; 0 if unknown."""


def directives(attempts: Sequence[Attempt], noise: float) -> list[str]:
    """Lines for the agent after an attempt, most urgent first; none when nothing stands out.

    Args:
        attempts: closed ones, oldest first.
        noise: standard deviation of one run, in units of the metric.
    """
    judged = [attempt for attempt in attempts if not is_cut_off(attempt)]
    return [line for line in (dead_end(judged), plateau(judged, noise)) if line]


def is_cut_off(attempt: Attempt) -> bool:
    """Whether an attempt ended before its idea was judged: it says nothing about the idea, which may be tried again."""
    if attempt.status in (Status.KEEP, Status.BACKTRACK) or attempt.reason:
        return False
    crashes = [trial.crash.kind for trial in attempt.trials if trial.crash]
    if "interrupted" in crashes or attempt.status == Status.CANCELLED:
        return True
    is_undecided = attempt.verdict is not None and attempt.verdict.decision in ("again", "again_champion")
    return not crashes and (is_undecided or not attempt.trials or attempt.verdict is None)


def dead_end(attempts: Sequence[Attempt]) -> str:
    """Three discards or crashes on end that changed the same constant or the same part of the file."""
    lost = list(attempts[-STREAK:])
    if len(lost) < STREAK or any(one.status not in (Status.DISCARD, Status.CRASH) for one in lost):
        return ""
    parts = Counter(part for attempt in lost for part in set(attempt.changed))
    same = sorted(part for part, count in parts.items() if count == STREAK)
    if not same:
        return ""
    names = ", ".join(attempt.name for attempt in lost)
    return f"dead end: {names} all changed {', '.join(same[:4])} and lost; note it and try something of another kind"


def plateau(attempts: Sequence[Attempt], noise: float) -> str:
    """Five attempts on end none of which gained more than max(noise, 0.001)."""
    count = num_without_gain(attempts, noise)
    if count < PLATEAU:
        return ""
    least = max(noise, PLATEAU_GAIN)
    return (
        f"plateau: {count} attempts without a gain of {least:.4f}; stop tuning, read the code again, change structure"
    )


def num_without_gain(attempts: Sequence[Attempt], noise: float) -> int:
    """Attempts on end, up to the last one, none of which gained more than max(noise, 0.001)."""
    least = max(noise, PLATEAU_GAIN)
    count = 0
    for attempt in reversed(attempts):
        if attempt.id == 1 or attempt.status == Status.BACKTRACK or gain(attempt) > least:
            break
        count += 1
    return count


def gain(attempt: Attempt) -> float:
    """What a kept attempt gained, in units of the metric; 0 for others, and for what was kept though it is worse."""
    if attempt.status != Status.KEEP or not attempt.verdict or attempt.verdict.p_better < 0.5:
        return 0.0
    return abs(attempt.verdict.difference)


def regression(steps: Sequence[Step], noise: float) -> str:
    """Kept steps that no longer add up when measured again: an earlier one now stands better than the tip.

    Args:
        steps: kept attempts that the champion stands on, oldest first, itself last.
        noise: standard deviation of one run.
    """
    if len(steps) < 2:
        return ""
    best, tip = min(steps, key=lambda step: step.mean), steps[-1]
    loss = tip.mean - best.mean
    error = noise * math.sqrt(1 / len(best.losses) + 1 / len(tip.losses))
    if best.name == tip.name or loss <= REGRESSION_ERRORS * error:
        return ""
    return (
        f"regression: {tip.name} measures {loss:.4f} worse than {best.name}; "
        f"go back with `uv run -m autoresearch backtrack {best.name} --why ...`"
    )


def drift(history: Sequence[Measured], latest: Measured, noise: Noise, pace_spread: float = 0.0) -> str:
    """Say how the latest measurement of a commit disagrees with its earlier ones, or return an empty text.

    The score drifted if it lies more than `DRIFT_SIGMAS` standard errors of the difference from the mean of the
    earlier ones, the throughput if it lies more than `DRIFT_THROUGHPUT_FRAC` from their median, and also more than
    `DRIFT_SIGMAS` times what repeats of one commit vary by, on a machine that is never quiet.

    With no earlier one there is nothing to disagree with.

    Args:
        pace_spread: of all commits measured so far, as `pace_spread` says.
    """
    if not history:
        return ""
    findings: list[str] = []
    moved = latest.score - statistics.fmean(run.score for run in history)
    standard_error = noise.sigma * math.sqrt(1 + 1 / len(history))
    if abs(moved) > DRIFT_SIGMAS * standard_error:
        findings.append(f"score moved by {signed(moved, standard_error)} ± {plain(standard_error, standard_error)}")
    speeds = [run.tokens_per_s for run in history if run.tokens_per_s > 0]
    if speeds and latest.tokens_per_s > 0:
        usual = statistics.median(speeds)
        change = latest.tokens_per_s / usual - 1
        spread = max(pace_spread, statistics.stdev(speeds) / usual if len(speeds) > 1 else 0.0)
        if abs(change) > max(DRIFT_THROUGHPUT_FRAC, DRIFT_SIGMAS * spread):
            findings.append(f"tokens/s moved by {signed(100 * change, 1.0)}%")
    return "same commit, " + ", ".join(findings) if findings else ""


def pace_spread(groups: Iterable[Sequence[Measured]]) -> float:
    """What repeats of one commit vary by in throughput, as a share of it, pooled; 0 while nothing was repeated."""
    deviations, repeats = 0.0, 0
    for group in groups:
        speeds = [run.tokens_per_s for run in group if run.tokens_per_s > 0]
        if len(speeds) > 1:
            mean = statistics.fmean(speeds)
            deviations += sum((speed / mean - 1) ** 2 for speed in speeds)
            repeats += len(speeds) - 1
    return math.sqrt(deviations / repeats) if repeats else 0.0


def uneven(runs: Sequence[Measured]) -> str:
    """Say that runs of the same code trained at different speeds, which moves their scores, or return an empty text."""
    speeds = sorted(run.tokens_per_s for run in runs if run.tokens_per_s > 0)
    if not speeds or speeds[-1] <= (1 + UNEVEN_FRAC) * speeds[0]:
        return ""
    return (
        f"the same code trained at {speeds[0]:,.0f} to {speeds[-1]:,.0f} tokens/s: other work on the machine makes the "
        "noise larger; see `doctor`, and begin with another tag when it is quiet"
    )


def is_champion_stale(num_attempts_since: int) -> bool:
    """Tell whether to measure the champion before the next attempt: the machine may have moved unseen."""
    return num_attempts_since >= CHAMPION_CHECK_ATTEMPTS
