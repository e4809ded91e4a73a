"""Schedule: a pure function of progress that never rises in its decay, and refuses plans that make no sense."""

import dataclasses
import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

import prepare

SHAPES = ("linear", "cosine", "sqrt", "constant")
GRID = [step / 500 for step in range(501)]


@st.composite
def plans(draw: st.DrawFn) -> prepare.Schedule:
    """Any plan that makes sense."""
    cuts = sorted(thousandths / 1000 for thousandths in draw(st.tuples(*[st.integers(0, 1000)] * 3)))
    peak = draw(st.floats(0.01, 100))
    return prepare.Schedule(
        warmup=cuts[0],
        ramp=cuts[1] - cuts[0],
        decay=1 - cuts[2],
        start=peak * draw(st.floats(0.01, 1)),
        peak=peak,
        shape=draw(st.sampled_from(SHAPES)),
        final=draw(st.floats(0, 1)),
    )


@given(plan=plans())
def test_schedule_is_positive_between_the_ends_and_never_above_the_peak(plan: prepare.Schedule) -> None:
    assert all(0 < plan.lr_scale(p) <= plan.peak * (1 + 1e-9) for p in GRID[1:-1])


@given(plan=plans())
def test_schedule_rises_until_the_decay_and_falls_in_it(plan: prepare.Schedule) -> None:
    scales = [(p, plan.lr_scale(p)) for p in GRID]
    for (_, before), (p, after) in itertools.pairwise(scales):
        if p < 1 - plan.decay:
            assert after >= before * (1 - 1e-9)
    falling = [scale for p, scale in scales if p >= 1 - plan.decay]
    assert all(after <= before * (1 + 1e-9) for before, after in itertools.pairwise(falling))


@given(plan=plans(), p=st.floats(1, 1e9), below=st.floats(-1e9, 0))
def test_schedule_does_not_wrap(plan: prepare.Schedule, p: float, below: float) -> None:
    assert plan.lr_scale(p) == plan.lr_scale(1.0)
    assert plan.lr_scale(below) == plan.lr_scale(0.0)


@given(plan=plans().filter(lambda plan: plan.decay > 0.01 and plan.shape != "constant"))
def test_schedule_ends_at_its_final_value(plan: prepare.Schedule) -> None:
    assert plan.lr_scale(1.0) == pytest.approx(plan.peak * plan.final, abs=1e-9)


@given(plan=plans(), order=st.permutations(range(10)))
def test_schedule_is_a_pure_function(plan: prepare.Schedule, order: list[int]) -> None:
    table = [plan.lr_scale(index / 9) for index in range(10)]
    assert [plan.lr_scale(index / 9) for index in order] == [table[index] for index in order]


def test_schedule_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        prepare.Schedule().peak = 2.0  # type: ignore[misc]


def test_schedule_goes_through_its_corners() -> None:
    plan = prepare.Schedule(warmup=0.1, ramp=0.1, start=0.5, peak=2.0, decay=0.4, final=0.1)
    table = {0.0: 0.0, 0.05: 0.25, 0.1: 0.5, 0.15: 1.25, 0.2: 2.0, 0.4: 2.0, 0.6: 2.0, 0.8: 1.1, 1.0: 0.2}
    assert {p: plan.lr_scale(p) for p in table} == pytest.approx(table)


def test_schedule_without_a_ramp_warms_up_to_the_peak() -> None:
    assert prepare.Schedule(warmup=0.2, start=0.5).lr_scale(0.1) == pytest.approx(0.5)
    assert prepare.Schedule(warmup=0.2, start=0.5).lr_scale(0.2) == 1.0


@pytest.mark.parametrize(
    ("shape", "half"), [("linear", 0.5), ("cosine", 0.5), ("sqrt", 1 - math.sqrt(0.5)), ("constant", 1.0)]
)
def test_schedule_decays_in_the_shape_asked_for(shape: str, half: float) -> None:
    plan = prepare.Schedule(decay=1.0, shape=shape)
    assert plan.lr_scale(0.5) == pytest.approx(half)
    if shape == "cosine":
        assert plan.lr_scale(0.25) == pytest.approx((1 + math.sqrt(0.5)) / 2)


@pytest.mark.parametrize("shape", SHAPES)
def test_schedule_without_decay_holds_the_peak_to_the_end(shape: str) -> None:
    assert {prepare.Schedule(decay=0.0, shape=shape).lr_scale(p) for p in GRID} == {1.0}


@pytest.mark.parametrize(
    "plan",
    [
        {"warmup": -0.1},
        {"warmup": 1.1},
        {"ramp": math.nan},
        {"decay": math.inf},
        {"final": 1.5},
        {"final": -1e-9},
        {"warmup": 0.5, "ramp": 0.3, "decay": 0.3},
        {"start": 0.0, "ramp": 0.1},
        {"start": 2.0, "ramp": 0.1, "peak": 1.0},
        {"start": math.nan, "ramp": 0.1},
        {"peak": math.inf},
        {"peak": 0.0},
        {"shape": "quadratic"},
    ],
    ids=str,
)
def test_schedule_refuses_plans_that_make_no_sense(plan: dict) -> None:
    with pytest.raises(prepare.ClockError) as caught:
        prepare.Schedule(**plan)
    for name, value in plan.items():
        assert name in str(caught.value) and str(value) in str(caught.value)


def test_schedule_names_the_shapes_it_knows() -> None:
    with pytest.raises(prepare.ClockError, match="linear, cosine, sqrt"):
        prepare.Schedule(shape="step")


def test_schedule_takes_a_lower_peak_alone() -> None:
    assert prepare.Schedule(peak=0.5, decay=0.0).lr_scale(0.5) == 0.5
