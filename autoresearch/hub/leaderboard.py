"""The leaderboard as a pure function of results: who leads, and how sure that is.

A board compares what has the same platform and regime. Results of one train.py (of one commit, as long as that was not
pushed) are a group; its estimate is their mean, never its best run. The noise of one run is pooled over all groups of
the board, as `autoresearch.verdict.estimate_noise` says; a group that scatters far more than the rest has its own.
Until some group has two runs it is unknown, means have no interval, and nothing but the first group is a record.

Order: by the worse end of the 95% interval of the mean, so that one lucky run does not lead.
Labels, in the order in which the groups arrived: the first group is the `baseline` and holds the record. A later one is
a `record` when its mean is better than the holder's by more than the noise of their difference allows, and then holds
it. The error allowed for all comparisons of a board together is 5%, split evenly (Bonferroni), since the best of many
tries is better by luck alone. What measures better than the last holder without clearing that is a `candidate`: `gain`
of it was measured, `needed` is what its number of runs would need. More runs of it, best by others, settle it.
Trust: a group is `self-reported` until a second agent measured it; then `replicated` if the means of any two agents lie
within 1% of each other (the same code on another card of the same kind was seen 0.5% off), else `disputed`.

It covers neither lies (whoever may report may invent a number, and only a replicate shows it) nor machines of one
platform that differ, except as far as agents measured the same code and so made the noise larger.
"""

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from typing import Any, Literal

from autoresearch.hub.store.measurement import is_near
from autoresearch.verdict import UNSTABLE_RATIO, Noise, estimate_noise, probability_below

Row = Mapping[str, Any]
Direction = Literal["min", "max"]
INTERVAL = 0.95
FALSE_RECORDS = 0.05
MOST_AGENTS = 8
NORMAL_FROM = 200
HELD = ("baseline", "record")
UNKNOWN = Noise(0.0, 0)
"""The noise of a board on which nothing was run twice: a guess makes no record."""


@dataclass(eq=False)
class Group:
    """The results of one train.py on one board."""

    rows: list[Row]
    noise: Noise
    """Of one run of it."""
    label: str = ""
    against: "Group | None" = None
    """The holder with which it was compared."""
    needed: float = math.inf
    """How much better than `against` it has to be for a record."""
    values: list[float] = field(init=False)
    mean: float = field(init=False)

    def __post_init__(self) -> None:
        self.values = [row["value"] for row in self.rows]
        self.mean = math.fsum(self.values) / len(self.values)
        if len(self.values) > 1 and (own := self.sd or 0.0) > UNSTABLE_RATIO * self.noise.sigma:
            self.noise = Noise(own, len(self.values) - 1)

    @property
    def sd(self) -> float | None:
        """Scatter of its own runs; None of a single one."""
        if len(self.values) < 2:
            return None
        return math.sqrt(math.fsum((x - self.mean) ** 2 for x in self.values) / (len(self.values) - 1))

    @property
    def half(self) -> float:
        """Half the interval of the mean; 0 where the noise is unknown."""
        return (
            quantile((1 + INTERVAL) / 2, self.noise.degrees_of_freedom) * self.noise.sigma / math.sqrt(len(self.rows))
        )


def boards(rows: Iterable[Row], direction: Direction = "min", limit: int = 50) -> list[dict[str, Any]]:
    """All boards, by platform and regime.

    Args:
        rows: results of one metric that count, in the order of arrival.
        direction: which values are better.
        limit: groups shown of each board.
    """
    sorted_out: dict[tuple[str, str], dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        sorted_out[row["platform"], row["regime"]][row["train_blob"] or row["commit"][:7]].append(row)
    return [
        {
            "platform": platform,
            "regime": regime,
            "direction": direction,
            **board(list(codes.values()), direction, limit),
        }
        for (platform, regime), codes in sorted(sorted_out.items())
    ]


def board(codes: list[list[Row]], direction: Direction, limit: int) -> dict[str, Any]:
    """One board.

    Args:
        codes: results of each train.py, in the order in which they arrived.
    """
    noise = estimate_noise([[row["value"] for row in one] for one in codes]) if max(map(len, codes)) > 1 else UNKNOWN
    groups = [Group(one, noise) for one in codes]
    sign = 1 if direction == "min" else -1
    holder = label(groups, sign)
    ranked = sorted(groups, key=lambda group: sign * group.mean + group.half)
    ranks = {id(group): rank for rank, group in enumerate(ranked, 1)}
    held = [group for group in groups if group.label in HELD]
    return {
        "sigma": noise.sigma if noise is not UNKNOWN else None,
        "degrees_of_freedom": noise.degrees_of_freedom,
        "num_results": sum(len(group.rows) for group in groups),
        "num_groups": len(groups),
        "record": entry(holder, ranks[id(holder)], sign),
        "records": [entry(group, ranks[id(group)], sign) for group in held],
        "entries": [entry(group, rank, sign) for rank, group in enumerate(ranked[:limit], 1)],
    }


def label(groups: list[Group], sign: int) -> Group:
    """Say of each group whether it is baseline, record or candidate; returns the one that holds the record."""
    holder, later = groups[0], groups[1:]
    holder.label = "baseline"
    for group in later:
        group.against = holder
        if gain(group, sign) > 0:
            group.needed = needed(group, holder, FALSE_RECORDS / len(later))
            if gain(group, sign) > group.needed:
                group.label, holder = "record", group
    for group in later:
        if not group.label and sign * group.mean < sign * holder.mean:
            group.label, group.against = "candidate", holder
            group.needed = needed(group, holder, FALSE_RECORDS / len(later))
    return holder


def gain(group: Group, sign: int) -> float:
    """How much better than the holder a group measured; below 0 where it is worse."""
    return sign * (group.against.mean - group.mean) if group.against else 0.0


def needed(group: Group, holder: Group, error: float) -> float:
    """The difference that noise alone exceeds with this probability; infinite where the noise is unknown."""
    noise = max(group.noise, holder.noise, key=lambda noise: noise.sigma)
    if not noise.sigma:
        return math.inf
    spread = noise.sigma * math.sqrt(1 / len(group.rows) + 1 / len(holder.rows))
    return quantile(1 - error, noise.degrees_of_freedom) * spread


def trust(group: Group) -> str:
    """Whether other agents measured the same."""
    by_agent: dict[str, list[float]] = defaultdict(list)
    for row in group.rows:
        by_agent[row["agent_id"]].append(row["value"])
    if len(by_agent) < 2:
        return "self-reported"
    means = sorted(map(statistics.fmean, by_agent.values()))
    return "replicated" if any(is_near(one, other) for one, other in pairwise(means)) else "disputed"


def entry(group: Group, rank: int, sign: int) -> dict[str, Any]:
    """One line of a board."""
    first, half = group.rows[0], group.half if group.noise is not UNKNOWN else None
    compared = group.against is not None and group.label in ("record", "candidate")
    return {
        "rank": rank,
        "label": group.label,
        "trust": trust(group),
        "commit": max((row["commit"] for row in group.rows), key=len),
        "train_blob": first["train_blob"],
        "description": first["description"],
        "agents": list(dict.fromkeys(row["agent_id"] for row in group.rows))[:MOST_AGENTS],
        "n": len(group.rows),
        "mean": group.mean,
        "sd": group.sd,
        "best": sign * min(sign * value for value in group.values),
        "low": None if half is None else group.mean - half,
        "high": None if half is None else group.mean + half,
        "against": group.against.rows[0]["commit"] if compared and group.against else None,
        "gain": gain(group, sign) if compared else None,
        "needed": group.needed if compared and math.isfinite(group.needed) else None,
        "first_result": first["id"],
        "last_result": group.rows[-1]["id"],
    }


@lru_cache(4096)
def quantile(probability: float, degrees_of_freedom: float) -> float:
    """The t below which so much of Student's distribution lies, for a probability of one half or more."""
    if degrees_of_freedom > NORMAL_FROM:
        return statistics.NormalDist().inv_cdf(probability)
    low, high = 0.0, 1.0
    while probability_below(high, degrees_of_freedom) < probability:
        low, high = high, 2 * high
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if probability_below(middle, degrees_of_freedom) < probability else (low, middle)
    return high
