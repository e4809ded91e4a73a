"""Campaigns side by side: the best so far against the compute that it took, seed by seed.

Arms are compared at the same compute, the least that any of them spent, because more rounds find a better best.
"""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from autoresearch.steer import standing
from autoresearch.steer.rows import Final
from autoresearch.verdict import probability_below


@dataclass(frozen=True)
class Track:
    """The rounds of one arm in one campaign."""

    tag: str
    arm: str
    seed: int
    """Of its first round: arms of one seed are compared."""
    finals: list[Final]

    @property
    def way(self) -> list[tuple[float, float]]:
        """Seconds spent up to each round that tells something, and the best result by then."""
        told = [one for one in self.finals if one.status != "infra_fail"]
        spent, found = 0.0, []
        for one, best in zip(told, standing.best_so_far(told), strict=True):
            spent += one.seconds
            found.append((spent, best))
        return found

    @property
    def spent(self) -> float:
        """Seconds of all of them."""
        return sum(one.seconds for one in self.finals if one.status != "infra_fail")

    @property
    def num_diverged(self) -> int:
        """Rounds that were lost."""
        return sum(one.status == "diverged" for one in self.finals)

    def best_at(self, seconds: float) -> float:
        """The best result of the rounds that were over by then; infinity where there is none."""
        return min((best for spent, best in self.way if spent <= seconds * (1 + 1e-9)), default=math.inf)


@dataclass(frozen=True)
class Contrast:
    """One arm against another, over the seeds that both have."""

    arm: str
    other: str
    differences: list[float]
    """Of each seed in which both found something, arm minus other: negative where the arm is better."""
    num_lost: int = 0
    num_other_lost: int = 0
    """Seeds in which the arm alone, or the other alone, found nothing."""

    @property
    def num_seeds(self) -> int:
        """In which one of them at least found something."""
        return len(self.differences) + self.num_lost + self.num_other_lost

    @property
    def num_won(self) -> int:
        """Seeds in which the arm is better; who finds something beats who finds nothing."""
        return sum(gap < 0 for gap in self.differences) + self.num_other_lost

    @property
    def mean(self) -> float | None:
        """Over the seeds in which both found something; None without one."""
        return statistics.fmean(self.differences) if self.differences else None

    @property
    def error(self) -> float | None:
        """Standard error of the mean; None with one seed, which says nothing of others."""
        num = len(self.differences)
        return statistics.stdev(self.differences) / math.sqrt(num) if num > 1 else None

    @property
    def p_better(self) -> float | None:
        """Probability that the arm is truly better (Student's t); None where scatter is unknown or seeds were lost."""
        if self.mean is None or not self.error or self.num_lost or self.num_other_lost:
            return None
        return probability_below(-self.mean / self.error, len(self.differences) - 1)


def tracks_of(campaigns: Mapping[str, Sequence[Final]]) -> list[Track]:
    """By tag and arm, in the order of their rounds."""
    groups: dict[tuple[str, str], list[Final]] = {}
    for tag, finals in campaigns.items():
        for one in finals:
            groups.setdefault((tag, one.arm), []).append(one)
    return [Track(tag, arm, min(one.seed for one in rows), rows) for (tag, arm), rows in groups.items()]


def common_seconds(tracks: Iterable[Track]) -> float:
    """The compute at which all may be compared."""
    return min((one.spent for one in tracks if one.spent > 0), default=0.0)


def contrasts_of(tracks: Sequence[Track], arm: str) -> list[Contrast]:
    """An arm against each other one, at the compute that all of the two have spent."""
    found = []
    for other in dict.fromkeys(one.arm for one in tracks if one.arm != arm):
        pair = [one for one in tracks if one.arm in (arm, other)]
        seconds = common_seconds(pair)
        best = {name: {one.seed: one.best_at(seconds) for one in pair if one.arm == name} for name in (arm, other)}
        seeds = sorted(best[arm].keys() & best[other].keys())
        pairs = [(best[arm][seed], best[other][seed]) for seed in seeds]
        gaps = [a - b for a, b in pairs if math.isfinite(a) and math.isfinite(b)]
        lost = sum(math.isinf(a) and math.isfinite(b) for a, b in pairs)
        contrast = Contrast(arm, other, gaps, lost, sum(math.isfinite(a) and math.isinf(b) for a, b in pairs))
        found += [contrast] if contrast.num_seeds else []
    return found
