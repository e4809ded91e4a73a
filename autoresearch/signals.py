"""What the history says should come next: dead ends, plateau, regression; computed by code, obeyed by agents."""

from collections import Counter
from collections.abc import Sequence

from autoresearch.records import Attempt, Status

STREAK = 3
PLATEAU = 5
PLATEAU_GAIN = 0.001


def directives(attempts: Sequence[Attempt], noise: float) -> list[str]:
    """Lines for the agent after an attempt, most urgent first; none when nothing stands out.

    Args:
        attempts: closed ones, oldest first.
        noise: standard deviation of one run, in units of the metric.
    """
    return [line for line in (dead_end(attempts), plateau(attempts, noise)) if line]


def dead_end(attempts: Sequence[Attempt]) -> str:
    """Three discards or crashes on end that changed the same constant or the same part of the file."""
    lost: list[Attempt] = []
    for attempt in reversed(attempts):
        if attempt.status not in (Status.DISCARD, Status.CRASH):
            break
        lost.append(attempt)
    parts = Counter(part for attempt in lost[:STREAK] for part in set(attempt.changed))
    same = [part for part, count in parts.items() if count >= STREAK]
    if len(lost) < STREAK or not same:
        return ""
    names = ", ".join(attempt.name for attempt in reversed(lost[:STREAK]))
    return (
        f"dead end: {names} all changed {', '.join(sorted(same))} and lost; note it and try something of another kind"
    )


def plateau(attempts: Sequence[Attempt], noise: float) -> str:
    """Five attempts on end none of which gained more than max(noise, 0.001)."""
    least = max(noise, PLATEAU_GAIN)
    count = 0
    for attempt in reversed(attempts):
        if attempt.id == 1 or attempt.status == Status.BACKTRACK or gain(attempt) > least:
            break
        count += 1
    if count < PLATEAU:
        return ""
    return (
        f"plateau: {count} attempts without a gain of {least:.4f}; stop tuning, read train.py again, change structure"
    )


def gain(attempt: Attempt) -> float:
    """What a kept attempt gained, in units of the metric; 0 for others."""
    if attempt.status != Status.KEEP or not attempt.verdict:
        return 0.0
    return abs(attempt.verdict.difference)


def regression(steps: Sequence[tuple[Attempt, float]], noise: float) -> str:
    """Kept steps that no longer add up when measured again.

    Args:
        steps: kept attempts in order with their mean score now, as losses (lower is better).
        noise: standard error of such a mean.
    """
    if len(steps) < 2:
        return ""
    best, tip = min(steps, key=lambda step: step[1]), steps[-1]
    if best[0].id == tip[0].id or tip[1] - best[1] <= 2 * noise:
        return ""
    return (
        f"regression: {tip[0].name} measures {tip[1] - best[1]:.4f} worse than {best[0].name}; "
        f"go back with `uv run -m autoresearch backtrack {best[0].name} --why ...`"
    )
