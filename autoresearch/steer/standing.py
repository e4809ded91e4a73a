"""Where a campaign stands: noise, plateau, and which plans were run often enough to be reported."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from autoresearch.steer.plan import Plan
from autoresearch.steer.rows import Final
from autoresearch.verdict import estimate_noise

PRIOR_RELATIVE = 0.0015  # noise of one result before any plan was repeated, as a share of it
LEAST_GAIN = 0.003  # of the best result: a smaller gain does not end a plateau
PATIENCE = 5  # rounds without a gain that make a plateau
REPEATS = 3  # runs of a plan before it is reported
NUM_REPORTED = 2


@dataclass(frozen=True)
class Standing:
    """A plan, with all its runs."""

    plan: Plan
    results: tuple[float, ...]
    """Of the runs that came to their end."""
    num_diverged: int
    """Lost, or saved by a rollback."""
    num_runs: int
    """That tell something: infrastructure's failures left out."""
    mean: float
    sd: float
    """Of one run: of its own results, shrunk to the noise of the campaign."""

    @property
    def score(self) -> float:
        """What plans are ranked by: a plan that is good on average and unsteady is not a good plan."""
        return self.mean + self.sd

    @property
    def p_diverge(self) -> float:
        """Mean of its probability to diverge, from a Jeffreys prior."""
        return (self.num_diverged + 0.5) / (self.num_runs + 1)

    @property
    def is_confirmed(self) -> bool:
        """Whether it ran often enough to be reported."""
        return self.num_runs >= REPEATS


def scored(finals: Sequence[Final]) -> list[float]:
    """Finite results of rounds that came to their end, in their order."""
    return [value for one in finals if (value := result_of(one)) is not None]


def result_of(final: Final) -> float | None:
    """Its result if it came to its end with a finite one."""
    usable = final.status == "ok" and final.result is not None and math.isfinite(final.result)
    return final.result if usable else None


def sigma_of(finals: Sequence[Final]) -> float:
    """Standard deviation of one result, pooled over the plans that were repeated; 0 without results."""
    groups: dict[str, list[float]] = {}
    calm = [one for one in finals if not one.num_rollbacks and result_of(one) is not None]
    for one in calm or finals:  # where all were rescued, what came of them is all there is
        if (value := result_of(one)) is not None:
            groups.setdefault(one.plan.model_dump_json(), []).append(value)
    return estimate_noise(list(groups.values()), PRIOR_RELATIVE).sigma if groups else 0.0


def best_so_far(finals: Sequence[Final]) -> list[float]:
    """Lowest result up to each round that tells something; infinity before the first."""
    best, found = math.inf, []
    for one in finals:
        if one.status != "infra_fail":
            best = min(best, value) if (value := result_of(one)) is not None else best
            found.append(best)
    return found


def is_plateau(finals: Sequence[Final]) -> bool:
    """Whether the best result gained no more than max(2 sigma, 0.3%) over the last five rounds.

    Only the best result counts: a round that tries something new ends a plateau if it is better, not by being new.
    """
    best = best_so_far(finals)
    if len(best) <= PATIENCE or not math.isfinite(best[-1 - PATIENCE]):
        return False
    return best[-1 - PATIENCE] - best[-1] <= max(2 * sigma_of(finals), LEAST_GAIN * abs(best[-1]))


def standings(finals: Sequence[Final]) -> list[Standing]:
    """Every plan that gave a result, by mean + 1 sd.

    A diverged run counts as worse than the worst result of the campaign, by as much as the median is than the best.
    """
    told = [one for one in finals if one.status not in ("infra_fail", "budget")]
    values, sigma = scored(told), sigma_of(told)
    groups: dict[str, list[Final]] = {}
    for one in told:
        groups.setdefault(one.plan.model_dump_json(), []).append(one)
    found = []
    for runs in groups.values():
        own = scored(runs)
        if not own:
            continue
        num_lost = sum(result_of(one) is None and one.status == "diverged" for one in runs)
        counted = [*own, *[max(values) + statistics.median(values) - min(values)] * num_lost]
        scatter = sum((value - statistics.fmean(counted)) ** 2 for value in counted)
        sd = math.sqrt((3 * sigma**2 + scatter) / (2 + len(counted)))
        num_diverged = sum(one.status == "diverged" or one.num_rollbacks > 0 for one in runs)
        num_runs = sum(one.status != "aborted" or one.num_rollbacks > 0 for one in runs)
        found.append(Standing(runs[0].plan, tuple(own), num_diverged, num_runs, statistics.fmean(counted), sd))
    return sorted(found, key=lambda one: one.score)


def reported(finals: Sequence[Final]) -> list[Standing]:
    """The best plans that ran at least three times, those last that are as likely lost as not."""
    confirmed = [one for one in standings(finals) if one.is_confirmed]
    return sorted(confirmed, key=lambda one: one.p_diverge >= 0.5)[:NUM_REPORTED]
