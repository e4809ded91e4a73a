"""What a round did, in numbers: of the learning rates as they were applied, not as they were planned."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from autoresearch.steer.plan import Plan
from autoresearch.steer.rows import Final, Trace
from autoresearch.steer.standing import result_of

NEAR = 0.9  # of the peak counts as being there
FAR = 0.1  # of the peak: the rise is counted from here
TAIL = 0.1  # of the run: its end
WHOLE = 0.97  # of the run: a trace that ends before tells nothing about decay and end
LEAST_RISE = 0.005  # of the run: a trace has at most 200 points
FALL = 10  # points on the way down

Coordinates = tuple[float, float, float, float]
"""The four dimensions that credit is given to: log_peak, log_ramp_rate, decay_start, tail_ratio."""


@dataclass(frozen=True)
class Features:
    """One round."""

    log_peak: float
    """Natural logarithm of the highest rate that was reached."""
    log_ramp_rate: float
    """Logarithm of the ramp rate: e-foldings per run on the way from a tenth to nine tenths of the peak."""
    near_peak: float
    """Fraction of the run spent at nine tenths of the peak or above."""
    log_mean: float
    """Logarithm of the mean rate."""
    decay_start: float
    """Progress at which the rate was near its peak for the last time; 1 if it never fell."""
    tail_ratio: float
    """Mean rate of the last tenth of the run over the peak: one last update says little, and shapes end differently."""
    alarms: int = 0
    rollbacks: int = 0
    diverged: bool = False
    """It lost the run, or the guard had to roll back."""
    result: float | None = None
    """Finite, and of a run that came to its end; else None."""
    log_crash: float | None = None
    """Of the learning rate at the last crash that a rollback undid; None where none did."""

    @property
    def coordinates(self) -> Coordinates:
        """Of credit; time near the peak and mean rate follow from these four, so they can have none of their own."""
        return self.log_peak, self.log_ramp_rate, self.decay_start, self.tail_ratio

    @property
    def at_crash(self) -> "Features":
        """As divergence sees it: at the rate that was lost, though the result was earned at a lower one."""
        return self if self.log_crash is None else replace(self, log_peak=max(self.log_peak, self.log_crash))


def features_of(final: Final) -> Features | None:
    """What a finished round tells; None where it tells nothing of learning rates (infrastructure, no budget left).

    What a rollback undid has no part in the result, so it is left out but for the rate at which it crashed.
    A run that was cut off tells of the peak that it reached; what was still to come is taken from its plan, so that a
    run lost on its way up does not look as if it had been meant never to decay.
    """
    diverged = final.status == "diverged" or final.num_rollbacks > 0
    if final.status == "infra_fail" or (final.status != "ok" and not diverged):
        return None
    trace, undone = _usable(final.lr), _usable(final.undone)
    seen = max((lr for _, lr in trace), default=0.0)
    is_whole = final.status == "ok" and bool(trace) and trace[-1][0] >= WHOLE and seen > 0
    shape = _shape(trace if is_whole else planned(final.plan))
    if diverged and not is_whole and seen > 0:
        shape = replace(shape, log_peak=math.log(seen))
    crash = math.log(undone[-1][1]) if undone and undone[-1][1] > 0 else None
    counts = {"alarms": final.num_alarms, "rollbacks": final.num_rollbacks}
    return replace(shape, **counts, log_crash=crash, diverged=diverged, result=result_of(final))


def _usable(trace: Trace) -> Trace:
    return sorted((p, lr) for p, lr in trace if math.isfinite(p) and math.isfinite(lr) and lr >= 0)


def features_of_plan(plan: Plan) -> Features:
    """What a plan would do if nothing came between."""
    return _shape(planned(plan))


def planned(plan: Plan) -> Trace:
    """The learning rates of a plan at the few points that a curve linear between them needs."""
    fall = 1 - plan.cooldown
    corners = {0.0, plan.warmup, plan.warmup + plan.ramp, *(fall + plan.cooldown * x / FALL for x in range(FALL + 1))}
    return [(p, plan.lr(p)) for p in sorted(corners)]


def _shape(trace: Trace) -> Features:
    """The numbers of a curve, linear between its points."""
    peak = max(lr for _, lr in trace)
    first, last = trace[0], trace[-1][0]
    up = _first_at(trace, NEAR * peak)
    rise = max(LEAST_RISE, up - _first_at(trace, FAR * peak))
    steps = list(itertools.pairwise(trace))
    area = _area(trace) + first[0] * first[1] / 2
    tail = _since(trace, last - TAIL)
    width = tail[-1][0] - tail[0][0]
    return Features(
        log_peak=math.log(peak),
        log_ramp_rate=math.log(math.log(NEAR / FAR) / rise),
        near_peak=sum(q - p for (p, a), (q, b) in steps if (a + b) / 2 >= NEAR * peak),
        log_mean=math.log(max(area / last, 1e-12 * peak)) if last > 0 else math.log(peak),
        decay_start=last if trace[-1][1] >= NEAR * peak else _first_at(trace[::-1], NEAR * peak),
        tail_ratio=(_area(tail) / width if width > 0 else trace[-1][1]) / peak,
    )


def _area(trace: Trace) -> float:
    return sum((q - p) * (a + b) / 2 for (p, a), (q, b) in itertools.pairwise(trace))


def _since(trace: Trace, begin: float) -> Trace:
    """The part of a curve from a progress on."""
    for number, ((p, a), (q, b)) in enumerate(itertools.pairwise(trace), 1):
        if p < begin < q:
            return [(begin, a + (b - a) * (begin - p) / (q - p)), *trace[number:]]
    return [point for point in trace if point[0] >= begin]


def _first_at(trace: Sequence[tuple[float, float]], level: float) -> float:
    """Where a curve first reaches a level, from whichever end it is given."""
    before = trace[0]
    for p, lr in trace:
        if lr >= level:
            share = (level - before[1]) / (lr - before[1]) if lr > before[1] else 1.0
            return before[0] + (p - before[0]) * share
        before = (p, lr)
    return before[0]
