"""The limits at which a campaign ends; there are no others."""

from dataclasses import dataclass

from autoresearch.search.config import Controller


@dataclass(frozen=True)
class Tally:
    """What a campaign has spent and come to."""

    iterations: int
    """Trials that were admitted, over or not."""
    seconds: float
    """Wall time of all runs of the campaign."""
    gpu_seconds: float
    streak: int
    """Trials over since the last one that was kept."""
    failures: tuple[bool, ...]
    """Of the trials that are over, in that order: whether each failed."""


@dataclass(frozen=True)
class Stop:
    """Why a campaign ends."""

    reason: str
    """One word for programs."""
    detail: str
    """The numbers, for people."""
    is_hard: bool = False
    """Whether what is running is ended too."""
    is_resumable: bool = False
    """Whether what is ended by it is queued again, not recorded as killed."""


def reached(limits: Controller, tally: Tally) -> Stop | None:
    """The limit that the campaign has come to, if any."""
    if limits.max_wall_time_s is not None and tally.seconds >= limits.max_wall_time_s:
        return Stop("max_wall_time", f"{tally.seconds:.1f} s of {limits.max_wall_time_s:g} s", is_hard=True)
    if limits.max_gpu_hours is not None and tally.gpu_seconds >= 3600 * limits.max_gpu_hours:
        detail = f"{tally.gpu_seconds / 3600:.3f} GPU hours of {limits.max_gpu_hours:g}"
        return Stop("max_gpu_hours", detail, is_hard=True)
    if limits.max_iterations is not None and tally.iterations >= limits.max_iterations:
        return Stop("max_iterations", f"{tally.iterations} trials of {limits.max_iterations}")
    if limits.no_improve_limit is not None and tally.streak >= limits.no_improve_limit:
        return Stop("no_improvement", f"{tally.streak} trials in a row were not kept")
    window = tally.failures[-limits.failure_window :]
    rate = sum(window) / len(window) if len(window) == limits.failure_window else 0.0
    if limits.failure_rate_limit is not None and rate >= limits.failure_rate_limit:
        return Stop("failure_rate", f"{sum(window)} of the last {len(window)} trials failed ({rate:.0%})")
    return None
