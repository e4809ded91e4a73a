"""Clock: one budget, one monotone progress, and a warm-up that leaves no trace; time is faked."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import prepare

PLAN = prepare.Schedule(warmup=0.1, decay=0.5, final=0.1)


@dataclass
class Machine:
    """A machine on which updates last as long as `durations` says, and a training loop on it."""

    durations: Iterator[float]
    budget_s: float = 10.0
    max_steps: int | None = None
    estimate: bool = True
    """Whether the loop tells the clock how long the last update took."""
    time_s: float = 1000.0
    table: list[tuple[float, float]] = field(default_factory=list)
    """(progress, rate) of every update."""
    begun_s: list[float] = field(default_factory=list)
    """When each update began."""

    def now(self) -> float:
        return self.time_s

    def train(self, plan: prepare.Schedule = PLAN, limit: int = 100_000) -> prepare.Clock:
        model, optimizer = small_model()
        clock = prepare.Clock(model, optimizer, self.budget_s, self.max_steps, now=self.now)
        clock.start()
        last_s = next(self.durations)
        while not clock.done and len(self.table) < limit:
            p = clock.progress(last_s if self.estimate else 0.0)
            optimizer.param_groups[0]["lr"] = plan.lr_scale(p)
            optimizer.step()
            self.table.append((p, optimizer.param_groups[0]["lr"]))
            self.begun_s.append(self.time_s)
            last_s = next(self.durations)
            self.time_s += last_s
        return clock


def small_model() -> tuple[nn.Module, torch.optim.Optimizer]:
    model = nn.Linear(2, 1)
    return model, torch.optim.SGD(model.parameters(), lr=1.0)


def suddenly_slowed() -> Iterator[float]:
    return itertools.chain(itertools.repeat(0.01, 500), itertools.repeat(0.4))


def uneven() -> Iterator[float]:
    return itertools.cycle([0.01, 0.05, 0.02, 0.3])


MACHINES = {
    "fast": lambda: Machine(itertools.repeat(0.01)),
    "slow": lambda: Machine(itertools.repeat(1.7)),
    "slower than the budget": lambda: Machine(itertools.repeat(25.0)),
    "suddenly slowed": lambda: Machine(suddenly_slowed()),
    "uneven": lambda: Machine(uneven()),
    "without estimates": lambda: Machine(uneven(), estimate=False),
    "by steps": lambda: Machine(itertools.repeat(0.01), max_steps=37),
    "by steps of a slow machine": lambda: Machine(itertools.repeat(1.7), max_steps=37),
    "one step": lambda: Machine(itertools.repeat(0.01), max_steps=1),
}


@pytest.fixture(params=list(MACHINES), ids=lambda name: name.replace(" ", "-"))
def trained(request: pytest.FixtureRequest) -> tuple[Machine, prepare.Clock]:
    machine = MACHINES[request.param]()
    return machine, machine.train()


def test_clock_refuses_an_update_before_start_by_name() -> None:
    model, optimizer = small_model()
    prepare.Clock(model, optimizer)
    before = [value.clone() for value in model.parameters()]
    model(torch.ones(1, 2)).sum().backward()
    with pytest.raises(prepare.ClockError, match=r"optimizer step must come after clock\.start\(\)"):
        optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_clock_refuses_an_update_between_warmup_and_start() -> None:
    model, optimizer = small_model()
    clock = prepare.Clock(model, optimizer)
    with clock.warmup():
        optimizer.step()
    with pytest.raises(prepare.ClockError):
        optimizer.step()


def test_clock_refuses_an_update_of_any_other_optimizer_outside_of_its_time() -> None:
    model, optimizer = small_model()
    earlier = torch.optim.AdamW(model.parameters(), lr=1.0)
    clock = prepare.Clock(model, optimizer, 10.0, 2)
    later = torch.optim.SGD(model.parameters(), lr=1.0)
    model(torch.ones(1, 2)).sum().backward()
    before = [value.clone() for value in model.parameters()]
    for other in (earlier, later):
        with pytest.raises(prepare.ClockError, match=r"optimizer step must come after clock\.start\(\)"):
            other.step()
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    clock.start()
    later.step()
    assert clock.num_steps == 0, "the clock counts updates of its own"
    while not clock.done:
        optimizer.step()
    before = [value.clone() for value in model.parameters()]
    for late in (earlier, later, optimizer):
        with pytest.raises(prepare.ClockError, match=r"must not come after clock\.done"):
            late.step()
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_clock_starts_once_and_warms_up_before() -> None:
    clock = prepare.Clock(*small_model())
    clock.start()
    with pytest.raises(prepare.ClockError, match="once"):
        clock.start()
    with pytest.raises(prepare.ClockError, match="before"), clock.warmup():
        pass


class Everything(nn.Module):
    """A model with parameters, a buffer that forward changes, and dropout that draws random numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 1))
        self.calls: torch.Tensor
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return self.layers(inputs)


def state_of(model: nn.Module, optimizer: torch.optim.Optimizer) -> list:
    """Everything that training changes, as values that compare."""
    tensors = [value.tolist() for value in model.state_dict().values()]
    return [tensors, str(optimizer.state_dict()), [p.grad for p in model.parameters()], torch.get_rng_state().tolist()]


@pytest.mark.parametrize("optimizer_class", [torch.optim.AdamW, torch.optim.RMSprop])
@pytest.mark.parametrize("updates_before", [0, 2])
@pytest.mark.parametrize("crash", [False, True])
def test_warmup_leaves_no_trace(optimizer_class: type, updates_before: int, crash: bool) -> None:
    model = Everything()
    optimizer = optimizer_class(model.parameters(), lr=0.1)

    def update() -> None:
        model(torch.randn(16, 4)).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()

    for _ in range(updates_before):  # a resumed run has state before the clock is made
        update()
    clock = prepare.Clock(model, optimizer)
    before = state_of(model, optimizer)
    try:
        with clock.warmup():
            for _ in range(3):
                update()
            optimizer.param_groups[0]["lr"] = 77.0
            assert state_of(model, optimizer)[0] != before[0]
            model(torch.randn(16, 4)).mean().backward()
            assert not crash, "as if compiling had failed"
    except AssertionError:
        assert crash
    assert state_of(model, optimizer) == before
    assert clock.num_steps == 0 and clock.elapsed_s == 0
    clock.start()
    update()
    assert clock.num_steps == 1


def test_clock_does_not_count_time_before_start() -> None:
    machine = Machine(itertools.repeat(1.0))
    clock = prepare.Clock(*small_model(), 10.0, None, now=machine.now)
    machine.time_s += 500
    assert clock.elapsed_s == 0 and not clock.done
    clock.start()
    machine.time_s += 4
    assert clock.elapsed_s == 4


def test_progress_is_monotone_and_between_0_and_1(trained: tuple[Machine, prepare.Clock]) -> None:
    progress = [0.0, *(p for p, _ in trained[0].table), 1.0]
    assert progress == sorted(progress)


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0, 5), st.floats(-3, 20)), min_size=1, max_size=50))
def test_progress_is_monotone_whatever_is_estimated(calls: list[tuple[float, float]]) -> None:
    machine = Machine(iter(()))
    clock = prepare.Clock(*small_model(), 10.0, None, now=machine.now)
    clock.start()
    seen = [0.0]
    for passed_s, estimate_s in calls:
        machine.time_s += passed_s
        seen.append(clock.progress(estimate_s))
    assert seen == sorted(seen) and seen[-1] <= 1


@pytest.mark.parametrize("name", ["fast", "slow", "slower than the budget", "by steps", "one step"])
def test_last_update_is_made_at_the_end_value(name: str) -> None:
    machine = MACHINES[name]()
    machine.train()
    assert machine.table[-1] == pytest.approx((1.0, PLAN.lr_scale(1.0)))


def test_end_value_is_reached_within_one_update(trained: tuple[Machine, prepare.Clock]) -> None:
    machine, clock = trained
    assert clock.done
    assert clock.progress(0.0) == 1.0, "one more update would be at the end value"
    longest_s = max(after - before for before, after in itertools.pairwise([*machine.begun_s, machine.time_s]))
    early = [begun for begun, (p, _) in zip(machine.begun_s, machine.table, strict=True) if p == 1]
    assert all(machine.time_s - begun <= 2 * longest_s for begun in early), "and it is not reached long before"


def test_rates_are_positive_and_do_not_rise_once_they_decay(trained: tuple[Machine, prepare.Clock]) -> None:
    table = trained[0].table
    assert all(rate > 0 for _, rate in table), "the first one too"
    decaying = [rate for p, rate in table if p >= 1 - PLAN.decay]
    assert all(after <= before for before, after in itertools.pairwise(decaying))


def test_rates_are_one_function_of_progress_on_every_machine(trained: tuple[Machine, prepare.Clock]) -> None:
    assert trained[0].table == [(p, PLAN.lr_scale(p)) for p, _ in trained[0].table]


def test_rates_of_a_machine_ten_times_slower_with_ten_times_the_budget_are_the_same() -> None:
    fast, slow = Machine(itertools.repeat(0.125), 10.0), Machine(itertools.repeat(1.25), 100.0)
    fast.train()
    slow.train()
    assert fast.table == slow.table and len(fast.table) == 80


@pytest.mark.parametrize(
    ("budget_s", "max_steps", "num_steps", "ended_by"),
    [(10.0, None, 100, "seconds"), (10.0, 1000, 100, "seconds"), (10.0, 37, 37, "steps"), (1e9, 37, 37, "steps")],
)
def test_clock_ends_on_seconds_or_steps_whichever_is_first(
    budget_s: float, max_steps: int | None, num_steps: int, ended_by: str
) -> None:
    machine = Machine(itertools.repeat(0.1), budget_s, max_steps)
    clock = machine.train()
    assert abs(clock.num_steps - num_steps) <= 1 and len(machine.table) == clock.num_steps
    assert clock.report()["schedule_ended_by"] == ended_by


def test_clock_counts_one_step_for_each_update_under_accumulation() -> None:
    model, optimizer = small_model()
    clock = prepare.Clock(model, optimizer, 10.0, 4)
    clock.start()
    progress = []
    while not clock.done:
        progress.append(clock.progress())
        for _ in range(3):
            model(torch.ones(1, 2)).sum().backward()
            assert clock.progress() == progress[-1]
        optimizer.step()
    assert progress == [0.25, 0.5, 0.75, 1.0]


def test_progress_is_monotone_and_ends_although_updates_are_skipped() -> None:
    model, optimizer = small_model()
    seconds = itertools.count(0.0, 0.05)
    clock = prepare.Clock(model, optimizer, 10.0, 1000, now=lambda: next(seconds))
    clock.start()
    progress = []
    for step in itertools.count():
        if clock.done:
            break
        progress.append(clock.progress(0.05))
        if step % 3:  # a train.py that leaves an update out when a gradient is not finite
            optimizer.step()
    assert progress[0] > 0 and progress == sorted(progress) and progress[-1] == 1.0
    assert clock.num_steps == len(clock.rates) == sum(1 for step in range(len(progress)) if step % 3)


def test_report_says_how_the_schedule_ended() -> None:
    machine = Machine(itertools.repeat(0.1), max_steps=50)
    assert machine.train(prepare.Schedule(warmup=0.1, decay=0.5, final=0.5)).report() == {
        "schedule_p_end": 1.0,
        "schedule_lr_max": 1.0,
        "schedule_lr_last": 0.5,
        "schedule_frac_updates_at_floor": 0.02,
        "schedule_ended_by": "steps",
        "schedule_exhausted": False,
    }


def test_report_shows_a_schedule_that_was_exhausted_early() -> None:
    model, optimizer = small_model()
    clock = prepare.Clock(model, optimizer, 1e9, 100)
    clock.start()
    for step in range(100):  # a train.py with a step count of its own, that ran out at half time
        clock.progress()
        optimizer.param_groups[0]["lr"] = max(0.1, 1 - step / 50)
        optimizer.step()
    assert clock.report()["schedule_frac_updates_at_floor"] == pytest.approx(0.55, abs=0.01)
    assert clock.report()["schedule_exhausted"] is True


def test_report_of_a_run_without_updates_has_all_keys() -> None:
    clock = prepare.Clock(*small_model(), 10.0, None)
    assert list(clock.report()) == list(Machine(itertools.repeat(1.0)).train().report())
