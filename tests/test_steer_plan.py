"""The plan of a round: the trainer's own schedule, edits without jumps, and an end that is always decayed."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

import prepare
from autoresearch.steer.plan import LEAST_DECAY, MOST_FINAL, Plan


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    warmup, ramp = draw(st.floats(0, 0.4)), draw(st.floats(0, 0.3))
    peak = draw(st.floats(1e-5, 1e2))
    return Plan(
        warmup=warmup,
        ramp=ramp,
        lr_start=peak * draw(st.floats(0.01, 1)),
        lr_peak=peak,
        decay=draw(st.floats(LEAST_DECAY, 1 - warmup - ramp)),
        shape=draw(st.sampled_from(["linear", "cosine", "sqrt", "constant"])),
        final=draw(st.floats(0, MOST_FINAL)),
    )


@given(plans(), st.floats(0, 1), st.floats(1e-4, 10))
def test_plan_is_the_schedule_of_the_trainer(plan: Plan, p: float, lr_unit: float) -> None:
    schedule = prepare.Schedule(**plan.schedule(lr_unit))
    assert schedule.lr_scale(p) * lr_unit == pytest.approx(plan.lr(p), rel=1e-9, abs=1e-12)


@given(plans())
def test_plan_always_ends_decayed(plan: Plan) -> None:
    assert plan.lr(1) == pytest.approx(plan.lr_peak * plan.final) and plan.lr(1) <= MOST_FINAL * plan.lr_peak


@given(plans(), st.floats(0, 1))
def test_decay_begins_where_it_is_asked_for_without_a_jump(plan: Plan, p: float) -> None:
    changed = plan.decaying_from(p)
    assert changed.lr(p) == pytest.approx(plan.lr(p), rel=1e-6, abs=1e-12)
    assert changed.lr(1) <= MOST_FINAL * changed.lr_peak * (1 + 1e-9)
    rates = [changed.lr(p + (1 - p) * part / 50) for part in range(51)]
    assert changed == plan or all(b <= a * (1 + 1e-9) for a, b in pairwise(rates))
    assert prepare.Schedule(**changed.schedule(1.0))


@given(plans(), st.floats(0, 1), st.floats(0.01, 10))
def test_scaling_multiplies_every_rate(plan: Plan, p: float, factor: float) -> None:
    assert plan.scaled(factor).lr(p) == pytest.approx(factor * plan.lr(p))


@given(plans(), st.floats(0, 1))
def test_highest_rate_ahead_is_the_highest(plan: Plan, p: float) -> None:
    rates = [plan.lr(p + (1 - p) * part / 100) for part in range(101)]
    assert max(rates) <= plan.ahead(p) * (1 + 1e-9)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"decay": 0.0}, "decay"),
        ({"final": 0.9}, "final"),
        ({"warmup": 0.6, "decay": 0.5}, "warmup \\+ ramp \\+ decay must be at most 1"),
        ({"lr_start": 2.0}, "lr_start must be at most lr_peak"),
        ({"lr_peak": float("nan")}, "lr_peak"),
        ({"lr_peak": 0.0}, "lr_peak"),
        ({"shape": "step"}, "shape"),
    ],
)
def test_plan_that_cannot_end_decayed_is_refused(fields: dict, words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Plan.model_validate({"lr_start": 1.0, "lr_peak": 1.0} | fields)
