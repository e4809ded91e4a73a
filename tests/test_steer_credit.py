"""Effects and the risk to diverge, from rounds whose truth is known."""

import math
import random

import pytest
from steer_rows import SPACE, plan, row

from autoresearch.steer.credit import DIMENSIONS, Credit, Risk
from autoresearch.steer.features import Features, features_of, features_of_plan
from autoresearch.steer.memory import frame_of

FRAME = frame_of(SPACE)
SIGMA = 0.003


def told(plans, truth):
    """Rounds of plans, with the results that a function of their features gives."""
    rng = random.Random(1)
    features = [features_of_plan(one) for one in plans]
    rows = [row(truth(one) + rng.gauss(0, SIGMA), 1, like) for one, like in zip(features, plans, strict=True)]
    return [one for final in rows if (one := features_of(final))]


def steps(credit: Credit) -> dict[str, tuple[float, float]]:
    """Effect of a quarter of each range from the middle up."""
    found = {}
    for dimension, name in enumerate(DIMENSIONS):
        here = [(low + high) / 2 for low, high in zip(FRAME.low, FRAME.high, strict=True)]
        there = list(here)
        there[dimension] += (FRAME.high[dimension] - FRAME.low[dimension]) / 4
        found[name] = credit.difference(tuple(here), tuple(there))  # type: ignore[arg-type]
    return found


def test_credit_goes_to_the_dimension_that_earned_it():
    plans = [SPACE.spread(number) for number in range(24)]
    effects = steps(Credit(told(plans, lambda one: 1.3 + 0.1 * one.decay_start), FRAME, SIGMA))
    width = (FRAME.high[2] - FRAME.low[2]) / 4
    mean, error = effects["decay_start"]
    assert mean == pytest.approx(0.1 * width, abs=3 * error) and mean > 5 * error
    for name in ("log_peak", "log_ramp_rate"):
        assert abs(effects[name][0]) < 2.5 * effects[name][1]


def test_credit_sees_that_a_peak_is_good_with_an_early_decay_and_bad_with_a_late_one():
    def truth(one: Features) -> float:
        peak, _, start, _ = FRAME.scale(one.coordinates)
        return 1.3 + 0.05 * peak * start

    credit = Credit(told([SPACE.spread(number) for number in range(40)], truth), FRAME, SIGMA)
    middle = [(low + high) / 2 for low, high in zip(FRAME.low, FRAME.high, strict=True)]
    for start, expected in ((FRAME.low[2], -0.1), (FRAME.high[2], 0.1)):
        low, high = ((peak, middle[1], start, middle[3]) for peak in (FRAME.low[0], FRAME.high[0]))
        assert credit.difference(low, high)[0] == pytest.approx(expected, abs=0.04)


def test_credit_of_a_confounded_failure_stays_in_doubt():
    low = [plan(peak) for peak in (4e-4, 8e-4, 1.2e-3)]
    high = plan(6e-3, shape="constant", final=0.5)
    rows = [*(row(1.3 - number / 100, number, one) for number, one in enumerate(low)), row(1.5, 9, high)]
    credit = Credit([one for final in rows if (one := features_of(final))], FRAME, SIGMA)
    decayed, error = (float(x[0]) for x in credit.predict([features_of_plan(plan(6e-3)).coordinates]))
    assert decayed - 2 * error < credit.best  # the high peak with decay may still be the best


def test_credit_of_dimensions_that_never_differed_is_the_prior():
    same = told([plan()] * 6, lambda one: 1.3)
    effects = steps(Credit(same, FRAME, SIGMA))
    assert all(abs(mean) < error for mean, error in effects.values())


def test_credit_learns_that_a_dimension_does_not_matter():
    plans = [SPACE.spread(number) for number in range(12)]
    spread = [float(one.log_peak) for one in map(features_of_plan, plans)]
    rounds = told(plans, lambda one: 1.3 + 0.1 * (one.log_peak - min(spread)) ** 2)
    effects = steps(Credit(rounds, FRAME, SIGMA))
    assert effects["log_ramp_rate"][1] < 0.7 * effects["log_peak"][1]


def test_credit_follows_what_is_no_quadratic():
    """A basin in a plain, on which a quadratic misses by 0.016."""

    def truth(one: Features) -> float:
        return 1.2 - 0.05 * math.exp(-2 * (one.log_peak - math.log(3e-3)) ** 2)

    credit = Credit(told([plan(2e-4 * 1.5**number) for number in range(12)], truth), FRAME, SIGMA)
    for there in map(features_of_plan, (plan(6e-4), plan(3e-3), plan(1e-2))):
        mean, _ = credit.predict([there.coordinates])
        assert float(mean[0]) == pytest.approx(truth(there), abs=0.01)


def test_credit_of_one_plan_run_twice_beside_an_absurd_result_is_finite():
    rows = [row(1.2, 1), row(1.2, 2), row(5e6, 3, plan(9e-3))]
    rounds = [one for final in rows if (one := features_of(final))]
    mean, error = Credit(rounds, FRAME, 1e-6).predict([one.coordinates for one in rounds])
    assert all(map(math.isfinite, [*mean, *error]))


@pytest.mark.parametrize("results", [[1.2], [1.2] * 5, [1.2, 31.0, 5e6]])
def test_credit_of_few_equal_or_absurd_results_is_finite(results):
    rows = [row(value, number, SPACE.spread(number)) for number, value in enumerate(results)]
    rounds = [one for final in rows if (one := features_of(final))]
    mean, error = Credit(rounds, FRAME, 0.001).predict([one.coordinates for one in rounds])
    assert all(map(math.isfinite, [*mean, *error]))


def test_credit_charges_a_rollback_to_itself_and_not_to_the_plan():
    calm = [row(1.3, number, plan()) for number in range(6)]
    shaken = [row(1.4, number, plan(3.5e-3), num_rollbacks=1) for number in range(6)]
    rounds = [one for final in [*calm, *shaken] if (one := features_of(final))]
    mean, _ = Credit(rounds, FRAME, SIGMA).predict([features_of_plan(plan(3.5e-3)).coordinates])
    assert float(mean[0]) < 1.35


def test_risk_rises_with_the_peak_and_learns_the_boundary():
    rows = [row(1.3 if peak < 4e-3 else None, 1, plan(peak)) for peak in (5e-4, 1e-3, 2e-3, 3e-3, 6e-3, 9e-3, 1.5e-2)]
    rounds = [one for final in rows if (one := features_of(final))]
    below, at, above = Risk(rounds, FRAME).predict([features_of_plan(plan(peak)) for peak in (1e-3, 4.5e-3, 1.2e-2)])
    assert below < 0.1 < at < 0.9 < above


def test_risk_without_rounds_is_the_prior():
    low, high = Risk([], FRAME).predict([features_of_plan(plan(peak)) for peak in (2e-4, 2.5e-2)])
    assert 0 < low < 0.2 < high < 1


def test_risk_of_rounds_that_all_diverged_or_none_did_stays_between_0_and_1():
    for result in (None, 1.2):
        rounds: list[Features] = [one for number in range(20) if (one := features_of(row(result, number)))]
        chance = float(Risk(rounds, FRAME).predict([features_of_plan(plan())])[0])
        assert 0 < chance < 1 and (chance > 0.5) == (result is None)
