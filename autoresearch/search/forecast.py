"""Whether a running trial can still beat the best: a power law carried on to its last step, with its uncertainty.

Curves a + b (t + t0)^-c are fitted for a bounded set of shapes (c, t0), a and b >= 0 by least squares; t0 lets a shape
be as straight as a line or as bent as an exponential, and a negative c lets the fall become steeper. Every shape counts
by how well it explains the reports, so that few reports leave many futures open; of all reports and the newer half of
them, the more hopeful view decides. Until half of the steps, only a curve that visibly flattens is judged: others may
be before their fall. A later fall that nothing announces (a decay of the learning rate) is not foreseen.
"""

import math
import statistics
from collections.abc import Sequence
from typing import Literal, NamedTuple

Direction = Literal["min", "max"]

DECELERATING = tuple((c, t0) for c in (0.2, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0) for t0 in (0.0, 0.03, 0.1, 0.3, 1.0, 3.0))
STEADY = ((-1.0, 0.0), (-1.5, 0.0), (-2.0, 0.0))
SHAPES = {  # exponent and shift (as a share of the whole length), with their weights: both kinds are as likely at first
    **dict.fromkeys(DECELERATING, 0.5 / len(DECELERATING)),
    **dict.fromkeys(STEADY, 0.5 / len(STEADY)),
}
MOST_POINTS = 40
MODEL_FRAC = 0.3  # of the change that is still expected: what no shape of the set explains
PARAMETERS = 3
LEAST_NOISE = 0.01  # of the range of the reports: five points that happen to lie on a curve prove nothing
LEAST_POINTS = 5
CORRELATION = 4.0  # reports that say as much as one independent one
LEAST_BEND = 4.0  # standard errors by which a slope must flatten: it is asked after every report, of few points
LEAST_PEERS = 3
LARGEST = 1e100  # a value beyond has diverged; squares of such numbers are none


class Point(NamedTuple):
    """A reported value."""

    step: float
    value: float


class Fit(NamedTuple):
    """One fitted curve, in the sense that less is better."""

    error: float
    """Sum of squared residuals."""
    end: float
    """Its value at the last step."""
    leverage: float
    """Variance of that value, in units of the noise's."""


def probability(points: Sequence[Point], step_target: float, best: float, direction: Direction) -> float:
    """The probability that the value at `step_target` beats `best`.

    Args:
        points: reports so far, by step.

    Returns:
        1 where a report already does, or where there are too few of them to say anything; 0 where it has diverged.
    """
    sign = 1.0 if direction == "min" else -1.0
    if not points or min(sign * one.value for one in points) < sign * best:
        return 1.0
    if abs(points[-1].value) >= LARGEST:
        return 0.0
    line = _since_worst(_usable(points, sign))
    if len({one.step for one in line}) < LEAST_POINTS or (line[-1].step < step_target / 2 and not _flattens(line)):
        return 1.0
    newer = line[-max(LEAST_POINTS, len(line) // 2) :]
    return max(_chance(view, step_target, sign * best) for view in (line, newer))


def _usable(points: Sequence[Point], sign: float) -> list[Point]:
    """What can be reckoned with: steps from 0 on, numbers whose squares are numbers; of them less is better."""
    return [Point(one.step, sign * one.value) for one in points if 0 <= one.step < LARGEST > abs(one.value)]


def _since_worst(line: list[Point]) -> list[Point]:
    """From the worst report of the first half on, thinned: what came before was warm-up."""
    if not line:
        return []
    first_half = line[: max(1, len(line) // 2)]
    begin = max(range(len(first_half)), key=lambda place: first_half[place].value)
    line = line[begin:]
    if len(line) <= MOST_POINTS:
        return line
    return [line[round(place * (len(line) - 1) / (MOST_POINTS - 1))] for place in range(MOST_POINTS)]


def _flattens(line: Sequence[Point]) -> bool:
    """Whether the older half fell faster than the newer one, by more than their noise."""
    middle = len(line) // 2
    (old, old_error), (new, new_error) = _slope(line[: middle + 1]), _slope(line[middle:])
    return new - old > LEAST_BEND * math.hypot(old_error, new_error)


def _slope(line: Sequence[Point]) -> tuple[float, float]:
    """Slope of a straight line through points, and its standard error."""
    mean, middle = statistics.fmean(one.value for one in line), statistics.fmean(one.step for one in line)
    spread = sum((one.step - middle) ** 2 for one in line)
    if not spread:
        return 0.0, math.inf
    slope = sum((one.step - middle) * (one.value - mean) for one in line) / spread
    error = sum((one.value - mean - slope * (one.step - middle)) ** 2 for one in line)
    return slope, math.sqrt(error / max(1, len(line) - 2) / spread)


def _chance(line: Sequence[Point], step_target: float, best: float) -> float:
    """The same of some reports, less being better."""
    fits = [(_fit(line, step_target, *shape), weight) for shape, weight in SHAPES.items()]
    least, now = min(fit.error for fit, _ in fits), line[-1].value
    scale = max(max(one.value for one in line) - min(one.value for one in line) or abs(now) or 1.0, 1 / LARGEST)
    noise = max(least / (len(line) - PARAMETERS), (LEAST_NOISE * scale) ** 2)
    few = (len(line) - 1) / (len(line) - PARAMETERS - 1)  # what few points leave unsaid about the noise itself
    chance, total = 0.0, 0.0
    for fit, weight in fits:
        weight *= math.exp(-(fit.error - least) / (2 * CORRELATION * noise))
        variance = noise * (1 + CORRELATION * fit.leverage) + (MODEL_FRAC * (now - fit.end)) ** 2
        chance += weight * _student((best - fit.end) / math.sqrt(few * variance), len(line) - PARAMETERS)
        total += weight
    return chance / total


def _fit(line: Sequence[Point], step_target: float, exponent: float, shift: float) -> Fit:
    """Least squares of a + b x over the points, b >= 0, for one shape x(t)."""
    length, sign = max(step_target, *(one.step for one in line)), 1.0 if exponent > 0 else -1.0

    def basis(step: float) -> float:
        return sign * float(((step / length + shift + 1e-3) / (1 + shift)) ** -exponent)

    values, bent = [one.value for one in line], [basis(one.step) for one in line]
    mean, middle = statistics.fmean(values), statistics.fmean(bent)
    spread = sum((x - middle) ** 2 for x in bent)
    slope = sum((x - middle) * (y - mean) for x, y in zip(bent, values, strict=True)) / spread if spread else 0.0
    slope = max(0.0, slope)
    error = sum((y - mean - slope * (x - middle)) ** 2 for x, y in zip(bent, values, strict=True))
    away = basis(length) - middle
    return Fit(error, mean + slope * away, 1 / len(line) + (away**2 / spread if spread else 0.0))


def _student(t: float, freedom: int) -> float:
    """Student's distribution, for the noise is estimated from few points; by Wallace (1959), a little hopeful."""
    z = (8 * freedom + 1) / (8 * freedom + 3) * math.sqrt(freedom * math.log1p(t * t / freedom))
    return 0.5 * (1 + math.erf(math.copysign(z, t) / math.sqrt(2)))


def is_below_median(points: Sequence[Point], peers: Sequence[Sequence[Point]], direction: Direction) -> bool:
    """The median rule: whether the best value so far is worse than the median of what others had averaged by then.

    Args:
        peers: reports of trials that ended well.

    Returns:
        False while fewer than three of them reported by this step.
    """
    step, sign = points[-1].step, 1.0 if direction == "min" else -1.0
    reached = [[one.value for one in _usable(peer, sign) if one.step <= step] for peer in peers]
    averages = [statistics.fmean(values) for values in reached if values]
    if len(averages) < LEAST_PEERS:
        return False
    return min(sign * one.value for one in points) > statistics.median(averages)
