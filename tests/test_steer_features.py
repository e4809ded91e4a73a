"""What a round did, in numbers."""

import math

import pytest
from steer_rows import no_decay, plan, row

from autoresearch.steer.features import features_of, features_of_plan
from autoresearch.steer.rows import MOST_POINTS, Start
from autoresearch.steer.state import State, thinned


def test_features_of_a_round_that_kept_to_its_plan_are_those_of_the_plan():
    found, meant = features_of(row()), features_of_plan(plan())
    assert found
    for name in ("log_peak", "near_peak", "log_mean", "decay_start", "tail_ratio"):
        assert getattr(found, name) == pytest.approx(getattr(meant, name), abs=0.03), name
    assert found.log_ramp_rate == pytest.approx(meant.log_ramp_rate, abs=0.15)  # the trace has a point per hundredth
    assert found.result == 1.2 and not found.diverged


def test_features_are_what_the_curve_says():
    found = features_of_plan(plan(2e-3, warmup=0.0, ramp=0.0, lr_start=2e-3, decay=0.5, final=0.0))
    assert found.log_peak == pytest.approx(math.log(2e-3))
    assert found.log_mean == pytest.approx(math.log(1.5e-3))  # half the run at the peak, half falling to zero
    assert found.near_peak == pytest.approx(0.55, abs=0.03)
    assert found.decay_start == pytest.approx(0.55)  # nine tenths of the peak
    assert found.tail_ratio == pytest.approx(0.1)  # the last tenth falls from a fifth to nothing


def test_features_tell_a_slow_ramp_from_a_fast_one_and_decay_from_none():
    slow, fast = (features_of_plan(plan(ramp=ramp)) for ramp in (0.4, 0.05))
    assert slow.log_ramp_rate < fast.log_ramp_rate - 1
    held = features_of_plan(no_decay())
    assert held.decay_start > 0.95 and held.tail_ratio > 0.8 and held.near_peak > 0.8


def test_features_are_of_the_rates_that_were_applied():
    halved = row(lr=[(p / 100, 1e-3 if p < 30 else 5e-4) for p in range(1, 101)])
    found = features_of(halved)
    assert found and found.log_peak == pytest.approx(math.log(1e-3)) and found.decay_start < 0.31


def test_features_of_a_round_lost_on_its_way_up_keep_the_planned_decay():
    whole = row(None).lr
    lost = features_of(row(None, lr=whole[:8]))
    meant = features_of_plan(plan())
    assert lost and lost.diverged and lost.result is None
    assert lost.log_peak == pytest.approx(math.log(whole[7][1]))  # where it broke, not where it was going
    assert (lost.decay_start, lost.tail_ratio) == (meant.decay_start, meant.tail_ratio)


def test_features_give_a_rescued_round_to_the_rates_that_earned_it_and_divergence_to_the_crash():
    made = plan()
    points = [(place / 100, made.lr(place / 100)) for place in range(1, 101)]
    undone = [(p, 8 * lr) for p, lr in points if 0.2 < p <= 0.3]
    kept = [(p, lr) for p, lr in points if not 0.2 < p <= 0.3]
    calm, rescued = features_of(row()), features_of(row(lr=kept, undone=undone, num_rollbacks=1))
    assert calm and rescued and rescued.coordinates == pytest.approx(calm.coordinates, abs=0.02)
    assert rescued.at_crash.log_peak == pytest.approx(math.log(8 * 3e-3)) and rescued.diverged
    assert calm.at_crash == calm
    from_start = features_of(row(lr=kept, undone=[(p, lr / 8) for p, lr in points[:20]], num_rollbacks=1))
    assert from_start and from_start.at_crash.log_peak == from_start.log_peak, "what came through was higher"


def test_trace_keeps_what_was_undone_apart():
    made = plan()
    state = State(round=1, arm="none", seed=1, is_guarded=True, start=Start(plan=made), plan=made)

    def train(steps: range, lr: float) -> None:
        for step in steps:
            state.step, state.progress = step, state.progress + 0.01
            state.trace(lr, 2.0)

    train(range(1, 31), 8.0)
    state.undo(20, is_kept=True)  # a rollback
    train(range(21, 41), 4.0)
    state.progress = 0.4
    state.undo(30, is_kept=False)  # a failure of the machine: the same progress comes again
    train(range(31, 41), 2.0)
    assert [lr for _, lr in thinned(state.lr)] == [8.0] * 20 + [4.0] * 10 + [2.0] * 10
    assert [(round(p, 2), lr) for p, lr in state.undone] == [(p / 100, 8.0) for p in range(21, 31)]
    assert [p for p, *_ in state.lr] == sorted({p for p, *_ in state.lr})
    state.undo(0, is_kept=True)  # from the start
    assert state.lr == [] and len(state.undone) == 50


def test_features_count_a_rollback_as_divergence_and_keep_its_result():
    found = features_of(row(1.3, num_rollbacks=1, num_alarms=2))
    assert found and found.diverged and found.result == 1.3 and (found.alarms, found.rollbacks) == (2, 1)


@pytest.mark.parametrize("status", ["infra_fail", "aborted", "budget"])
def test_features_tell_nothing_of_what_the_learning_rate_did_not_end(status):
    assert features_of(row(None, status=status)) is None


@pytest.mark.parametrize("lr", [[], [(0.0, 0.0)], [(1.0, 0.0)], [(0.5, 1e-3)], [(0.3, 1e-3), (0.2, 2e-3)]])
def test_features_of_broken_traces_are_finite(lr):
    for broken in (row(1.2, lr=lr), row(None, lr=lr)):
        found = features_of(broken)
        assert found and all(math.isfinite(value) for value in found.coordinates)


@pytest.mark.parametrize("updates", [60, 900, 10_000])
def test_features_are_the_same_however_many_updates_a_round_has(updates):
    made = plan()
    state = State(round=1, arm="none", seed=1, is_guarded=True, start=Start(plan=made), plan=made)
    for number in range(updates):
        state.progress = (number + 1) / updates
        state.trace(made.lr(state.progress), 1.0)
    found = features_of(row(1.2, lr=thinned(state.lr)))
    assert found is not None
    assert state.lr[-1][0] == 1 and len(state.lr) <= 8 * MOST_POINTS + 2
    assert found.coordinates == pytest.approx(features_of_plan(made).coordinates, abs=0.25 if updates < 100 else 0.05)
