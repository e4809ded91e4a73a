"""Campaigns side by side: the best so far against the compute that it took, seed by seed.

Arms are compared at the same compute, the least that any of them spent, because more rounds find a better best.
"""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from autoresearch.errors import BadConfig
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
    group: str = ""
    """Campaigns that differ in their seeds alone, by tag and comma."""

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
    """One arm, or one campaign's way to run it, against another, over the seeds that both have."""

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


def tracks_of(campaigns: Mapping[str, Sequence[Final]], groups: Iterable[str] = ()) -> list[Track]:
    """By tag and arm, in the order of their rounds; `groups` are tags with commas, each its own unless told."""
    group_of = {tag: group for group in groups for tag in group.split(",")}
    found: dict[tuple[str, str], list[Final]] = {}
    for tag, finals in campaigns.items():
        for one in finals:
            found.setdefault((tag, one.arm), []).append(one)
    return [
        Track(tag, arm, min(one.seed for one in rows), rows, group_of.get(tag, tag))
        for (tag, arm), rows in found.items()
    ]


def common_seconds(tracks: Iterable[Track]) -> float:
    """The compute at which all may be compared."""
    return min((one.spent for one in tracks if one.spent > 0), default=0.0)


def sides_of(tracks: Iterable[Track]) -> dict[str, list[Track]]:
    """Who may be held against whom, by name: an arm over its seeds.

    Where two campaigns ran an arm on one seed, they are different ways to run it: each group of them is a side,
    `arm@group`.

    Raises:
        BadConfig: two of a group ran on one seed.
    """
    arms: dict[str, list[Track]] = {}
    for one in tracks:
        arms.setdefault(one.arm, []).append(one)
    sides: dict[str, list[Track]] = {}
    for arm, own in arms.items():
        is_one = len({one.seed for one in own}) == len(own)
        for one in own:
            side = sides.setdefault(arm if is_one else f"{arm}@{one.group}", [])
            if same := next((other.tag for other in side if other.seed == one.seed), None):
                raise BadConfig(
                    f"campaigns joined by a comma must differ in their seeds but {same} and {one.tag} ran {arm} on "
                    f"seed {one.seed}; name them as TAG OTHER"
                )
            side.append(one)
    return sides


def contrasts_of(tracks: Iterable[Track], of: str) -> list[Contrast]:
    """A side against each other one, at the compute that all tracks of the two have spent."""
    sides, found = sides_of(tracks), []
    for other in sides:
        contrast = _contrast(sides, of, other)
        found += [contrast] if other != of and contrast.num_seeds else []
    return found


def _contrast(sides: Mapping[str, Sequence[Track]], of: str, other: str) -> Contrast:
    seconds = common_seconds([*sides[of], *sides[other]])
    best, against = ({one.seed: one.best_at(seconds) for one in sides[name]} for name in (of, other))
    pairs = [(best[seed], against[seed]) for seed in sorted(best.keys() & against.keys())]
    gaps = [a - b for a, b in pairs if math.isfinite(a) and math.isfinite(b)]
    lost = sum(math.isinf(a) and math.isfinite(b) for a, b in pairs)
    return Contrast(of, other, gaps, lost, sum(math.isfinite(a) and math.isinf(b) for a, b in pairs))
