"""How a trainer ended: only a loss that was lost is the learning rate's fault."""

import pytest

from autoresearch.steer import exits
from autoresearch.steer.exits import Pulse
from autoresearch.steer.plan import Plan
from autoresearch.steer.rows import Start
from autoresearch.steer.state import State

RESUMED = "prepare.PrepareError: /t/checkpoints/step-00000020.pt cannot be resumed from: "
LOSS = "step 00003\nFAIL: loss nan at step 4; the lowest, smoothed, was 3.1 nats"


@pytest.mark.parametrize(
    ("text", "code", "kind"),
    [
        ("---\nval_bpb: nan", 0, "done"),
        ("cancelled on request", 42, "aborted"),
        (LOSS, 1, "numeric"),
        ("prepare.NonFinite: a scored token", 1, "numeric"),
        ("", -6, "infra"),
        ("skipping update, non-finite gradient\nstep 00007", -9, "infra"),
        (LOSS, -6, "numeric"),
        ("", -9, "infra"),
        ("torch.OutOfMemoryError: CUDA out of memory", 1, "infra"),
        ("RuntimeError: CUDA error: device lost", 1, "infra"),
        ("ValueError: no such data", 1, "infra"),
        ("SyntaxError: invalid syntax", 1, "broken"),
        ("ImportError: cannot import name 'Clock' from 'prepare'", 1, "broken"),
        ("prepare.ClockError: AUTORESEARCH_SEED must be a number", 1, "broken"),
        ("SyntaxError: invalid syntax", -9, "broken"),
        ("ModuleNotFoundError: No module named 'torch'", 1, "broken"),
        ("ImportError: cannot import name 'x' from 'y' (/lib/y.cpython-312-x86_64-linux-gnu.so)", 1, "broken"),
        ("ImportError: libcuda.so.1: cannot open shared object file: No such file or directory", 1, "infra"),
        ("ImportError: /lib/libtorch_cuda.so: undefined symbol: ncclCommInit", 1, "infra"),
        (f"{RESUMED}AcceleratorError: CUDA error: device lost\nCompile with `TORCH_USE_CUDA_DSA`", 1, "infra"),
        (f"{RESUMED}RuntimeError: PytorchStreamReader failed reading zip archive", 1, "infra"),
        (f"{RESUMED}KeyError: 'SyntaxError: '", 1, "infra"),
        ("prepare.PrepareError: AUTORESEARCH_RESUME must name a checkpoint", 1, "broken"),
    ],
)
def test_exit_is_classified(text: str, code: int, kind: str) -> None:
    assert exits.classify(text, code).kind == kind


def state(progress: float = 0.5, updates: int = 500) -> State:
    plan = Plan(lr_start=1.0, lr_peak=1.0)
    return State(
        round=1, arm="none", seed=1, is_guarded=True, start=Start(plan=plan), plan=plan, progress=progress,
        updates=updates,
    )  # fmt: skip


def hangs(pulse: Pulse, now: State, reports: list[float], until: float) -> bool:
    """Whether a trainer that reports at these seconds hangs at the end of its time, and not before."""
    early = [pulse.check(now, number + 1, age_s) for number, age_s in enumerate(reports)]
    assert not any(early), early
    return pulse.check(now, len(reports), until) is not None


def test_pulse_waits_for_twenty_times_the_usual_and_two_minutes_at_least() -> None:
    fast, slow = [float(age_s) for age_s in range(30, 60)], [100.0 * number for number in range(1, 11)]
    for reports, waits in ((fast, 120), (slow, 2000)):
        assert not hangs(Pulse(120, 3600, 0), state(), reports, reports[-1] + waits)
        assert hangs(Pulse(120, 3600, 0), state(), reports, reports[-1] + waits + 0.1)


@pytest.mark.parametrize(("progress", "updates"), [(0.96, 960), (0.9, 9)])
def test_pulse_is_patient_before_the_second_report_and_at_the_end(progress: float, updates: int) -> None:
    for now, reports in ((state(), []), (state(), [10.0]), (state(progress, updates), [10.0, 11.0, 12.0])):
        assert not hangs(Pulse(120, 3600, 0), now, reports, (reports or [0.0])[-1] + 3600)
        assert hangs(Pulse(120, 3600, 0), now, reports, (reports or [0.0])[-1] + 3601)


def test_checkpoint_that_cannot_be_resumed_from_is_named() -> None:
    assert "cannot be resumed from" in exits.classify(f"{RESUMED}EOFError: ", 1).why


@pytest.mark.parametrize(("text", "kind"), [(LOSS, "numeric"), ("step 00003", "infra"), ("", "infra")])
def test_end_that_nobody_saw_is_told_by_the_log_alone(text: str, kind: str) -> None:
    assert exits.unseen(text).kind == kind
