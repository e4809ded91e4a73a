"""The parts of each dimension: never tried, tried, or bad.

A part is called bad only on the word of rounds that equal the best one in every other dimension, so that a high peak
that failed without decay says nothing of high peaks. What is called bad is told to a controller that reads, and
excludes nothing from being proposed.
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
    found = []
    for dimension, parts in enumerate(PARTS):
        low, width = frame.low[dimension], (frame.high[dimension] - frame.low[dimension]) / parts
        inside: list[list[Features]] = [[] for _ in range(parts)]
        for one in rounds:
            inside[part_of(dimension, one.coordinates, frame)].append(one)
        bad = _bad_parts(dimension, inside, credit, pool) if credit else set()
        found += [
            Region(dimension, low + part * width, low + (part + 1) * width, len(inside[part]), part in bad)
            for part in range(parts if width > 0 else 0)
        ]
    return found


def _bad_parts(
    dimension: int, inside: Sequence[Sequence[Features]], credit: Credit, pool: Sequence[Coordinates]
) -> set[int]:
    """Parts that rounds differing in this dimension alone speak against, and in which the regression has no hope."""
    told = [one for part in inside for one in part if one.result is not None]
    champion = min(told, key=lambda one: one.result or 0.0)
    peers = [one for one in told if _differs_alone(one, champion, dimension, credit.frame, same=True)]
    bad = set()
    for number, part in enumerate(inside):
        alike = [one for one in part if _differs_alone(one, champion, dimension, credit.frame)]
        if alike and champion not in part and _is_worse(alike, peers, credit.sigma):
            bad.add(number)
    if not bad:
        return bad
    places = [part_of(dimension, at, credit.frame) for at in pool]
    mean, doubt = credit.predict(pool)
    enough = float(credit.predict([champion.coordinates])[0][0]) + 2 * credit.sigma
    return (bad & {*places}) - {
        place for place, hope in zip(places, mean - DOUBT * doubt, strict=True) if hope <= enough
    }


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
