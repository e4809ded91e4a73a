"""Whether a running trial can still beat the best: a power law carried on to its last step, with its uncertainty.

A curve a + b (t + t0)^-c is fitted for a bounded set of shapes (c, t0), a and b >= 0 by least squares; t0 lets it be as
straight as a line or as bent as an exponential. Every shape counts by how well it explains the reports, so that few
reports leave many futures open. A jump that nothing announces (a late decay of the learning rate) is not foreseen.
"""

import math
import statistics
from collections.abc import Sequence
from typing import Literal, NamedTuple

Direction = Literal["min", "max"]

EXPONENTS = (0.15, 0.3, 0.6, 1.0, 1.6, 2.5, 4.0, 8.0, 16.0)
SHIFTS = (0.0, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)  # of the whole length
MOST_POINTS = 48
MODEL_FRAC = 0.15  # of the change that is still expected: what no shape of the set explains
LEAST_PEERS = 3


class Point(NamedTuple):
    """A reported value."""

    step: float
    value: float


class Shape(NamedTuple):
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
        points: reports so far, by step; three or more.

    Returns:
        1 where a report already does, or where the reports do not reach beyond one step.
    """
    sign = 1.0 if direction == "min" else -1.0
    best *= sign
    line = _since_worst([Point(one.step, sign * one.value) for one in points])
    if min(one.value for one in line) < best or len({one.step for one in line}) < 3:
        return 1.0
    shapes = [_fit(line, step_target, exponent, shift) for exponent in EXPONENTS for shift in SHIFTS]
    least, now = min(shape.error for shape in shapes), line[-1].value
    scale = max(one.value for one in line) - min(one.value for one in line) or abs(now) or 1.0
    noise = max(least / max(1, len(line) - 4), (1e-3 * scale) ** 2)
    chance, total = 0.0, 0.0
    for shape in shapes:
        weight = math.exp(-(shape.error - least) / (2 * noise))
        spread = math.sqrt(noise * (1 + shape.leverage) + (MODEL_FRAC * (now - shape.end)) ** 2)
        chance += weight * _normal((best - shape.end) / spread)
        total += weight
    return chance / total


def _since_worst(points: list[Point]) -> list[Point]:
    """From the worst report of the first half on, thinned: what came before was warm-up."""
    first_half = points[: max(1, len(points) // 2)]
    begin = max(range(len(first_half)), key=lambda place: first_half[place].value)
    line = points[begin:]
    if len(line) <= MOST_POINTS:
        return line
    return [line[round(place * (len(line) - 1) / (MOST_POINTS - 1))] for place in range(MOST_POINTS)]


def _fit(points: Sequence[Point], step_target: float, exponent: float, shift: float) -> Shape:
    """Least squares of a + b x over the points, b >= 0, for one shape x(t)."""
    length = max(step_target, points[-1].step)

    def basis(step: float) -> float:
        return float(((step / length + shift + 1e-3) / (1 + shift)) ** -exponent)

    values, bent = [one.value for one in points], [basis(one.step) for one in points]
    mean, middle = statistics.fmean(values), statistics.fmean(bent)
    spread = sum((one - middle) ** 2 for one in bent)
    slope = sum((x - middle) * (y - mean) for x, y in zip(bent, values, strict=True)) / spread if spread else 0.0
    slope = max(0.0, slope)
    error = sum((y - mean - slope * (x - middle)) ** 2 for x, y in zip(bent, values, strict=True))
    away = basis(length) - middle
    return Shape(error, mean + slope * away, 1 / len(points) + (away**2 / spread if spread else 0.0))


def _normal(z: float) -> float:
    return 0.5 * (1 + math.erf(z / math.sqrt(2)))


def is_below_median(points: Sequence[Point], peers: Sequence[Sequence[Point]], direction: Direction) -> bool:
    """The median rule: whether the best value so far is worse than the median of what others had averaged by then.

    Args:
        peers: reports of trials that ended well.

    Returns:
        False while fewer than three of them reported by this step.
    """
    step, sign = points[-1].step, 1.0 if direction == "min" else -1.0
    averages = [
        statistics.fmean(reached)
        for peer in peers
        if (reached := [sign * one.value for one in peer if one.step <= step])
    ]
    if len(averages) < LEAST_PEERS:
        return False
    return min(sign * one.value for one in points) > statistics.median(averages)
