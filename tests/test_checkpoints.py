"""Checkpoints: a resumed run is the run, a kill leaves whole files, foreign files are refused, rollback keeps time."""

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import launcher
import pytest
import torch
from conftest import ROOT, TEXTS
from torch import nn

import prepare

Run = Callable[..., launcher.Ended]


def trace(ended: launcher.Ended) -> list[str]:
    """One line per update: step, progress, rate, loss, to the last bit."""
    assert ended.code == 0, ended.text
    return [line for line in ended.text.splitlines() if line.startswith("trace ")]


def score_line(ended: launcher.Ended) -> str:
    return next(line for line in ended.text.splitlines() if line.startswith("val_bpb:"))


def test_resumed_run_is_the_run_bit_for_bit(run_trial: Run, tmp_path: Path) -> None:
    whole = run_trial(CHECKPOINT_STEPS=5)
    (checkpoint,) = (tmp_path / "trial" / "checkpoints").glob("step-*05.pt")
    shutil.copy(checkpoint, tmp_path / "kept.pt")
    resumed = run_trial(RESUME=tmp_path / "kept.pt", TRIAL_DIR=tmp_path / "resumed")
    assert len(trace(whole)) == 12
    assert trace(resumed) == trace(whole)[5:]
    assert score_line(resumed) == score_line(whole)


def test_same_seed_same_run_and_other_seed_other_run(run_trial: Run, tmp_path: Path) -> None:
    first, again = trace(run_trial()), trace(run_trial())
    other = trace(run_trial(SEED=43))
    assert first == again
    assert not {line.split()[4] for line in first} & {line.split()[4] for line in other}


def test_checkpoints_are_only_the_newest_eight(run_trial: Run, tmp_path: Path) -> None:
    run_trial(CHECKPOINT_STEPS=1)
    names = sorted(path.name for path in (tmp_path / "trial" / "checkpoints").iterdir())
    assert names == [f"step-{step:08d}.pt" for step in range(5, 13)]


ENDLESS = """
import torch, prepare
model = torch.nn.Linear(400, 400)
optimizer = torch.optim.AdamW(model.parameters())
loader = prepare.Loader(__import__("numpy").arange(100, dtype="uint16"), (1, 5), 1, prepare.DEVICE)
clock = prepare.Clock(model, optimizer)
clock.start()
for step in range(1000000):
    prepare.save_checkpoint(step % 10, model=model, optimizer=optimizer, loader=loader, clock=clock)
    optimizer.zero_grad()
"""


def test_checkpoints_are_whole_after_a_kill(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "endless.py").write_text(ENDLESS)
    folder = tmp_path / "trial" / "checkpoints"
    variables = environment | {"AUTORESEARCH_TRIAL_DIR": str(tmp_path / "trial")}
    for attempt in range(3):
        child = launcher.Child([tmp_path / "endless.py"], variables, tmp_path / f"log{attempt}")
        aside = f".{child.process.pid}-"

        def writing(aside: str = aside) -> bool:
            names = os.listdir(folder) if folder.exists() else []
            return len(names) > 3 and any(aside in name for name in names)

        ended = child.kill_when(writing)
        assert ended.code == -9, ended.text
        checkpoints = list(folder.glob("step-*.pt"))
        assert checkpoints
        for path in checkpoints:
            assert torch.load(path, weights_only=True)["step"] == int(path.stem[5:])


@pytest.mark.parametrize("name", ["checkpoints/step-00000002.pt", "submission/weights.pt", "submission/config.json"])
def test_files_are_never_written_under_their_own_names(
    environment: dict[str, str], tokenizer: prepare.Tokenizer, tmp_path: Path, name: str
) -> None:
    named = {"DATASET": TEXTS, "TRIAL_DIR": tmp_path / "trial", "MAX_STEPS": 3, "CHECKPOINT_STEPS": 1}
    variables = environment | {f"AUTORESEARCH_{setting}": str(value) for setting, value in named.items()}
    words: list[str | Path] = [ROOT / "tests" / "trials" / "small.py"]
    assert launcher.Child(words, variables, tmp_path / "log", die_at=("open", f"trial/{name}")).wait().code == 0
    assert (tmp_path / "trial" / name).exists()


class Evil:
    """Unpickled, it makes a file."""

    def __init__(self, path: Path):
        self.path = str(path)

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (self.path, "w")


@pytest.fixture
def parts(tokenizer: prepare.Tokenizer) -> dict[str, Any]:
    model = nn.Linear(3, 3)
    optimizer = torch.optim.AdamW(model.parameters())
    loader = prepare.make_dataloader(tokenizer, 1, 8, "train")
    return {"model": model, "optimizer": optimizer, "loader": loader, "clock": prepare.Clock(model, optimizer)}


def test_checkpoint_with_a_pickle_is_refused_unopened(parts: dict[str, Any], tmp_path: Path) -> None:
    torch.save({"step": 1, "model": Evil(tmp_path / "opened")}, tmp_path / "evil.pt")
    with pytest.raises(prepare.PrepareError, match=r"evil\.pt cannot be resumed from"):
        prepare.load_checkpoint(tmp_path / "evil.pt", **parts)
    assert not (tmp_path / "opened").exists()


@pytest.mark.parametrize(
    "content", [None, b"", b"garbage", b"PK\x03\x04 cut off"], ids=["missing", "empty", "garbage", "cut off"]
)
def test_checkpoint_that_does_not_read_is_refused_by_name(
    parts: dict[str, Any], tmp_path: Path, content: bytes | None
) -> None:
    if content is not None:
        (tmp_path / "bad.pt").write_bytes(content)
    with pytest.raises(prepare.PrepareError, match=r"bad\.pt cannot be resumed from"):
        prepare.load_checkpoint(tmp_path / "bad.pt", **parts)


@pytest.mark.parametrize("state", [{"step": 1}, [1, 2], {"model": {}}], ids=["parts missing", "list", "other model"])
def test_checkpoint_of_something_else_is_refused_by_name(parts: dict[str, Any], tmp_path: Path, state: Any) -> None:
    torch.save(state, tmp_path / "other.pt")
    with pytest.raises(prepare.PrepareError, match=r"other\.pt cannot be resumed from"):
        prepare.load_checkpoint(tmp_path / "other.pt", **parts)


class Halved(torch.optim.SGD):
    """Keeps a float32 momentum for bfloat16 parameters, as mixed-precision optimizers do."""

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for parameter in self.param_groups[0]["params"]:
            state = self.state[parameter]
            state["momentum"] = state.get("momentum", 0) * 0.9 + parameter.grad.float() / 3


def test_checkpoint_keeps_optimizer_state_of_another_precision(tokenizer: prepare.Tokenizer, tmp_path: Path) -> None:
    def build() -> dict[str, Any]:
        model = nn.Linear(3, 3).bfloat16()
        optimizer = Halved(model.parameters(), lr=0.1)
        clock = prepare.Clock(model, optimizer)
        clock.start()
        return {
            "model": model,
            "optimizer": optimizer,
            "loader": prepare.make_dataloader(tokenizer, 1, 8, "train"),
            "clock": clock,
        }

    parts = build()
    parts["model"](torch.ones(1, 3, dtype=torch.bfloat16)).sum().backward()
    parts["optimizer"].step()
    path = prepare.save_checkpoint(1, **parts)
    again = build()
    prepare.load_checkpoint(path, **again)
    saved, loaded = ([state["momentum"] for state in each["optimizer"].state.values()] for each in (parts, again))
    assert all(a.dtype == b.dtype and torch.equal(a, b) for a, b in zip(saved, loaded, strict=True))


def command(seq: int, branch: str) -> dict[str, Any]:
    fields = {"seq": seq, "run_id": "r", "branch_id": branch, "issued_step": 0, "effective_step": 0}
    return {**fields, "cancel": False, "lr_scale": 1.0, "plan": None}


def test_rollback_rewinds_steps_but_not_the_clock_and_still_ends_decayed(run_trial: Run, tmp_path: Path) -> None:
    trial = tmp_path / "trial"
    trial.mkdir()
    control = trial / "control.json"
    control.write_text(json.dumps(command(0, "first")))
    first = run_trial(SUPERVISED=1, CHECKPOINT_STEPS=4, MAX_STEPS=20, TIME_BUDGET=1000)
    progress = [float(line.split()[2]) for line in trace(first)]
    rows = (trial / "progress.jsonl").read_text().splitlines()
    (trial / "progress.jsonl").write_text("\n".join(rows[:15]) + "\n")  # as if it had died after update 14
    control.write_text(json.dumps(command(1, "second")))
    again = trace(run_trial(SUPERVISED=1, RESUME=trial / "checkpoints" / "step-00000008.pt", MAX_STEPS=20))
    steps = [int(line.split()[1]) for line in again]
    assert steps == list(range(8, 14)), "6 of the 20 updates were lost, none is given back"
    assert [float(line.split()[2]) for line in again] == pytest.approx(progress[14:])
    assert float(again[-1].split()[3]) == pytest.approx(0.001), "the end value of the schedule"
    losses = {line.split()[1]: line.split()[4] for line in trace(first)}
    assert float(again[0].split()[4]) == pytest.approx(float(losses["8"]), abs=0.1), "the weights are those of step 8"


def test_second_rollback_counts_what_the_first_one_lost(run_trial: Run, tmp_path: Path) -> None:
    trial = tmp_path / "trial"
    trial.mkdir()
    control, settings = trial / "control.json", {"SUPERVISED": 1, "CHECKPOINT_STEPS": 8, "MAX_STEPS": 20}
    control.write_text(json.dumps(command(0, "first")))
    run_trial(**settings)
    resume = {"RESUME": trial / "checkpoints" / "step-00000008.pt", **settings}
    for number, died_in in ((1, 14), (2, 18)):
        reports = trial / "progress.jsonl"
        kept = [row for row in reports.read_text().splitlines() if json.loads(row)["num_steps"] <= died_in]
        reports.write_text("\n".join(kept) + "\n")
        control.write_text(json.dumps(command(number, f"branch {number}")))
        again = trace(run_trial(**resume))
    assert [int(line.split()[1]) for line in again] == [8, 9], "18 of the 20 updates were made"
    assert float(again[-1].split()[3]) == pytest.approx(0.001), "the end value of the schedule"


def test_resume_on_the_same_branch_goes_on_at_the_same_progress(run_trial: Run, tmp_path: Path) -> None:
    trial = tmp_path / "trial"
    trial.mkdir()
    (trial / "control.json").write_text(json.dumps(command(0, "first")))
    whole = trace(run_trial(SUPERVISED=1, CHECKPOINT_STEPS=4))
    again = trace(run_trial(SUPERVISED=1, RESUME=trial / "checkpoints" / "step-00000008.pt"))
    assert again == whole[8:]


def test_rollback_reads_reports_whose_last_line_was_cut_off(run_trial: Run, tmp_path: Path) -> None:
    trial = tmp_path / "trial"
    trial.mkdir()
    (trial / "control.json").write_text(json.dumps(command(0, "first")))
    run_trial(SUPERVISED=1, CHECKPOINT_STEPS=4)
    text = (trial / "progress.jsonl").read_text()
    (trial / "progress.jsonl").write_text(text[:-2])  # the line ends with the inner object's brace
    (trial / "control.json").write_text(json.dumps(command(1, "second")))
    trace(run_trial(SUPERVISED=1, RESUME=trial / "checkpoints" / "step-00000008.pt"))


def test_resume_keeps_the_folder_of_a_run_by_hand(
    environment: dict[str, str], tmp_path: Path, tokenizer: object
) -> None:
    for name in ("prepare.py", "tests/trials/small.py"):
        shutil.copy(ROOT / name, tmp_path)
    by_hand = environment | {"AUTORESEARCH_DATASET": str(TEXTS), "AUTORESEARCH_TIME_BUDGET": "1000"}
    by_hand |= {"AUTORESEARCH_MAX_STEPS": "6", "AUTORESEARCH_CHECKPOINT_STEPS": "3"}
    manual = tmp_path / "results" / "manual"
    manual.mkdir(parents=True)
    (manual / "left over").touch()
    first = launcher.run([tmp_path / "small.py"], by_hand, tmp_path / "log")
    assert not (manual / "left over").exists(), "a run by hand replaces the folder"
    resume = {"AUTORESEARCH_RESUME": str(manual / "checkpoints" / "step-00000003.pt")}
    second = launcher.run([tmp_path / "small.py"], by_hand | resume, tmp_path / "log")
    assert trace(second) == trace(first)[3:]
    assert re.search(r"val_bpb: \d", second.text)
