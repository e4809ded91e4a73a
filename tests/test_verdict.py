"""The rule of a verdict: what it keeps, what it repeats, and how often it is wrong."""

import json
import math
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from autoresearch import verdict
from autoresearch.verdict import Noise, Terms, decide, estimate_noise, headline, probability_below

ROOT = Path(__file__).resolve().parent.parent
KNOWN = Noise(0.001, math.inf)
SIMPLER = Terms(simpler=True, deletes_more=True)


# The distribution and the noise


@pytest.mark.parametrize(
    ("t", "df", "expected"),
    [
        (6.3138, 1, 0.95),
        (2.9200, 2, 0.95),
        (2.3534, 3, 0.95),
        (4.0321, 5, 0.995),
        (1.3722, 10, 0.9),
        (1.9850, 96, 0.975),
    ],
)
def test_probability_below_agrees_with_tables(t, df, expected):
    assert probability_below(t, df) == pytest.approx(expected, abs=2e-5)
    assert probability_below(-t, df) == pytest.approx(1 - expected, abs=2e-5)


def test_probability_below_reaches_the_normal_distribution():
    assert probability_below(1.6448536, math.inf) == pytest.approx(0.95, abs=1e-6)
    assert probability_below(1.6448536, 200) == pytest.approx(0.95, abs=1e-3)
    assert probability_below(math.inf, 3) == 1.0
    assert probability_below(-math.inf, 3) == 0.0


def test_noise_of_one_run_is_the_prior():
    noise = estimate_noise([[2.0]])
    assert noise.sigma == pytest.approx(0.001)
    assert noise.degrees_of_freedom == verdict.PRIOR_DF


def test_noise_pools_repeats_and_forgets_the_prior():
    rng = random.Random(1)
    groups = [[1 + k / 100 + rng.gauss(0, 0.004) for _ in range(3)] for k in range(-60, 60)]
    noise = estimate_noise(groups)
    assert noise.sigma == pytest.approx(0.004, rel=0.1)
    assert noise.degrees_of_freedom == verdict.PRIOR_DF + 240


def test_noise_weighs_prior_and_repeats_by_their_number():
    noise = estimate_noise([[1.0, 1.002]], prior_relative=0.001, prior_df=3)
    prior, squares = 0.001 * 1.001, 2e-6
    assert noise.sigma == pytest.approx(math.sqrt((3 * prior**2 + squares) / 4))


def test_noise_leaves_one_unstable_configuration_out():
    calm = [[1.0, 1.001], [0.99, 0.991], [0.98, 0.9805], [1.0, 1.0008], [1.01, 1.011]]
    without, noise = estimate_noise(calm), estimate_noise([*calm, [0.97, 2.5]])
    assert noise.sigma == pytest.approx(without.sigma, rel=0.01)
    assert noise.degrees_of_freedom == without.degrees_of_freedom


def test_noise_needs_a_score():
    with pytest.raises(ValueError, match="run setup first"):
        estimate_noise([[], []])


# The verdict


def test_verdict_far_worse_is_discarded_after_one_run():
    assert decide([1.01], [1.0, 1.0], KNOWN).decision == "discard"


def test_verdict_far_better_is_kept_after_one_run():
    assert decide([0.99], [1.0, 1.0], KNOWN).decision == "keep"


def test_verdict_in_between_measures_the_weaker_champion_first():
    assert decide([0.9985], [1.0, 1.0], KNOWN).decision == "again_champion"
    assert decide([0.9985], [1.0] * 8, KNOWN).decision == "again"


def test_verdict_is_final_when_no_run_is_left():
    champion = [1.0] * (3 + verdict.BOUNDS.champion_lead)
    assert decide([0.9988] * 3, champion, KNOWN).decision == "keep"
    assert decide([0.9993] * 3, champion, KNOWN).decision == "discard"


def test_verdict_names_its_numbers():
    found = decide([0.9970, 0.9968], [1.0, 1.0002], KNOWN)
    assert found.difference == pytest.approx(-0.0032)
    assert (found.sigma, found.num_runs, found.num_champion_runs, found.rule) == (0.001, 2, 2, "noise")
    assert found.standard_error == pytest.approx(0.001)
    assert "reaches" in found.why


def test_verdict_with_few_repeats_is_more_careful():
    assert decide([0.9966], [1.0, 1.0], KNOWN).decision == "keep"
    assert decide([0.9966], [1.0, 1.0], Noise(0.001, 3)).decision == "again_champion"


def test_verdict_does_not_trust_one_lucky_run_of_an_unstable_change():
    assert decide([0.90, 1.05, 1.0], [1.0] * 6, KNOWN).decision == "discard"


def test_verdict_without_noise_goes_by_the_sign():
    silent = Noise(0.0, 3)
    assert decide([0.9], [1.0], silent).decision == "keep"
    assert decide([1.1], [1.0], silent).decision == "discard"


@pytest.mark.parametrize(("candidate", "champion", "max_runs"), [([], [1.0], 3), ([1.0], [], 3), ([1.0], [1.0], 0)])
def test_verdict_refuses_missing_scores_and_runs(candidate, champion, max_runs):
    with pytest.raises(ValueError, match="but got"):
        decide(candidate, champion, KNOWN, Terms(max_runs=max_runs))


def test_once_keeps_any_lower_number_and_says_so():
    found = decide([0.99999], [1.0], KNOWN, Terms(once=True))
    assert (found.decision, found.rule) == ("keep", "once")
    assert decide([1.0], [1.0], KNOWN, Terms(once=True)).decision == "discard"
    assert headline(found).endswith(", --once)")


def test_simpler_keeps_what_is_not_worse_by_more_than_the_noise():
    champion = [1.0] * 6
    assert decide([0.9999], champion, KNOWN, SIMPLER).decision == "keep"
    assert decide([1.0015], champion, KNOWN, SIMPLER).decision == "again"
    assert decide([1.0015, 1.0003], champion, KNOWN, SIMPLER).decision == "keep"
    assert decide([1.0015, 1.0013], champion, KNOWN, SIMPLER).decision == "discard"
    assert decide([1.0025], champion, KNOWN, SIMPLER).decision == "discard"


def test_simpler_needs_a_diff_that_deletes_more():
    found = decide([1.0005], [1.0] * 6, KNOWN, replace(SIMPLER, deletes_more=False))
    assert (found.decision, found.rule) == ("discard", "noise")
    assert "does not delete more" in found.why


@pytest.mark.parametrize(
    ("candidate", "champion", "sigma", "expected"),
    [
        ([0.9669, 0.9669], [0.97, 0.97], 6e-4, "keep  −0.0031 ± 0.0006 (2 runs, P(better) >0.999)"),
        ([0.9718], [0.97], 5e-4, "discard  +0.0018 ± 0.0007 (1 run, P(better) 0.005)"),
        ([29.6], [30.1, 30.1], 0.3, "again champion  −0.5 ± 0.4 (1 run, P(better) 0.913)"),
    ],
)
def test_headline_shows_what_the_noise_allows(candidate, champion, sigma, expected):
    assert headline(decide(candidate, champion, Noise(sigma, math.inf))) == expected


# The champion's luck


def test_luck_is_the_share_of_noise_in_the_step_and_thins_out():
    kept = decide([0.996], [1.0, 1.0], KNOWN)
    assert kept.decision == "keep"
    assert verdict.luck_of(kept, 1) == pytest.approx(2 / 3 * 1.5e-6 / 0.004)
    assert verdict.luck_of(kept, 4) == pytest.approx(verdict.luck_of(kept, 1) / 4)
    barely = decide([0.9999], [1.0, 1.0], KNOWN, Terms(once=True))
    assert verdict.luck_of(barely, 1) == pytest.approx(2 / 3 * 1e-4), "never more than the step itself"
    assert verdict.luck_of(decide([1.0009], [1.0] * 6, KNOWN, SIMPLER), 1) == 0


def test_luck_is_most_of_what_selection_adds_and_no_more():
    luck: list[float] = []
    added: list[float] = []
    rng = random.Random(3)
    while len(luck) < 2000:
        effect, champion = rng.uniform(1, 6), [rng.gauss(0, 1), rng.gauss(0, 1)]
        runs = [rng.gauss(-effect, 1)]
        if (kept := decide(runs, champion, Noise(1.0, math.inf))).decision == "keep":
            luck.append(verdict.luck_of(kept, 1))
            added.append(-effect - runs[0])
    assert 0.5 * sum(added) < sum(luck) < sum(added)


def test_luck_counts_for_the_candidate():
    champion = [1.0] * 6
    without, allowed = decide([0.999], champion, KNOWN), decide([0.999], champion, KNOWN, luck=5e-4)
    assert allowed.p_better > without.p_better and allowed.difference == without.difference


# Properties

unhurried = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])  # busy machines

offsets = st.lists(st.integers(-6000, 6000).map(lambda k: k / 1000), min_size=1, max_size=3)  # in noise of one run
champions = st.lists(st.integers(-3000, 3000).map(lambda k: k / 1000), min_size=1, max_size=6)
freedoms = st.sampled_from([3, 4, 9, 40, math.inf])


def judged(candidate, champion, df, *, mean=1.0, sigma=5e-4, direction="min"):
    """Judge scores that are given in units of the noise."""
    sign = 1 if direction == "min" else -1
    scores, others = ([mean + sign * sigma * x for x in side] for side in (candidate, champion))
    return decide(scores, others, Noise(sigma, df), Terms(direction=direction))


def not_at_a_bound(found):
    bounds = verdict.BOUNDS
    edges = bounds.keep_early, bounds.keep_last, bounds.discard_first, bounds.discard_later, bounds.discard_weak
    return all(abs(found.p_better - edge) > 1e-6 for edge in edges)


@unhurried
@given(offsets, champions, freedoms)
def test_verdict_is_symmetric_in_direction(candidate, champion, df):
    low, high = judged(candidate, champion, df), judged(candidate, champion, df, direction="max")
    assume(not_at_a_bound(low))
    assert low.decision == high.decision
    assert low.p_better == pytest.approx(high.p_better, abs=1e-9)
    assert low.difference == pytest.approx(-high.difference, abs=1e-12)


@unhurried
@given(offsets, champions, freedoms, st.sampled_from([(30.0, 0.15), (0.9, 4.5e-4), (100.0, 20.0), (-3.0, 1e-3)]))
def test_verdict_does_not_depend_on_the_unit(candidate, champion, df, unit):
    one, other = judged(candidate, champion, df), judged(candidate, champion, df, mean=unit[0], sigma=unit[1])
    assume(not_at_a_bound(one))
    assert one.decision == other.decision
    assert one.p_better == pytest.approx(other.p_better, abs=1e-7)


@unhurried
@given(offsets, champions, freedoms, st.floats(0, 5))
def test_verdict_never_falls_when_the_candidate_gets_better(candidate, champion, df, gain):
    rank = {"discard": 0, "again": 1, "again_champion": 1, "keep": 2}
    before, after = judged(candidate, champion, df), judged([x - gain for x in candidate], champion, df)
    assume(not_at_a_bound(before))
    assert rank[after.decision] >= rank[before.decision]
    assert after.p_better >= before.p_better - 1e-9


@unhurried
@given(offsets, champions, freedoms, st.integers(1, 5), st.floats(0, 0.5))
def test_verdict_never_keeps_a_worse_mean(candidate, champion, df, max_runs, luck):
    found = decide(candidate, champion, Noise(1.0, df), Terms(max_runs=max_runs), luck)
    assert found.decision != "keep" or found.difference < 0


@unhurried
@given(offsets, champions, freedoms)
def test_verdict_of_swapped_sides_is_the_complement(candidate, champion, df):
    one, other = judged(candidate, champion, df), judged(champion, candidate, df)
    assume(max(one.sigma, other.sigma) == 5e-4)
    assert one.p_better + other.p_better == pytest.approx(1, abs=1e-9)


@unhurried
@given(st.lists(st.floats(-3, 3), min_size=20, max_size=20), st.integers(1, 5))
def test_verdict_ends_within_the_runs_allowed(scores, max_runs):
    left = iter(scores)
    candidate, champion = [next(left)], [next(left)]
    noise, terms = Noise(1.0, math.inf), Terms(max_runs=max_runs)
    while (decision := decide(candidate, champion, noise, terms).decision).startswith("again"):
        (candidate if decision == "again" else champion).append(next(left))
    assert len(candidate) <= max_runs
    assert len(champion) <= max_runs + verdict.BOUNDS.champion_lead


# How often it is right


def share_kept(effect, bounds, num_attempts=1500):
    """Return the share of attempts kept on a branch whose champion has its two first runs, and the noise is known."""
    rng, kept, terms = random.Random(20), 0, Terms(bounds=bounds)
    for _ in range(num_attempts):
        champion, candidate = [rng.gauss(0, 1), rng.gauss(0, 1)], [rng.gauss(-effect, 1)]
        while (decision := decide(candidate, champion, Noise(1.0, math.inf), terms).decision).startswith("again"):
            side, mean = (candidate, -effect) if decision == "again" else (champion, 0.0)
            side.append(rng.gauss(mean, 1))
        kept += decision == "keep"
    return kept / num_attempts


def test_bounds_keep_luck_rarely_and_gains_mostly():
    assert share_kept(0.0, verdict.BOUNDS) <= 0.055  # 0.050 and one standard error of 1500 attempts
    assert share_kept(2.0, verdict.BOUNDS) >= 0.77
    assert share_kept(3.0, verdict.BOUNDS) >= 0.965


@pytest.mark.parametrize(
    "looser",
    [{"keep_early": 0.97}, {"keep_last": 0.91}, {"discard_first": 0.3, "discard_later": 0.5, "keep_last": 0.93}],
)
def test_bounds_that_are_looser_keep_too_much(looser):
    assert share_kept(0.0, replace(verdict.BOUNDS, **looser)) > 0.055


def test_decision_benchmark_prints_every_table():
    command = [sys.executable, str(ROOT / "benchmarks" / "decision_rule.py"), "--quick", "--json"]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True, timeout=600).stdout)
    rates, simpler, ends = found.values()
    assert {"+0", "+2", "+3"} <= set(rates[0])
    assert {row["branch"] for row in simpler} == {"new", "later"}
    assert {"quality", "claimed", "runs per attempt"} <= set(ends[0])
