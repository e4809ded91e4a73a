"""The guard's rules, on streams of reports: what they let pass, what they halve, when they go back, and to where."""

import math
import random

import pytest

from autoresearch.steer import guard
from autoresearch.steer.guard import Limits, Report, Verdict, Vitals
from autoresearch.steer.plan import Plan

LIMITS = Limits(k=20)
PLAN = Plan(warmup=0.1, lr_start=1.0, lr_peak=1.0, decay=0.5)


def see(vitals: Vitals, losses: list[float | None], begin: int = 1, **facts: object) -> list[Verdict]:
    """Verdicts on losses after updates from `begin` on; a checkpoint is marked every 10."""
    found = []
    for updates, loss in enumerate(losses, begin):
        found.append(guard.examine(vitals, Report(updates, loss, True, **facts), LIMITS))  # type: ignore[arg-type]
        if updates % 10 == 0 and found[-1].action == "none":
            guard.mark(vitals, updates, updates)
    return found


def falling(num: int, first: float = 10.4, last: float = 3.0, noise: float = 0.05) -> list[float | None]:
    dice = random.Random(1)
    return [last + (first - last) * math.exp(-step / 30) + dice.gauss(0, noise) for step in range(num)]


@pytest.mark.parametrize(("first", "noise"), [(10.4, 0.05), (10.4, 0.5), (6.24, 0.1)])
def test_guard_lets_a_healthy_run_pass(first: float, noise: float) -> None:
    assert {one.action for one in see(Vitals(), falling(400, first, noise=noise))} == {"none"}


@pytest.mark.parametrize(("facts", "losses"), [({}, [10.0, None]), ({"is_finite": False}, [10.0])])
def test_guard_stops_what_is_not_finite_at_once(facts: dict, losses: list[float | None]) -> None:
    assert see(Vitals(), losses, **facts)[-1].action == "rollback"


def test_guard_halves_once_per_window_while_the_loss_is_high() -> None:
    vitals = Vitals()
    see(vitals, falling(100, 10.4, 3.0))
    verdicts = see(vitals, [4.2] * 40, begin=101)
    halved = [place for place, one in enumerate(verdicts) if one.action == "halve"]
    assert len(halved) == 2 and halved[1] - halved[0] == LIMITS.k
    assert "limit 0.50" in verdicts[halved[0]].why


def test_guard_goes_back_when_the_loss_stays_high_for_two_windows() -> None:
    vitals = Vitals()
    see(vitals, falling(100))
    verdicts = see(vitals, [7.0] * 60, begin=101)
    place = next(place for place, one in enumerate(verdicts) if one.action == "rollback")
    assert 2 * LIMITS.k <= place <= 2 * LIMITS.k + 10 and "for two windows" in verdicts[place].why


def test_guard_goes_back_when_nothing_is_learned_after_the_warmup() -> None:
    verdicts = see(Vitals(), [10.4] * 41)
    assert [one.action for one in verdicts[:39]] == ["none"] * 39 and verdicts[39].action == "rollback"


def test_guard_scales_its_limits_with_the_vocabulary_and_the_noise() -> None:
    assert guard.thresholds(Vitals(first=10.4)) == pytest.approx((0.5, 1.0))
    assert guard.thresholds(Vitals(first=5.2)) == pytest.approx((0.25, 0.5))
    assert guard.thresholds(Vitals(first=5.2, noise=1.0))[0] > 1.0


def test_guard_warns_of_a_gradient_that_stands_out() -> None:
    vitals, dice = Vitals(), random.Random(2)
    for updates in range(1, 100):
        report = Report(updates, 5.0, False, grad_norm=math.exp(dice.gauss(0, 0.1)))
        assert guard.examine(vitals, report, LIMITS).action == "none"
    assert guard.examine(vitals, Report(100, 5.0, False, grad_norm=50.0), LIMITS).action == "note"


def test_checkpoint_is_healthy_only_when_no_alarm_followed_it() -> None:
    vitals = Vitals()
    see(vitals, falling(100))
    assert [mark.step for mark in vitals.marks][-2:] == [90, 100]
    found = guard.healthy(vitals, 100, 100, LIMITS)
    assert found[-1].step == 90, "half a window back at least"
    see(vitals, [6.0] * 6, begin=101)
    assert vitals.marks[-1].step == 90, "the alarm makes the last one doubtful"


def test_rollbacks_are_at_most_three_within_ten_windows() -> None:
    vitals = Vitals()
    assert [guard.go_back(vitals, None, at, 1.0, LIMITS) for at in (10, 20, 30)] == [""] * 3
    assert "3 rollbacks" in guard.go_back(vitals, None, 40, 1.0, LIMITS)
    assert guard.go_back(vitals, None, 40 + 10 * LIMITS.k, 1.0, LIMITS) == ""


def test_rollback_lowers_the_plan_below_the_ceiling_for_five_windows() -> None:
    vitals = Vitals()
    guard.go_back(vitals, None, 100, 1.0, LIMITS)
    half = PLAN.scaled(0.5)
    assert guard.grant(half, 2.0, 0.3, 100 + 5 * LIMITS.k - 1, vitals, LIMITS) == pytest.approx(1.4)
    assert guard.grant(half, 2.0, 0.3, 100 + 5 * LIMITS.k, vitals, LIMITS) == 2.0
    low = Vitals(ceiling=0.01, ceiling_until=1000)  # of a crash in the warmup
    assert [guard.grant(half, factor, 0.05, 100, low, LIMITS) for factor in (2.0, 0.8)] == [1.0, 0.8]


def test_rule_of_the_warmup_waits_two_windows_after_a_rollback() -> None:
    vitals = Vitals()
    see(vitals, falling(30, last=10.0))
    guard.go_back(vitals, guard.healthy(vitals, 30, 30, LIMITS)[-1], 100, 1.0, LIMITS)
    later = see(vitals, [10.4] * 45, 101)
    assert [one.action for one in later[:38]] == ["none"] * 38 and later[-1].action == "rollback"


@pytest.mark.parametrize(
    ("factor", "p", "granted"), [(9, 0.3, 2), (0.01, 0.3, 0.5), (1.2, 0.3, 1.2), (1.2, 0.7, 1.0), (0.6, 0.7, 0.6)]
)
def test_changes_are_clamped_and_the_decay_is_never_undone(factor: float, p: float, granted: float) -> None:
    assert guard.grant(PLAN, factor, p, 100, Vitals(), LIMITS) == pytest.approx(granted)


def test_changes_keep_to_floor_and_ceiling() -> None:
    limits = Limits(k=20, lr_floor=0.8, lr_ceil=1.5)
    assert guard.grant(PLAN, 2.0, 0.3, 0, Vitals(), limits) == pytest.approx(1.5)
    assert guard.grant(PLAN, 0.5, 0.3, 0, Vitals(), limits) == pytest.approx(0.8)
