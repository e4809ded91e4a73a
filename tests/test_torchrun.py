"""Processes that torchrun starts: whether they meet in the sandbox, and what is said of them when one crashes."""

import subprocess
import sys
from pathlib import Path

import night
import pytest
from boxes import found

from autoresearch import summary

COMMAND = ["{python}", "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "train.py"]
ARENA = f"command = {COMMAND}\nfrozen = ['rules.txt']\ntimeout_s = 60\n"
TRAINER = """import torch
import torch.distributed as dist

BPB = 1.5
dist.init_process_group("gloo")
told = torch.tensor([BPB * dist.get_rank()])
dist.all_reduce(told)
if dist.get_rank() == 0:
    print(f"---\\nnum_steps: {dist.get_world_size()}\\nval_bpb: {float(told)}")
dist.destroy_process_group()
"""


def together(folder: Path) -> night.Night:
    """A repository before `setup` whose trials are two processes each."""
    one = night.fresh(folder)
    (one.root / "train.py").write_text(TRAINER)
    one.arena(ARENA)
    return one


@pytest.mark.slow
def test_two_processes_find_each_other_in_the_sandbox(tmp_path: Path) -> None:
    if (confinement := found("bubblewrap")).kind != "bubblewrap":
        pytest.skip(f"no bubblewrap here: {confinement.reason}")
    one = together(tmp_path)
    one.run("setup", "t1", "--baseline-runs", "1")
    (trial,) = one.record(1)["trials"]
    assert (trial["score"], trial["metrics"]["num_steps"]) == (1.5, 2)
    assert (trial["sealed"], trial["network"]) == ("bubblewrap", "none")


CRASHES = {
    "diverged, FAIL: loss is nan at step 3": "raise SystemExit('FAIL: loss is nan at step 3')",
    "error, NameError: name 'no_such_thing' is not defined": "no_such_thing",
    "out of memory, MemoryError: CUDA out of memory": "raise MemoryError('CUDA out of memory')",
    "killed, signal 9 (SIGKILL, often the kernel for want of memory)": "os.kill(os.getpid(), 9)",
}


@pytest.mark.slow
@pytest.mark.parametrize("told", CRASHES)
def test_crash_of_one_of_eight_processes_is_told_in_its_own_words(tmp_path: Path, told: str) -> None:
    first = f"if os.environ['RANK'] == '0':\n    {CRASHES[told]}\n"
    (tmp_path / "train.py").write_text(f"import os, time\nprint('step 1', flush=True)\n{first}time.sleep(60)\n")
    command = [sys.executable, *COMMAND[1:-2], "--nproc-per-node=8", "train.py"]
    done = subprocess.run(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    crash = summary.explain(done.stdout, done.returncode)
    assert f"{crash.kind}, {crash.why}" == told and done.returncode == 1
    assert told.startswith("killed") or (crash.why in crash.tail and "ChildFailedError" not in crash.tail)
