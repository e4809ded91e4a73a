"""The parts of each dimension: never tried, tried, or bad.

A part is called bad only on the word of rounds that equal the best one in every other dimension, so that a high peak that
failed without decay says nothing of high peaks. What is called bad is told to a controller that reads, and excludes
nothing from being proposed.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from autoresearch.steer.credit import DIMENSIONS, Credit, Frame
from autoresearch.steer.features import Coordinates, Features

PARTS = (6, 3, 3, 3)  # of each dimension
ALIKE = 0.25  # half ranges by which rounds may differ where they count as equal
LOST = 2  # diverged rounds, with none that came through, before a part is bad
DOUBT = 1.64  # standard deviations: 90% of the probability lies within


@dataclass(frozen=True)
class Region:
    """One part of one dimension."""

    dimension: int
    low: float
    high: float
    """Coordinates at its ends."""
    num_rounds: int
    is_bad: bool

    @property
    def words(self) -> str:
        """The dimension and its ends, in units that a person reads."""
        name = DIMENSIONS[self.dimension]
        if name.startswith("log_"):
            return f"{name[4:]} {math.exp(self.low):.2g}..{math.exp(self.high):.2g}"
        return f"{name} {self.low:.2g}..{self.high:.2g}"


def part_of(dimension: int, at: Coordinates, frame: Frame) -> int:
    """The number of the part that a place lies in; what is beyond the range belongs to the last."""
    place = (frame.scale(at)[dimension] + 1) / 2
    return min(PARTS[dimension] - 1, max(0, int(place * PARTS[dimension])))


def regions_of(
    rounds: Sequence[Features], frame: Frame, credit: Credit | None, pool: Sequence[Coordinates] = ()
) -> list[Region]:
    """All parts of all dimensions.

    Args:
        credit: None: nothing is called bad.
        pool: places all over the ranges, at which the regression is asked for the best that a part may hold.
    """
    hopes = _hopes(credit, pool) if credit else []
    told = [one for one in rounds if one.result is not None]
    champion = min(told, key=lambda one: one.result or 0.0) if told else None
    found = []
    for dimension, parts in enumerate(PARTS):
        low, width = frame.low[dimension], (frame.high[dimension] - frame.low[dimension]) / parts
        for part in range(parts if width > 0 else 0):
            inside = [one for one in rounds if part_of(dimension, one.coordinates, frame) == part]
            is_bad = False
            if credit and champion and inside and part != part_of(dimension, champion.coordinates, frame):
                hope = [bound for at, bound in zip(pool, hopes, strict=True) if part_of(dimension, at, frame) == part]
                alike = [one for one in inside if _differs_alone(one, champion, dimension, frame)]
                peers = [one for one in told if _differs_alone(one, champion, dimension, frame, same=True)]
                is_bad = bool(hope) and min(hope) > credit.best and _is_worse(alike, peers, credit.sigma)
            found.append(Region(dimension, low + part * width, low + (part + 1) * width, len(inside), is_bad))
    return found


def _hopes(credit: Credit, pool: Sequence[Coordinates]) -> list[float]:
    """The lowest result that each place may well have."""
    mean, doubt = credit.predict(pool)
    return [float(one) for one in mean - DOUBT * doubt]


def _differs_alone(one: Features, champion: Features, dimension: int, frame: Frame, same: bool = False) -> bool:
    """Whether a round equals the champion in all dimensions but one; with `same` in that one as well."""
    apart = [abs(a - b) for a, b in zip(frame.scale(one.coordinates), frame.scale(champion.coordinates), strict=True)]
    return all(gap <= ALIKE for place, gap in enumerate(apart) if same or place != dimension)


def _is_worse(alike: Sequence[Features], peers: Sequence[Features], sigma: float) -> bool:
    """Whether rounds are worse than their peers beyond noise, or were lost again and again."""
    results = [one.result for one in alike if one.result is not None]
    if not results:
        return sum(one.diverged for one in alike) >= LOST
    best = [one.result for one in peers if one.result is not None]
    error = sigma * math.sqrt(1 / len(results) + 1 / len(best))
    return statistics.fmean(results) - statistics.fmean(best) > 2 * error
