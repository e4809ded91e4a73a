"""train.py: importing it, whole runs, the parts of its loop; its model and its optimizer have files of their own.

Not covered: compiled runs; whole runs on other devices than the CPU, where they are not promised to repeat.
"""

import copy
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import launcher
import pytest
import torch
from conftest import ROOT, TEXTS
from edits import edit_train
from torch import Tensor

import prepare
import train

T = prepare.MAX_SEQ_LEN

IMPORT = """
import gc, os, random, sys, threading
import numpy, torch, prepare

def state():
    dice = [torch.get_rng_state().tolist(), random.getstate(), numpy.random.get_state()[1].tolist()]
    switches = [torch.get_float32_matmul_precision(), torch.are_deterministic_algorithms_enabled()]
    switches += [torch.get_default_dtype(), torch.get_num_threads(), torch.is_grad_enabled(), gc.isenabled()]
    tasks = os.listdir("/proc/self/task") if sys.platform == "linux" else []
    return [*dice, *switches, dict(os.environ), threading.enumerate(), tasks]

def hear(event, arguments):
    writes = event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
    if writes or event in ("os.mkdir", "os.remove", "os.rename", "subprocess.Popen", "os.fork", "socket.connect"):
        heard.append((event, arguments))

heard, before = [], state()
sys.dont_write_bytecode = True
sys.addaudithook(hear)
import train
assert state() == before, "a global has changed"
assert not heard, heard
"""


def test_importing_train_does_nothing(run_script: Callable[..., launcher.Ended], tmp_path: Path) -> None:
    (tmp_path / "importing.py").write_text(IMPORT)
    settings = {"CACHE": tmp_path / "cache", "TRIAL_DIR": tmp_path / "trial", "CUDA_VISIBLE_DEVICES": ""}
    ended = run_script(tmp_path / "importing.py", **settings)
    assert (ended.code, ended.text) == (0, "")
    assert {path.name for path in tmp_path.iterdir()} == {"importing.py", "run.log"}


@dataclass(frozen=True)
class Run:
    """A finished run of train.py."""

    trial: Path
    text: str

    @property
    def trace(self) -> list[tuple[str, str]]:
        """Step and smoothed loss of every update, as printed."""
        return re.findall(r"^(step \d+) .*( loss \S+)", self.text, flags=re.MULTILINE)

    @property
    def weights(self) -> dict[str, Tensor]:
        return torch.load(self.trial / "submission" / "weights.pt", weights_only=True)

    def checkpoint(self, step: int) -> dict[str, Any]:
        """What must be the same again: all but the clock."""
        path = self.trial / "checkpoints" / f"step-{step:08d}.pt"
        return {**torch.load(path, weights_only=True), "clock": 0, "branch": 0}


@pytest.fixture(scope="module")
def run_train(
    environment: dict[str, str], tokenizer: prepare.Tokenizer, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Run]:
    """Call with AUTORESEARCH_ settings: run train.py for eight updates; on the CPU, where it promises to repeat."""

    def run(**settings: object) -> Run:
        folder = tmp_path_factory.mktemp("run")
        named = {"DATASET": TEXTS, "TRIAL_DIR": folder / "trial", "TIME_BUDGET": 1000, "MAX_STEPS": 8} | settings
        variables = environment | {f"AUTORESEARCH_{name}": str(value) for name, value in named.items()}
        ended = launcher.run([ROOT / "train.py"], variables | {"CUDA_VISIBLE_DEVICES": ""}, folder / "run.log")
        assert ended.code == 0, ended.text
        return Run(folder / "trial", ended.text)

    return run


@pytest.fixture(scope="module")
def by_hand(run_train: Callable[..., Run]) -> Run:
    """A run that scores itself."""
    return run_train()


@pytest.fixture(scope="module")
def supervised(run_train: Callable[..., Run]) -> Run:
    """The same run under a supervisor, with checkpoints."""
    return run_train(SUPERVISED=1, CHECKPOINT_STEPS=4)


def test_run_with_the_same_seed_is_the_same_run(by_hand: Run, supervised: Run) -> None:
    assert len(by_hand.trace) == 8
    assert by_hand.trace == supervised.trace
    torch.testing.assert_close(by_hand.weights, supervised.weights, rtol=0, atol=0)


def test_run_with_another_seed_is_another_run(run_train: Callable[..., Run], supervised: Run) -> None:
    other = run_train(SUPERVISED=1, SEED=43)
    assert len(other.trace) == 8 and other.trace != supervised.trace
    untrained = [run.weights["embedding.weight"][-1] for run in (supervised, other)]  # a token that no text has
    assert not torch.equal(*untrained), "the seed sets the first weights too, not only the order of the data"


def test_run_learns(by_hand: Run) -> None:
    losses = [float(loss.split()[1]) for _, loss in by_hand.trace]
    assert losses[-1] < losses[0] - 0.1


def test_resumed_run_is_the_run_bit_for_bit(run_train: Callable[..., Run], supervised: Run) -> None:
    path = supervised.trial / "checkpoints" / "step-00000004.pt"
    resumed = run_train(SUPERVISED=1, CHECKPOINT_STEPS=4, RESUME=path)
    assert [step for step, _ in resumed.trace] == [f"step {step:05d}" for step in range(4, 8)]
    torch.testing.assert_close(resumed.weights, supervised.weights, rtol=0, atol=0)
    torch.testing.assert_close(resumed.checkpoint(8), supervised.checkpoint(8), rtol=0, atol=0)
    earlier = torch.load(path, weights_only=True)["model"]
    assert not torch.equal(earlier["unembedding.weight"], resumed.weights["unembedding.weight"])


def test_score_of_the_submission_is_the_score_of_the_run(
    by_hand: Run, run_script: Callable[..., launcher.Ended]
) -> None:
    ended = run_script(ROOT / "prepare.py", "--score", by_hand.trial, DATASET=TEXTS, CUDA_VISIBLE_DEVICES="")
    assert ended.code == 0, ended.text
    (printed,) = re.findall(r"^val_bpb: (\S+)$", by_hand.text, flags=re.MULTILINE)
    scored = json.loads((by_hand.trial / "score.json").read_text())["val_bpb"]
    assert float(printed) == pytest.approx(scored, abs=1e-6)


@pytest.mark.parametrize("num_batches", [1, 2, 6])
def test_gradient_of_several_batches_is_that_of_one(num_batches: int) -> None:
    variant = edit_train(COMPUTE_DTYPE=torch.float32)
    torch.manual_seed(0)
    model = variant.build_model(variant.make_config())
    model.initialize()
    model.to(prepare.DEVICE)
    inputs, targets = torch.randint(prepare.VOCAB_SIZE, (2, 12, T), device=prepare.DEVICE).unbind()
    expected = variant.loss_of(model, inputs, targets)
    gradients = list(torch.autograd.grad(expected, [*model.parameters()]))
    parts = zip(inputs.chunk(num_batches), targets.chunk(num_batches), range(num_batches), strict=True)
    loss, epoch = variant.backward(variant.loss_of, model, parts, num_batches)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5) and epoch == num_batches - 1
    found = [weight.grad / variant.LOSS_SCALE for weight in model.parameters()]
    torch.testing.assert_close(found, gradients, rtol=1e-4, atol=1e-6)


@dataclass
class Narrow:
    """A loss_fn on a device whose memory holds `limit` rows: with more the second pass fails, which leaves work."""

    limit: int
    rows: list[int]

    def __call__(self, model: torch.nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        self.rows.append(len(inputs))
        if len(inputs) > self.limit and self.rows.count(len(inputs)) == 2:
            raise torch.OutOfMemoryError("out of memory")
        return train.loss_of(model, inputs, targets)


def small_parts() -> tuple[train.GPT, train.MuonAdamW, prepare.Clock]:
    torch.manual_seed(0)
    model = train.build_model(train.make_config())
    model.initialize()
    optimizer = train.build_optimizer(model.to(prepare.DEVICE))
    return model, optimizer, prepare.Clock(model, optimizer)


def state_of(model: train.GPT, optimizer: train.MuonAdamW) -> dict[str, Any]:
    """Everything that training changes, copied."""
    parts = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "random": torch.get_rng_state()}
    return copy.deepcopy(parts | {"gradients": sum(weight.grad is not None for weight in model.parameters())})


@pytest.mark.parametrize(("limit", "tried"), [(100, [16]), (15, [16, 8]), (8, [16, 8]), (3, [16, 8, 4, 2])])
def test_warm_up_halves_the_rows_until_they_fit_and_leaves_no_trace(
    capsys: pytest.CaptureFixture[str], limit: int, tried: list[int]
) -> None:
    model, optimizer, clock = small_parts()
    before, narrow = state_of(model, optimizer), Narrow(limit, [])
    assert train.warm_up(narrow, model, optimizer, clock) == tried[-1]
    assert list(dict.fromkeys(narrow.rows)) == tried
    assert narrow.rows.count(tried[-1]) % train.count_batches(tried[-1]) == 0, "whole updates fit"
    said = re.findall(r"out of memory, so DEVICE_BATCH_SIZE is (\d+)", capsys.readouterr().out)
    assert [int(rows) for rows in said] == tried[1:]
    torch.testing.assert_close(state_of(model, optimizer), before, rtol=0, atol=0)
    assert clock.num_steps == 0


def test_warm_up_gives_up_at_one_row(capsys: pytest.CaptureFixture[str]) -> None:
    model, optimizer, clock = small_parts()
    before, narrow = state_of(model, optimizer), Narrow(0, [])
    with pytest.raises(torch.OutOfMemoryError):
        train.warm_up(narrow, model, optimizer, clock)
    assert list(dict.fromkeys(narrow.rows)) == [16, 8, 4, 2, 1]
    assert "is 0" not in capsys.readouterr().out
    torch.testing.assert_close(state_of(model, optimizer), before, rtol=0, atol=0)


@pytest.mark.parametrize("rows", [1, 2, 16])
def test_batches_make_up_the_tokens_of_an_update(rows: int) -> None:
    assert train.count_batches(rows) * rows * T == train.TOTAL_BATCH_SIZE


@pytest.mark.parametrize(("total", "rows"), [(1024, 3), (1000, 16), (1024, 32), (63, 1)])
def test_batches_that_do_not_make_up_an_update_are_refused_with_both_numbers(total: int, rows: int) -> None:
    message = rf"multiple of DEVICE_BATCH_SIZE \* MAX_SEQ_LEN = {rows} \* {T} but got {total}; .*train\.py"
    with pytest.raises(SystemExit, match=message):
        edit_train(TOTAL_BATCH_SIZE=total).count_batches(rows)


def watch_losses(losses: list[float]) -> int:
    """Step at which Watch ends the run, or the number of them."""
    watch = train.Watch(peak=1e12, flops_per_token=1000)
    try:
        for step, loss in enumerate(losses):
            watch.see(step, loss, 0.1)
    except SystemExit as refusal:
        found = re.match(r"FAIL: loss \S+ at step (\d+);", str(refusal.code))
        return int(found[1]) if found else -1
    return len(losses)


@pytest.mark.parametrize("loss", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("step", [0, 5])
def test_watch_ends_a_run_whose_loss_is_not_finite(loss: float, step: int) -> None:
    assert watch_losses([5.0] * step + [loss] + [5.0] * 5) == step


def test_watch_ends_a_run_whose_smoothed_loss_has_risen_too_far() -> None:
    rise = train.MAX_LOSS_RISE
    assert watch_losses([3.0] * 20 + [3.0 + 11 * rise]) == 20, "in one leap"
    assert 20 < watch_losses([3.0] * 20 + [3.0 + 1.5 * rise] * 50) < 35, "for good"
    slowly = [3.0 + rise * step / 100 for step in range(200)]
    assert 100 < watch_losses(slowly) < 115, "from the lowest, not from the last"


def test_watch_lets_noise_and_single_spikes_pass() -> None:
    noise = (torch.rand(2000, generator=torch.Generator().manual_seed(0)) * 2 - 1) * 1.9
    losses = (6.0 - 3.0 * torch.linspace(0, 1, 2000) + noise).tolist()
    losses[500] += 10.0
    assert watch_losses(losses) == 2000
    assert watch_losses([3.0] * 20 + [3.0 + 0.99 * train.MAX_LOSS_RISE] * 500) == 520
