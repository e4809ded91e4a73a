"""kill -9 of the supervisor, of the trainer, of both, at five points: the round goes on, and is told exactly once."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT
from steering import VARIABLES, Desk

from autoresearch.steer import logs, state
from autoresearch.steer.rows import FINALS, Final
from autoresearch.steer.state import State

HABITS: dict[str, Any] = {"mode": "lost", "at": 110, "pace_s": 0.004}
SETTINGS = {"controller": "random", "k": 20, "total_steps": 240, "seed": 3}


class Night:
    """A campaign in a process of its own."""

    def __init__(self, folder: Path, **habits: Any):
        self.desk = Desk(folder, SETTINGS)
        config = self.desk.config(**(HABITS | habits)).model_dump(mode="json", exclude_defaults=True)
        (folder / "c.yaml").write_text(yaml.safe_dump(config))
        self.trial = self.desk.home / "rounds" / "0001"

    def start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "autoresearch", "steer", "c.yaml"]
        env = VARIABLES | {"PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""}
        with open(self.desk.folder / "log", "ab") as log:
            return subprocess.Popen(command, cwd=self.desk.folder, env=env, stdout=log, stderr=log)

    def finish(self) -> Final:
        """Run to the end, again if need be."""
        assert self.start().wait(60) == 0, (self.desk.folder / "log").read_text()
        (final,) = logs.read(self.desk.home / FINALS, Final)
        return final

    @property
    def state(self) -> State | None:
        return state.load(self.trial)

    def step(self) -> int:
        """How far the trainer has come on its present branch."""
        try:
            return int(json.loads((self.trial / "progress.jsonl").read_text().splitlines()[-1])["step"])
        except (OSError, ValueError, IndexError):
            return -1

    def branch(self) -> int:
        return self.state.branch if self.state else 0


POINTS: dict[str, Callable[[Night], bool]] = {
    "before the first launch is noted": lambda night: (night.trial / "state.json").exists(),
    "before the first checkpoint": lambda night: night.step() >= 4,
    "after a checkpoint": lambda night: night.step() >= 55,
    "after a rollback": lambda night: night.branch() == 1 and night.step() >= 105,
    "near the end": lambda night: night.branch() == 1 and night.step() >= 200,
}


@pytest.mark.slow
@pytest.mark.parametrize("victims", ["supervisor", "trainer", "both"])
@pytest.mark.parametrize("point", POINTS)
def test_killed_round_goes_on_with_branch_budget_and_guard(tmp_path: Path, point: str, victims: str) -> None:
    night = Night(tmp_path)
    process, until = night.start(), time.monotonic() + 60
    while not POINTS[point](night):
        assert time.monotonic() < until and process.poll() is None, (tmp_path / "log").read_text()
        time.sleep(0.002)
    before = night.state
    assert before
    if victims != "trainer":
        process.kill()
        process.wait()
    if victims != "supervisor" and (now := night.state) and now.pid:
        os.kill(now.pid, signal.SIGKILL)
    if victims == "trainer":
        assert process.wait(60) == 0, (tmp_path / "log").read_text()
    final = night.finish()
    assert final.status == "ok", (tmp_path / "log").read_text()
    assert final.num_rollbacks == 1, "what was reported is seen, if not when it happened"
    assert final.seconds > 240 * HABITS["pace_s"], "time counts that nobody watched"
    assert final.lr[-1][0] > 0.97 and final.lr[-1][1] < 0.1, "the end is decayed"
    after = night.state
    assert after and after.branch == final.num_rollbacks >= before.branch
    assert after.vitals.rollbacks[: len(before.vitals.rollbacks)] == before.vitals.rollbacks
    numbers = [row.number for row in night.desk.rollbacks()]
    assert numbers == sorted(set(numbers)), "each rollback once"
    undone = sum(1 for row in night.desk.rollbacks() if row.kind == "infra") * 40
    assert final.steps <= 240 + undone


def test_finished_campaign_is_left_as_it_is(tmp_path: Path) -> None:
    night = Night(tmp_path)
    first = night.finish()
    trace = (night.trial / "trace.jsonl").read_bytes()
    assert night.finish() == first and (night.trial / "trace.jsonl").read_bytes() == trace


def test_second_campaign_of_a_tag_is_refused_while_the_first_runs(tmp_path: Path) -> None:
    night = Night(tmp_path, pace_s=0.02)
    first, until = night.start(), time.monotonic() + 60
    while night.step() < 0 and time.monotonic() < until:
        time.sleep(0.01)
    assert night.start().wait(60) == 1
    assert "Busy: the campaign t is under way" in (tmp_path / "log").read_text()
    assert first.wait(60) == 0


def test_campaign_that_was_begun_otherwise_is_refused_by_name(tmp_path: Path) -> None:
    night = Night(tmp_path)
    night.finish()
    text = (tmp_path / "c.yaml").read_text().replace("k: 20", "k: 30")
    (tmp_path / "c.yaml").write_text(text)
    assert night.start().wait(60) == 2
    assert "k was 20 and is 30" in (tmp_path / "log").read_text()
