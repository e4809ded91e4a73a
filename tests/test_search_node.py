"""The program that runs a trial where its executor is not."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from executors import Run
from searching import ROOT, VARIABLES, running_in, wait_for

from autoresearch.search.config import Config
from autoresearch.search.executors import Order
from autoresearch.search.executors.command import CommandExecutor
from autoresearch.search.executors.raytask import START_NODE
from autoresearch.search.spans import Spans


@pytest.fixture
def order(tmp_path: Path) -> Any:
    run = Run(CommandExecutor(Config.model_validate({"target": {"train_cmd": ["true"]}}), Spans(), {}), tmp_path)
    return run.order


@contextmanager
def node(order: Order, root: Path = ROOT) -> Iterator[subprocess.Popen[bytes]]:
    """The program, with an order."""
    command = [sys.executable, "-P", "-c", START_NODE, str(root)]
    started = subprocess.Popen(command, cwd=root, env=VARIABLES, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert started.stdin
    facts = {name: getattr(order, name) for name in ("number", "commands", "timeout_s")}
    told = {**facts, "folder": str(order.folder), "cwd": str(order.cwd), "variables": dict(order.variables)}
    started.stdin.write(json.dumps(told).encode() + b"\n")
    started.stdin.flush()
    with started:
        yield started


def frames(started: subprocess.Popen[bytes]) -> Iterator[tuple[dict[str, Any], bytes]]:
    """What it says."""
    assert started.stdout
    while line := started.stdout.readline():
        header = json.loads(line)
        yield header, started.stdout.read(header["size"])


def test_node_runs_in_a_folder_of_its_own_and_sends_all_that_is_left(order: Any) -> None:
    with node(order(1, "finish")) as started:
        found = list(frames(started))
    sent = {header.get("name", "outcome"): data for header, data in found}
    assert {*sent} == {"progress.jsonl", "run.log", "model/weights", "outcome"}
    assert sent["model/weights"] == b"numbers" and sent["run.log"] == b"loss: 0.25\n"
    assert found[-1][0]["outcome"]["exit_code"] == 0 and started.returncode == 0
    assert not list(order(2, "finish").folder.glob("*.log"))


def test_node_imports_no_stray_module_of_the_repository(order: Any, tmp_path: Path) -> None:
    root = tmp_path / "repository"
    root.mkdir()
    (root / "autoresearch").symlink_to(ROOT / "autoresearch")
    for name in ("json", "queue", "yaml"):
        (root / f"{name}.py").write_text("raise SystemExit(9)")
    with node(order(1, "finish"), root) as started:
        assert [header["outcome"]["exit_code"] for header, _ in frames(started) if "outcome" in header] == [0]
    assert started.returncode == 0


def test_node_that_is_killed_says_so_by_its_exit_code(order: Any) -> None:
    waiting = order(1, "wait")
    with node(waiting) as started:
        next(frames(started))
        (child,) = Path(f"/proc/{started.pid}/task/{started.pid}/children").read_text().split()
        os.kill(int(child), signal.SIGKILL)
    for left in running_in(waiting.cwd):
        os.kill(left, signal.SIGKILL)
    assert started.returncode == 128 + signal.SIGKILL


def test_node_sends_large_files_in_parts(order: Any) -> None:
    with node(order(1, "flood")) as started:
        parts = [(header["start"], len(data)) for header, data in frames(started) if header.get("name") == "run.log"]
    assert len(parts) > 8 and max(size for _, size in parts) <= 1 << 20
    assert [start for start, _ in parts] == [sum(size for _, size in parts[:place]) for place in range(len(parts))]


def test_node_leaves_no_trial_behind_when_its_reader_is_killed(order: Any) -> None:
    waiting = order(1, "wait")
    with node(waiting) as started:
        header, _ = next(frames(started))
        assert header["name"] == "progress.jsonl"
        started.kill()  # the parent of the one that does the work, as Ray may kill the children of a worker
        assert running_in(waiting.cwd)
        assert started.stdin
        started.stdin.close()
        wait_for(lambda: not running_in(waiting.cwd))


def test_node_says_what_could_not_be_started(order: Any) -> None:
    lost = order(1, "finish")
    with node(Order(**{**lost.__dict__, "cwd": Path("/no/such/place")})) as started:
        outcome = next(header["outcome"] for header, _ in frames(started) if "outcome" in header)
    assert outcome["end"] == "unstartable" and "/no/such/place" in outcome["why"]
