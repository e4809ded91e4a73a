"""Noise, plateau, and what may be reported."""

import math

import pytest
from steer_rows import no_decay, plan, row

from autoresearch.steer import standing

GOOD, BETTER = plan(2e-3), plan(4e-3)


def rows(*results):
    """Rounds of different plans, in their order."""
    return [row(result, number, plan(1e-3 * (1 + number / 10))) for number, result in enumerate(results, 1)]


def test_plateau_is_no_gain_in_five_rounds():
    assert not standing.is_plateau(rows(1.5, 1.4, 1.4, 1.4, 1.4, 1.4))
    assert standing.is_plateau(rows(1.5, 1.4, 1.4, 1.45, 1.4, 1.41, 1.399))


def test_plateau_is_reset_by_an_improvement_and_by_nothing_else():
    stuck = rows(1.4, 1.4, 1.4, 1.4, 1.4, 1.4, 1.4)
    assert standing.is_plateau(stuck)
    assert standing.is_plateau([*stuck, row(1.6, 8, no_decay(2e-2))])  # as different as it may be
    assert standing.is_plateau([*stuck, row(None, 8, no_decay(2e-2))])
    assert not standing.is_plateau([*stuck, row(1.3, 8)])


def test_plateau_ends_only_by_more_than_noise_and_three_thousandths():
    assert standing.is_plateau(rows(1.4, 1.4, 1.4, 1.4, 1.4, 1.3965))
    assert not standing.is_plateau(rows(1.4, 1.4, 1.4, 1.4, 1.4, 1.39))
    noisy = [row(value, number, GOOD) for number, value in enumerate((1.36, 1.44, 1.4, 1.42, 1.38, 1.4))]
    assert standing.is_plateau([*noisy, row(1.35, 7, BETTER)])  # 2 sigma is 0.04 here


def test_plateau_does_not_count_failures_of_the_machine():
    lost = [row(None, number, status="infra_fail") for number in range(2, 9)]
    assert not standing.is_plateau([row(1.4), *lost])


@pytest.mark.parametrize("finals", [[], [row(None)], [row(None, number) for number in range(9)]])
def test_plateau_needs_a_result(finals):
    assert not standing.is_plateau(finals)
    assert standing.standings(finals) == [] and standing.reported(finals) == []


def test_standings_rank_by_mean_and_one_deviation():
    steady = [row(1.300, 1, GOOD), row(1.301, 2, GOOD), row(1.299, 3, GOOD)]
    unsteady = [row(1.250, 4, BETTER), row(1.340, 5, BETTER), row(1.295, 6, BETTER)]
    first, second = standing.standings([*unsteady, *steady])
    assert (first.plan, second.plan) == (GOOD, BETTER)
    assert second.mean < first.mean and second.sd > 1.5 * first.sd  # the mean alone would have had it otherwise


def test_standings_report_only_what_ran_three_times():
    lucky = [row(1.1, 1, BETTER)]
    thrice = [row(1.3, number, GOOD) for number in (2, 3, 4)]
    assert standing.standings([*lucky, *thrice])[0].plan == BETTER
    assert [one.plan for one in standing.reported([*lucky, *thrice])] == [GOOD]
    assert standing.reported([*lucky, *thrice[:2]]) == []


def test_standings_count_a_diverged_repetition_against_the_plan():
    steady = [row(1.3, number, GOOD) for number in (1, 2, 3)]
    boundary = [row(1.2, 4, BETTER), row(None, 5, BETTER), row(1.2, 6, BETTER)]
    worst = [row(2.0, 7, no_decay())]
    first, second, *_ = standing.standings([*steady, *boundary, *worst])
    assert (first.plan, second.plan) == (GOOD, BETTER)
    assert second.num_diverged == 1 and second.p_diverge == 1.5 / 4 and first.p_diverge == 0.5 / 4


def test_standings_count_a_lost_run_as_worse_than_the_worst_result():
    steady = [row(1.01, number, GOOD) for number in (1, 2, 3)]
    brittle = [row(1.0, 4, BETTER), row(1.0, 5, BETTER), row(None, 6, BETTER)]
    first, second = standing.reported([*brittle, *steady])
    assert (first.plan, second.plan) == (GOOD, BETTER), "where all results are close, a loss is not"
    assert second.mean == pytest.approx((1.0 + 1.0 + 1.02) / 3)


def test_standings_leave_the_machines_failures_out():
    found = standing.standings([row(1.3, 1, GOOD), row(None, 2, GOOD, status="infra_fail"), row(1.3, 3, GOOD)])
    assert [(one.num_runs, one.num_diverged) for one in found] == [(2, 0)]


def test_best_so_far_skips_what_is_no_result():
    finals = [row(None, 1), row(1.4, 2), row(1.5, 3), row(1.3, 4, num_rollbacks=1)]
    assert standing.best_so_far(finals) == [math.inf, 1.4, 1.4, 1.3]


def test_standings_report_a_plan_that_is_mostly_lost_last():
    lucky = [row(1.0, 1, GOOD), row(None, 2, GOOD), row(None, 3, GOOD)]
    steady = [row(1.01, number, BETTER) for number in (4, 5, 6)]
    assert [one.plan for one in standing.reported([*lucky, *steady])] == [BETTER, GOOD]
