"""What keeps a round alive: pure rules on the reports of a run, without any model.

Losses are in nats. The thresholds are stated for a vocabulary of 32,000, whose uniform loss is 10.4, and go with the
loss of the first update; where the loss is noisy they go with the noise.
"""

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

from pydantic import Field

from autoresearch.records import Record
from autoresearch.steer.plan import Plan

STATED_FOR = 10.4
EXCESS, HIGH_EXCESS = 0.5, 1.0  # of the smoothed loss over its minimum: halve; go back if it stays for two windows
NOISES, HIGH_NOISES = 5.0, 10.0  # the same in deviations of the smoothed loss
LOST = 0.95  # of the first loss: after the warmup nothing has been learned
SMOOTHING = 0.9
NOISE_MEMORY = 0.97
GRADIENT_Z, GRADIENT_MEMORY, GRADIENT_LEAST = 6.0, 0.98, 50
CEILING, CEILING_WINDOWS = 0.7, 5  # of the learning rate at a crash, for so many windows
MOST_ROLLBACKS, ROLLBACK_WINDOWS = 3, 10
CUT = 0.5


@dataclass(frozen=True)
class Limits:
    """What a campaign allows."""

    k: int
    """Updates in a window."""
    clamp: tuple[float, float] = (0.5, 2.0)
    """Least and greatest factor of one change."""
    lr_floor: float = 0.0
    lr_ceil: float = math.inf

    @property
    def quiet(self) -> int:
        """Updates without alarm after which a checkpoint counts as healthy, and how far back one must lie."""
        return max(1, self.k // 2)


class Report(NamedTuple):
    """What the guard is told of one update."""

    updates: int
    """Made so far, those that a rollback undid among them."""
    loss: float | None
    """None: not finite."""
    is_warm: bool
    """Whether the warmup is over."""
    is_finite: bool = True
    """Whether all else that was reported is."""
    grad_norm: float | None = None


class Mark(Record):
    """A checkpoint and how the run was when it was made."""

    step: int
    updates: int
    smooth: float | None
    lowest: float


class Vitals(Record):
    """What is remembered of a run; kept on disk."""

    first: float | None = None
    """Loss of the first update."""
    smooth: float | None = None
    lowest: float = STATED_FOR * 100
    """Of the smoothed loss."""
    last: float | None = None
    """Loss of the update before."""
    noise: float = 0.0
    """Variance of one loss, from the differences of neighbours: what falls steadily is not noise."""
    since: int = 0
    """Updates when the run began, or began anew."""
    high_since: int | None = None
    """Updates when the loss rose into the range that is not recovered from."""
    hold_until: int = 0
    """Updates up to which nothing but the guard changes the learning rate."""
    ceiling: float | None = None
    ceiling_until: int = 0
    rollbacks: list[int] = Field(default_factory=list)
    """Updates at each."""
    gradient: tuple[int, float, float] = (0, 0.0, 0.0)
    """Count, mean and variance of the log of the gradient's norm."""
    marks: list[Mark] = Field(default_factory=list)
    """Checkpoints that no alarm followed soon, oldest first."""


class Verdict(NamedTuple):
    """What must be done."""

    action: Literal["none", "note", "halve", "rollback"]
    why: str = ""


FINE = Verdict("none")


def examine(vitals: Vitals, report: Report, limits: Limits) -> Verdict:
    """Take in a report and say what must be done; the checkpoints that an alarm makes doubtful are forgotten."""
    verdict = _judge(vitals, report, limits)
    if verdict.action != "none":
        vitals.marks = [mark for mark in vitals.marks if mark.updates <= report.updates - limits.quiet]
    if verdict.action == "halve":
        if report.updates < vitals.hold_until:
            return FINE  # still an alarm for the checkpoints, but the cut is not repeated within a window
        vitals.hold_until = report.updates + limits.k
    return verdict


def _judge(vitals: Vitals, report: Report, limits: Limits) -> Verdict:
    if report.loss is None or not report.is_finite:
        return Verdict("rollback", f"{'loss' if report.loss is None else 'a metric'} is not finite")
    vitals.first = report.loss if vitals.first is None else vitals.first
    before, vitals.last = vitals.last, report.loss
    vitals.smooth = SMOOTHING * (vitals.smooth or report.loss) + (1 - SMOOTHING) * report.loss
    vitals.lowest = min(vitals.lowest, vitals.smooth)
    excess, (halve_at, high_at) = vitals.smooth - vitals.lowest, thresholds(vitals)
    vitals.high_since = (vitals.high_since or report.updates) if excess > high_at else None
    if vitals.high_since is not None and report.updates - vitals.high_since >= 2 * limits.k:
        return Verdict("rollback", f"loss {excess:.2f} above its minimum for two windows, limit {high_at:.2f}")
    if report.is_warm and report.updates - vitals.since >= 2 * limits.k and vitals.smooth > LOST * vitals.first:
        return Verdict("rollback", f"loss {vitals.smooth:.2f} after the warmup, where it began with {vitals.first:.2f}")
    if excess > halve_at:
        return Verdict("halve", f"loss {excess:.2f} above its minimum, limit {halve_at:.2f}")
    step = report.loss - (report.loss if before is None else before)
    vitals.noise = NOISE_MEMORY * vitals.noise + (1 - NOISE_MEMORY) * step**2 / 2
    return _judge_gradient(vitals, report.grad_norm)


def thresholds(vitals: Vitals) -> tuple[float, float]:
    """Excess in nats from which the learning rate is halved, and from which the run may have to go back."""
    scale = (vitals.first or STATED_FOR) / STATED_FOR
    deviation = math.sqrt(vitals.noise * (1 - SMOOTHING) / (1 + SMOOTHING))
    return max(EXCESS * scale, NOISES * deviation), max(HIGH_EXCESS * scale, HIGH_NOISES * deviation)


def _judge_gradient(vitals: Vitals, norm: float | None) -> Verdict:
    """Early warning: a gradient far larger than those before."""
    if norm is None or norm <= 0:
        return FINE
    count, mean, variance = vitals.gradient
    away = math.log(norm) - mean if count else 0.0
    z = away / math.sqrt(variance) if count >= GRADIENT_LEAST and variance > 0 else 0.0
    keep = GRADIENT_MEMORY if count else 0.0
    vitals.gradient = count + 1, mean + (1 - keep) * (math.log(norm) - mean), keep * (variance + (1 - keep) * away**2)
    return Verdict("note", f"gradient norm {norm:.3g}, z-score {z:.1f}") if z > GRADIENT_Z else FINE


def mark(vitals: Vitals, step: int, updates: int) -> None:
    """Remember a checkpoint; one of the same step gives way."""
    kept = [one for one in vitals.marks if one.step < step]
    vitals.marks = [*kept, Mark(step=step, updates=updates, smooth=vitals.smooth, lowest=vitals.lowest)]


def healthy(vitals: Vitals, step: int, updates: int, limits: Limits) -> list[Mark]:
    """The checkpoints that are healthy in hindsight and lie far enough back, oldest first."""
    return [one for one in vitals.marks if one.step <= step - limits.quiet and one.updates <= updates - limits.quiet]


def go_back(vitals: Vitals, to: Mark | None, updates: int, lr: float, limits: Limits) -> str:
    """Note a rollback from learning rate `lr`; returns why there may be no more of them, empty where there may."""
    recent = [one for one in vitals.rollbacks if one > updates - ROLLBACK_WINDOWS * limits.k]
    if len(recent) >= MOST_ROLLBACKS:
        return f"{len(recent)} rollbacks within {ROLLBACK_WINDOWS} windows were to no avail"
    vitals.rollbacks = [*vitals.rollbacks, updates]
    vitals.ceiling, vitals.ceiling_until = CEILING * lr, updates + CEILING_WINDOWS * limits.k
    vitals.hold_until = updates + limits.k
    begin_at(vitals, to, updates, limits)
    return ""


def begin_at(vitals: Vitals, to: Mark | None, updates: int, limits: Limits) -> None:
    """See the run as it was when a checkpoint was made; None: at its start.

    Args:
        updates: made so far; fewer than before where a failure of the machine lost some, and then nothing that was
            noted may bind for longer than from now on.
    """
    vitals.marks = [one for one in vitals.marks if to is not None and one.step <= to.step]
    vitals.smooth, vitals.last = to.smooth if to else None, None
    vitals.lowest = to.lowest if to else STATED_FOR * 100
    vitals.high_since = None
    vitals.since = updates  # what was undone is learned anew before it is asked for
    vitals.hold_until = min(vitals.hold_until, updates + limits.k)
    vitals.ceiling_until = min(vitals.ceiling_until, updates + CEILING_WINDOWS * limits.k)
    vitals.rollbacks = [min(one, updates) for one in vitals.rollbacks]


def grant(plan: Plan, factor: float, p: float, updates: int, vitals: Vitals, limits: Limits) -> float:
    """The factor that is let pass at progress `p`: within the clamp, floor and ceilings; the decay is never undone."""
    least, most = limits.clamp
    if p >= 1 - plan.cooldown:
        most = min(most, 1.0)
    factor = min(max(factor, least), most)
    if vitals.ceiling and updates < vitals.ceiling_until and plan.ahead(p) > 0:
        factor = min(factor, max(1.0, vitals.ceiling / plan.ahead(p)))  # a plan that still rises is not cut by it
    if plan.lr_peak * factor < limits.lr_floor:
        factor = max(factor, min(1.0, limits.lr_floor / plan.lr_peak))
    return min(factor, limits.lr_ceil / plan.ahead(p)) if plan.ahead(p) > 0 else factor
