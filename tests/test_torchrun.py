"""An arena whose command is torchrun, with two processes: in the sandbox, and what is said of one that crashes."""

from pathlib import Path

import night
import pytest
from boxes import found

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
