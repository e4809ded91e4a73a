"""Keep, discard or measure again: the statistics behind a verdict, as pure functions of scores.

A change is judged by P(better), the probability that its true score beats the champion's, from the difference of the
two means and the noise of one run. `benchmarks/decision_rule.py --tune` found the boundaries in `BOUNDS`.

What it does not cover: P(better) takes every change as equally likely to help or to hurt, so among many useless ideas
a kept one is wrong more often than 1 - P; scores of different regimes must be refused, and crashed or non-finite
ones left out, by the caller.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

PRIOR_RELATIVE = 5e-4  # noise of one run before any was repeated, as a share of the score: val_bpb on an H100
PRIOR_DF = 3  # repeats that the prior is worth
UNSTABLE_RATIO = 6.0  # a configuration scattering this many times more than the rest tells nothing about the rest
UNSTABLE_MIN_DF = 5  # repeats of other configurations needed before one of them is called unstable
SIMPLER_SIGMAS = 1.0  # how much worse, in noise of one run, a simplification may measure

Decision = Literal["keep", "discard", "again", "again_champion"]
RuleName = Literal["noise", "simpler", "once"]


@dataclass(frozen=True)
class Bounds:
    """P(better) at which a verdict falls; between the bounds something is measured again."""

    keep_early: float
    """Keep at once from here on, while runs are left."""
    keep_last: float
    """Keep from here on when no run is left."""
    discard_first: float
    """Discard below this after the first run."""
    discard_later: float
    """Discard below this after the second and later ones."""
    discard_weak: float
    """Discard below this, first run or not, while the champion has too few runs."""
    champion_lead: int
    """The champion has too few runs unless it has this many more than the candidate."""


BOUNDS = Bounds(
    keep_early=0.995, keep_last=0.94, discard_first=0.73, discard_later=0.85, discard_weak=0.35, champion_lead=3
)


@dataclass(frozen=True)
class Noise:
    """What one more run of the same code would move the score by."""

    sigma: float
    """Standard deviation of one run's score, in its units; 0 only if the scores that gave it are all 0."""
    degrees_of_freedom: float
    """Repeats behind sigma, the prior's share included; infinity means that sigma is known."""


@dataclass(frozen=True)
class Terms:
    """Under which terms an attempt is judged."""

    direction: Literal["min", "max"] = "min"
    """Which scores are better: lower or higher ones."""
    max_runs: int = 3
    """Runs that a candidate may have."""
    simpler: bool = False
    """The attempt is stated to be a simplification."""
    deletes_more: bool = False
    """Its diff deletes more lines than it adds; without this `simpler` changes nothing."""
    once: bool = False
    """Upstream's rule: any better number, whatever the noise."""
    bounds: Bounds = BOUNDS
    """Replaced by the benchmark only."""


@dataclass(frozen=True)
class Verdict:
    """What to do with an attempt, and the numbers behind it."""

    decision: Decision
    """`again` measures the candidate once more, `again_champion` the champion; then the verdict is asked anew."""
    difference: float
    """Mean of the candidate minus mean of the champion, in units of the score."""
    sigma: float
    """Noise of one run that the verdict used, in units of the score."""
    standard_error: float
    """Standard deviation of `difference`: sigma * sqrt(1 / num_runs + 1 / num_champion_runs)."""
    num_runs: int
    """Runs of the candidate; those of the champion follow."""
    num_champion_runs: int
    p_better: float
    """Probability that the candidate's true score is the better one."""
    rule: RuleName
    """Which rule decided."""
    why: str
    """One sentence for the record."""


def estimate_noise(
    groups: Sequence[Sequence[float]], prior_relative: float = PRIOR_RELATIVE, prior_df: int = PRIOR_DF
) -> Noise:
    """Pool the scatter within configurations and shrink it towards a prior.

    Variance: (prior_df * prior² + squared deviations from each configuration's mean) / (prior_df + repeats).
    A configuration that scatters `UNSTABLE_RATIO` times more than all the calmer ones together is left out.

    Args:
        groups: the scores of each configuration measured in this regime, one inner sequence for each; those measured
            once only help to place the prior.
        prior_relative: standard deviation of one run, as a share of the median configuration's mean.
        prior_df: repeats that the prior counts for.

    Raises:
        ValueError: no score was given.
    """
    means = [statistics.fmean(group) for group in groups if group]
    if not means:
        raise ValueError("noise needs at least one measured configuration, but got none; run setup first")
    prior = prior_relative * abs(statistics.median(means))
    repeated = [(len(group) - 1, (len(group) - 1) * _variance(group)) for group in groups if len(group) > 1]
    num_repeats, squares = 0, 0.0
    for df, square in sorted(repeated, key=lambda item: item[1] / item[0]):
        if num_repeats >= UNSTABLE_MIN_DF and square / df > UNSTABLE_RATIO**2 * squares / num_repeats:
            break
        num_repeats, squares = num_repeats + df, squares + square
    total_df = prior_df + num_repeats
    return Noise(math.sqrt((prior_df * prior**2 + squares) / total_df), total_df)


def luck_of(kept: Verdict, num_runs: int) -> float:
    """Estimate how much better than it is a champion measures, because it was chosen for measuring well.

    The expected share of luck in a difference, after James and Stein (1961): standard_error² / difference², here of
    the champion's own runs alone; what it has run since thins it out.

    Args:
        kept: the verdict that made it champion.
        num_runs: its runs by now, those behind that verdict included.
    """
    gain = abs(kept.difference)
    if kept.p_better < 0.5 or gain == 0:  # kept as simpler, not for its score
        return 0.0
    own_share = kept.num_champion_runs / (kept.num_runs + kept.num_champion_runs)
    return own_share * min(gain, kept.standard_error**2 / gain) * kept.num_runs / num_runs


def decide(
    candidate: Sequence[float], champion: Sequence[float], noise: Noise, terms: Terms = Terms(), luck: float = 0.0
) -> Verdict:
    """Judge a candidate from its runs so far against the champion's.

    Asked again after every measurement that it calls for, it ends after at most `max_runs` runs of the candidate and
    `max_runs + champion_lead` of the champion. It keeps no candidate whose mean is not better, except as `simpler`.

    Args:
        candidate: finite scores of its runs, at least one.
        champion: finite scores of the commit at the tip of the branch, at least one.
        noise: of this regime, the candidate's repeats included.
        terms: direction, limits and the special rules.
        luck: of the champion, as `luck_of` says; P(better) allows for it.

    Raises:
        ValueError: a side has no score, or max_runs is below 1.
    """
    if not candidate or not champion:
        raise ValueError(
            f"both sides need a score, but got {len(candidate)} of the candidate, {len(champion)} of the champion"
        )
    if terms.max_runs < 1:
        raise ValueError(f"max_runs must be at least 1, but got {terms.max_runs!r}")
    measured = _compare(candidate, champion, noise, terms.direction, luck)
    worse = measured.difference if terms.direction == "min" else -measured.difference
    if terms.once:
        decision: Decision = "keep" if worse < 0 else "discard"
        return replace(measured, decision=decision, rule="once", why="any better number is kept")
    verdict = _judge(measured, terms)
    if terms.simpler and terms.deletes_more and verdict.decision != "keep":
        return _judge_simpler(measured, worse, SIMPLER_SIGMAS * noise.sigma, terms.max_runs)
    if terms.simpler and not terms.deletes_more:
        return replace(verdict, why=f"{verdict.why}; not judged as simpler: the diff does not delete more than it adds")
    return verdict


def probability_below(t: float, degrees_of_freedom: float) -> float:
    """Return the cumulative probability of Student's t, by the finite series for whole degrees of freedom.

    Abramowitz and Stegun, 26.7.3 and 26.7.4; above 200 degrees of freedom the normal distribution stands in.
    """
    if degrees_of_freedom > 200 or math.isinf(t):
        return 0.5 * math.erfc(-t / math.sqrt(2))
    df = max(1, int(degrees_of_freedom))
    angle = math.atan2(t, math.sqrt(df))
    cosine, odd = math.cos(angle), df % 2
    term = cosine if odd else 1.0
    total = 0.0 if df == 1 else term
    for k in range(2 + odd, df - 1, 2):
        term *= cosine**2 * (k - 1) / k
        total += term
    within = 2 / math.pi * (angle + math.sin(angle) * total) if odd else math.sin(angle) * total
    return min(1.0, max(0.0, (1 + within) / 2))


def headline(verdict: Verdict) -> str:
    """Return the verdict as one line: decision, difference ± its standard error, runs, P(better)."""
    scale, name = verdict.standard_error, verdict.decision.replace("_", " ")
    runs = f"{verdict.num_runs} run{'' if verdict.num_runs == 1 else 's'}"
    marked = "" if verdict.rule == "noise" else f", --{verdict.rule}"
    numbers = f"{runs}, P(better) {_probability(verdict.p_better)}{marked}"
    return f"{name}  {signed(verdict.difference, scale)} ± {plain(scale, scale)} ({numbers})"


def _variance(scores: Sequence[float]) -> float:
    mean = statistics.fmean(scores)  # statistics.variance sums exact fractions, a hundred times slower
    return sum((score - mean) ** 2 for score in scores) / (len(scores) - 1)


def _compare(
    candidate: Sequence[float], champion: Sequence[float], noise: Noise, direction: str, luck: float
) -> Verdict:
    """Return the numbers of a verdict that nothing has decided yet."""
    sigma, df = noise.sigma, noise.degrees_of_freedom
    own = math.sqrt(_variance(candidate)) if len(candidate) > 1 else 0.0
    if own > UNSTABLE_RATIO * sigma:  # one lucky run of an unstable change must not count as precise
        sigma, df = own, len(candidate) - 1
    difference = statistics.fmean(candidate) - statistics.fmean(champion)
    gain = luck + (difference if direction == "max" else -difference)
    standard_error = sigma * math.sqrt(1 / len(candidate) + 1 / len(champion))
    t = gain / standard_error if standard_error else math.copysign(math.inf, gain) if gain else 0.0
    runs = len(candidate), len(champion)
    return Verdict("again", difference, sigma, standard_error, *runs, probability_below(t, df), "noise", "")


def _judge(measured: Verdict, terms: Terms) -> Verdict:
    bounds, k, p = terms.bounds, measured.num_runs, measured.p_better
    champion_is_weaker = measured.num_champion_runs < k + bounds.champion_lead
    last = k >= terms.max_runs and not champion_is_weaker
    needed = bounds.keep_last if last else bounds.keep_early
    hopeless = bounds.discard_first if k == 1 else bounds.discard_later
    hopeless = needed if last else bounds.discard_weak if champion_is_weaker else hopeless
    found = f"P(better) {_probability(p)}"
    if p >= needed:
        return replace(measured, decision="keep", why=f"{found} reaches {needed}")
    if p < hopeless:
        return replace(measured, decision="discard", why=f"{found} is below {hopeless}")
    if champion_is_weaker:
        why = f"{found} is undecided and the champion has {measured.num_champion_runs} runs"
        return replace(measured, decision="again_champion", why=why)
    return replace(measured, decision="again", why=f"{found} is undecided after {k} of {terms.max_runs} runs")


def _judge_simpler(measured: Verdict, worse: float, margin: float, max_runs: int) -> Verdict:
    """Keep what is not worse by more than the margin; repeat a first run that is worse, but by less than two."""
    decision: Decision = "keep" if worse <= margin else "discard"
    if measured.num_runs == 1 < max_runs and 0 < worse <= 2 * margin:
        decision = "again"
    why = f"simpler, worse by {plain(max(0.0, worse), margin)}; {plain(margin, margin)} is allowed"
    return replace(measured, decision=decision, rule="simpler", why=why)


def _decimals(standard_error: float) -> int:
    """Return the decimals that show one digit of an uncertainty, two if that digit would be 1."""
    if not standard_error:
        return 6
    decimals = -math.floor(math.log10(standard_error))
    return max(0, decimals + (standard_error * 10**decimals < 2))


def plain(value: float, scale: float) -> str:
    """A number with the decimals that an uncertainty allows."""
    return f"{value:.{_decimals(scale)}f}"


def signed(value: float, scale: float) -> str:
    """The same with its sign."""
    return f"{value:+.{_decimals(scale)}f}".replace("-", "−")


def _probability(p: float) -> str:
    return ">0.999" if p > 0.9995 else "<0.001" if p < 0.0005 else f"{p:.3f}"
