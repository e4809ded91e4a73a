"""The progress channel: reports, commands at their step, acknowledgements, cancelling, and what is refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import launcher
import pytest

import prepare

Run = Callable[..., launcher.Ended]
KEYS = ("step", "step_target", "progress", "elapsed_s", "lr", "num_steps", "metrics")


def command(seq: int, step: int, **fields: Any) -> dict[str, Any]:
    """The content of control.json for run r, branch b."""
    first = {"seq": seq, "run_id": "r", "branch_id": "b", "issued_step": 0, "effective_step": step}
    return {**first, "cancel": False, "lr_scale": 1.0, "plan": None, **fields}


def rows(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def rates(ended: launcher.Ended) -> list[float]:
    """Learning rate of every update, from the trial's own trace."""
    return [float(line.split()[3]) for line in ended.text.splitlines() if line.startswith("trace ")]


@pytest.fixture
def steer(run_trial: Run, tmp_path: Path) -> Run:
    """Call with {step: command}: run the small trainer under a supervisor that lays them down at these steps."""

    def run(commands: dict[int, Any], **settings: object) -> launcher.Ended:
        (tmp_path / "trial").mkdir(exist_ok=True)
        (tmp_path / "trial" / "commands.json").write_text(json.dumps(commands))
        return run_trial(SUPERVISED=1, **settings)

    return run


def test_emit_progress_does_nothing_by_hand(run_trial: Run, tmp_path: Path) -> None:
    ended = run_trial()
    assert ended.code == 0, ended.text
    left = {path.name for path in (tmp_path / "trial").iterdir()}
    assert not left & {"progress.jsonl", "acks.jsonl", "control.json"}


def test_emit_progress_by_hand_ignores_a_control_file(run_trial: Run, tmp_path: Path) -> None:
    (tmp_path / "trial").mkdir()
    (tmp_path / "trial" / "control.json").write_text(json.dumps(command(0, 0, cancel=True)))
    assert run_trial().code == 0


def test_channel_reports_every_update(steer: Run, tmp_path: Path) -> None:
    ended = steer({})
    reports = rows(tmp_path / "trial" / "progress.jsonl")
    assert [list(row) for row in reports] == [[*KEYS]] * 12
    assert [(row["step"], row["step_target"]) for row in reports] == [(step, 12) for step in range(12)]
    assert [row["progress"] for row in reports] == pytest.approx([step / 12 for step in range(12)])
    assert [row["lr"] for row in reports[1:]] == rates(ended)[:-1], "a report comes before its update"
    assert [row["num_steps"] for row in reports] == list(range(12))
    assert all(row["metrics"]["train_loss"] >= 0 for row in reports)
    elapsed = [row["elapsed_s"] for row in reports]
    assert elapsed == sorted(elapsed)


def test_channel_reports_a_loss_that_is_no_number_as_null(tmp_path: Path) -> None:
    prepare.Channel(tmp_path).exchange(0, None, {"train_loss": float("nan"), "grad_norm": float("inf")})
    assert rows(tmp_path / "progress.jsonl")[0]["metrics"] == {"train_loss": None, "grad_norm": None}


@pytest.mark.parametrize("laid_at", [0, 3, 7])
def test_channel_applies_a_command_exactly_at_its_step(steer: Run, tmp_path: Path, laid_at: int) -> None:
    plain = rates(steer({}))
    steered = rates(steer({laid_at: command(0, 7, lr_scale=0.5)}))
    assert steered == plain[:7] + [rate * 0.5 for rate in plain[7:]]
    assert rows(tmp_path / "trial" / "acks.jsonl") == [
        {"seq": 0, "branch_id": "b", "applied_step": 7, "lr": steered[7]}
    ], "the acknowledged rate is the one in the optimizer"


def test_channel_applies_a_late_command_at_once_and_says_when(steer: Run, tmp_path: Path) -> None:
    plain = rates(steer({}))
    steered = rates(steer({6: command(0, 2, lr_scale=0.5)}))
    assert steered == plain[:6] + [rate * 0.5 for rate in plain[6:]]
    assert rows(tmp_path / "trial" / "acks.jsonl")[0]["applied_step"] == 6


def test_channel_keeps_the_order_of_effective_steps(steer: Run, tmp_path: Path) -> None:
    plain = rates(steer({}))
    steered = rates(steer({0: command(0, 4, lr_scale=0.5), 1: command(1, 9, lr_scale=0.25)}))
    assert steered == plain[:4] + [rate * 0.5 for rate in plain[4:9]] + [rate * 0.25 for rate in plain[9:]]
    acks = [(row["seq"], row["applied_step"]) for row in rows(tmp_path / "trial" / "acks.jsonl")]
    assert acks == [(0, 4), (1, 9)]


def test_channel_drops_what_was_asked_for_before_and_is_due_after_a_newer_command(steer: Run, tmp_path: Path) -> None:
    plain = rates(steer({}))
    steered = rates(steer({0: command(0, 9, lr_scale=2.0), 1: command(1, 4, lr_scale=0.5)}))
    assert steered == plain[:4] + [rate * 0.5 for rate in plain[4:]], "what was cut is not undone by older advice"
    assert [row["seq"] for row in rows(tmp_path / "trial" / "acks.jsonl")] == [1]


def test_channel_replaces_the_plan(steer: Run, tmp_path: Path) -> None:
    plan = {"warmup": 0.0, "decay": 1.0, "shape": "cosine", "final": 0.0, "start": 0.5, "peak": 0.5}
    steered = rates(steer({2: command(0, 4, plan=plan)}))
    schedule = prepare.Schedule(**plan)  # type: ignore[arg-type]
    assert steered[4:] == pytest.approx([0.01 * schedule.lr_scale((step + 1) / 12) for step in range(4, 12)])


def test_channel_keeps_the_plan_when_only_the_scale_changes(steer: Run) -> None:
    plan = {"decay": 0.0}
    steered = rates(steer({0: command(0, 0, plan=plan), 5: command(1, 5, lr_scale=0.5)}))
    assert steered == pytest.approx([0.01] * 5 + [0.005] * 7)


@pytest.mark.parametrize(
    "second",
    [
        command(1, 5, lr_scale=0.1, run_id="another run"),
        command(1, 5, lr_scale=0.1, branch_id="another branch"),
        command(0, 5, lr_scale=0.1),
        command(1, 5, lr_scale=-1.0),
        command(1, 5, lr_scale=float("nan")),
        command(1, 5, lr_scale="twice"),
        command(1, 5, plan={"warmup": 2.0}),
        command(1, 5, plan={"warm_up": 0.1}),
        command(1, 5, plan=["linear"]),
        "{broken",
        "[]",
        "null",
    ],
    ids=lambda value: str(value)[-60:],
)
def test_channel_refuses_what_is_not_for_this_run(tmp_path: Path, second: Any, capsys: pytest.CaptureFixture) -> None:
    control = tmp_path / "control.json"
    control.write_text(json.dumps(command(0, 0, lr_scale=0.75)))
    channel = prepare.Channel(tmp_path)
    assert channel.exchange(0, None, {}).lr_scale == 0.75
    channel.acknowledge(0.1)
    control.write_text(second if isinstance(second, str) else json.dumps(second))
    for step in range(4, 7):
        assert channel.exchange(step, None, {}) == prepare.Control(0.75)
        channel.acknowledge(0.1)
    assert capsys.readouterr().out.count("control.json refused") == 1
    assert [row["seq"] for row in rows(tmp_path / "acks.jsonl")] == [0]
    control.write_text(json.dumps(command(2, 7, lr_scale=0.5)))
    assert channel.exchange(7, None, {}).lr_scale == 0.5, "the next good command counts"


@pytest.mark.parametrize(
    "strange",
    [
        json.dumps({**command(1, 5), "seq": None}),
        json.dumps(command(1, 5, effective_step=None)),
        json.dumps(command(1, 5, effective_step="soon")),
        json.dumps(command(1, 5, effective_step=float("inf"))),
        json.dumps({"run_id": "r", "branch_id": "b", "lr_scale": 0.1}),
        '{"seq": 1, "run_id": "\xff'.encode("latin-1"),
    ],
    ids=["seq null", "step null", "step text", "step infinite", "no seq", "no utf-8"],
)
def test_channel_survives_strange_commands(tmp_path: Path, strange: str | bytes) -> None:
    control = tmp_path / "control.json"
    control.write_text(json.dumps(command(0, 0, lr_scale=0.75)))
    channel = prepare.Channel(tmp_path)
    control.write_bytes(strange if isinstance(strange, bytes) else strange.encode())
    for step in range(4, 7):
        channel.exchange(step, None, {})
        channel.acknowledge(0.1)
    control.write_text(json.dumps(command(3, 7, lr_scale=0.5)))
    assert channel.exchange(7, None, {}).lr_scale == 0.5


def test_channel_learns_run_and_branch_from_what_lies_there_at_the_start(tmp_path: Path) -> None:
    control = tmp_path / "control.json"
    control.write_text(json.dumps(command(4, 0, branch_id="new")))
    channel = prepare.Channel(tmp_path)
    control.write_text(json.dumps(command(5, 0, branch_id="old", lr_scale=0.1)))
    assert channel.exchange(0, None, {}).lr_scale == 1.0


def test_channel_writes_whole_lines(steer: Run, tmp_path: Path) -> None:
    steer({0: command(0, 0)})
    for name in ("progress.jsonl", "acks.jsonl"):
        text = (tmp_path / "trial" / name).read_text()
        assert text.endswith("\n") and all(json.loads(line) for line in text.splitlines())


def test_cancel_ends_the_process_with_42(steer: Run, tmp_path: Path) -> None:
    ended = steer({5: command(0, 5, cancel=True)})
    assert ended.code == 42
    assert "cancelled on request" in ended.text
    assert len(rates(ended)) == 5
    assert not (tmp_path / "trial" / "submission").exists()


def test_cancel_of_another_run_is_refused(steer: Run) -> None:
    ended = steer({0: command(0, 0), 5: command(1, 5, cancel=True, run_id="another")})
    assert ended.code == 0, ended.text
