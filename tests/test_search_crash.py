"""Whatever kills a search, `run` again goes on: nothing finished is lost or repeated, nothing is left running."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from searching import FIND_PARAMS, VARIABLES, Target, running_in, wait_for

from autoresearch import process
from autoresearch.search.executors import Done, Order
from autoresearch.search.executors.command import CommandExecutor
from autoresearch.search.spans import Spans
from autoresearch.search.store import Store

COUNTS = FIND_PARAMS + 'open("ran", "a").write(f"{params.get(\'x\')}\\n")\nprint("loss:", params.get("x", 9))\n'
CELLS = [4, 2]
WATCHED = {"open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "subprocess.Popen", "sqlite3.connect"}


@pytest.fixture
def target(tmp_path: Path) -> Target:
    return Target(tmp_path)


PARALLEL = {"parallel": {"enabled": True, "max_concurrency": 2, "resources": {}}}


def search(target: Target) -> None:
    with target.opened() as campaign:
        campaign.search()


def ran(target: Target) -> Counter[str]:
    """How often each cell was executed."""
    path = target.folder / "ran"
    return Counter(path.read_text().split() if path.exists() else [])


def killed_at(target: Target, number: int) -> bool:
    """Search in a forked process that gets SIGKILL before its nth change to the disk; False where it ended before."""
    child = os.fork()
    if not child:
        left = [number]

        def die(event: str, arguments: object) -> None:
            if event in WATCHED:
                left[0] -= 1
                if left[0] <= 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(die)
        search(target)
        os._exit(0)
    return os.waitpid(child, 0)[1] == signal.SIGKILL


def finished(target: Target) -> list[int]:
    """Cells whose results are in the store."""
    path = target.folder / "artifacts" / "runs.sqlite"
    if not path.exists():
        return []
    store = Store(path)
    found = [entry.proposal.params["x"] for entry in store.entries() if entry.result] if store.fact("identity") else []
    store.close()
    return [int(x) for x in found]


def check_exports(target: Target, num_trials: int) -> None:
    """All files are whole and tell the same."""
    assert len(target.rows()) == num_trials
    events = target.events()
    assert [event["id"] for event in events] == list(range(1, len(events) + 1))
    assert len([event for event in events if event["type"] == "iteration"]) == num_trials
    timeline = json.loads((target.folder / "traces" / "timeline.json").read_text())
    drawn = [event for event in timeline["traceEvents"] if event["name"] == "executor.execute"]
    assert {event["args"]["iter"] for event in drawn} <= set(range(1, num_trials + 1))
    assert all(event["dur"] > 0 and event["ts"] >= 0 for event in timeline["traceEvents"] if event["ph"] == "X")
    checkpoint = json.loads((target.folder / "artifacts" / "checkpoint.json").read_text())
    assert checkpoint["trials"] == num_trials


@pytest.mark.slow
@pytest.mark.parametrize("controller", [{}, PARALLEL], ids=["serial", "parallel"])
def test_search_killed_at_any_change_to_the_disk_goes_on(tmp_path: Path, controller: dict[str, Any]) -> None:
    number, num_killed = 1, 0
    while True:
        target = Target(tmp_path / str(number)).write(COUNTS, policy={"params": {"x": CELLS}}, controller=controller)
        was_killed = killed_at(target, number)
        before = finished(target)
        search(target)
        assert sorted(params["x"] for params in target.params()) == sorted(CELLS), number
        assert all(ran(target)[str(x)] == 1 for x in before), (number, before, ran(target))
        check_exports(target, len(CELLS))
        if not was_killed:
            break
        num_killed += 1
        number += 11
    assert num_killed > 8


def test_search_killed_beside_a_slow_first_trial_loses_no_finished_one(target: Target) -> None:
    script = COUNTS.replace(
        "print(", 'import time\nwhile params["x"] == 0 and not os.path.exists("go"):\n    time.sleep(0.01)\nprint('
    )
    parallel = {"enabled": True, "max_concurrency": 2, "resources": {"gpu": 2}}
    target.write(script, policy={"params": {"x": list(range(12))}}, controller={"parallel": parallel})
    command = target.start()
    wait_for(lambda: (target.folder / "artifacts" / "results.tsv").exists() and len(target.rows()) == 11)
    command.kill()
    command.communicate()
    assert sorted(finished(target)) == list(range(1, 12))
    (target.folder / "go").touch()
    search(target)
    assert sorted(params["x"] for params in target.params()) == list(range(12))
    assert {ran(target)[str(x)] for x in range(1, 12)} == {1} and ran(target)["0"] == 2
    check_exports(target, 12)


STUBBORN = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
open("pid", "w").write(str(os.getpid()))
while not os.path.exists("go"):
    time.sleep(0.01)
print("loss: 1")
"""


def pid_of(target: Target) -> int:
    def read() -> str:
        path = target.folder / "pid"
        return path.read_text() if path.exists() else ""

    return int(wait_for(read))


def is_alive(pid: int) -> bool:
    found = process.processes().get(pid)
    return found is not None and found.state not in ("Z", "X")


def test_orphan_of_a_killed_search_is_ended_before_its_trial_runs_again(target: Target) -> None:
    polite = STUBBORN.replace("signal.signal(", "0 and signal.signal(")
    target.write(polite, policy={"params": {"x": [1]}})
    command = target.start()
    orphan = pid_of(target)
    command.kill()
    command.communicate()
    assert is_alive(orphan), "it has a group of its own"
    (target.folder / "pid").unlink()
    again = target.start()
    second = pid_of(target)
    assert second != orphan and not is_alive(orphan)
    (target.folder / "go").touch()
    _, err = again.communicate(timeout=60)
    assert again.returncode == 0, err
    assert [event["type"] for event in target.events() if event["type"] in ("requeue", "iteration")] == [
        "requeue",
        "iteration",
    ]


class DiesHavingBegun(CommandExecutor):
    """Before anybody is told the handle."""

    def submit(self, order: Order, done: Done) -> dict[str, Any]:
        super().submit(order, done)
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError


def test_trial_that_was_begun_in_the_moment_of_the_kill_is_found(target: Target) -> None:
    polite = STUBBORN.replace("signal.signal(", "0 and signal.signal(")
    target.write(polite, policy={"params": {"x": [1]}})
    child = os.fork()
    if not child:
        with target.opened() as campaign:
            campaign.engine.trials.executor = DiesHavingBegun(campaign.config, Spans(), VARIABLES)
            campaign.search()
    os.waitpid(child, 0)
    orphan = pid_of(target)
    assert is_alive(orphan)
    with target.opened() as campaign:
        campaign.engine.trials.take_over(campaign.engine.done)
        assert not is_alive(orphan)
        assert [entry.state for entry in campaign.journal.entries.values()] == ["queued"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signal_ends_a_search_that_can_go_on(target: Target, number: signal.Signals, code: int) -> None:
    polite = STUBBORN.replace("signal.signal(", "0 and signal.signal(")
    target.write(polite, policy={"params": {"x": [1, 2]}})
    command = target.start()
    trial = pid_of(target)
    command.send_signal(number)
    out, err = command.communicate(timeout=30)
    assert command.returncode == code, err
    facts = json.loads(out)
    assert (facts["stop_reason"], facts["trials"], facts["queued"]) == (number.name, 0, 1)
    assert not is_alive(trial)
    (target.folder / "go").touch()
    search(target)
    assert [params["x"] for params in target.params()] == [1, 2]


def test_second_signal_is_immediate(target: Target) -> None:
    target.write(STUBBORN, policy={"params": {"x": [1]}})
    command = target.start()
    trial = pid_of(target)
    command.send_signal(signal.SIGTERM)
    time.sleep(0.5)
    assert command.poll() is None and is_alive(trial), "it ignores the polite signal, and has its grace"
    begun = time.monotonic()
    command.send_signal(signal.SIGTERM)
    out, err = command.communicate(timeout=30)
    assert command.returncode == 143, err
    assert json.loads(out)["stop_reason"] == target.events("summary")[0]["stop_reason"] == "interrupted"
    assert time.monotonic() - begun < process.GRACE_S - 1.5
    wait_for(lambda: not is_alive(trial), 2)


def test_exports_that_were_cut_off_are_made_again(target: Target) -> None:
    target.write(COUNTS, policy={"params": {"x": CELLS}}, controller={"max_iterations": 1})
    search(target)
    for name in ("artifacts/results.tsv", "traces/events.jsonl", "traces/timeline.json"):
        path = target.folder / name
        path.write_bytes(path.read_bytes()[:-20])
    target.configure(policy={"params": {"x": CELLS}})
    search(target)
    check_exports(target, 2)
    assert ran(target).total() == 2


@pytest.mark.parametrize("policy", ["random", "tpe", "cmaes", "learned"])
def test_policy_that_was_cut_off_proposes_what_it_would_have(tmp_path: Path, policy: str) -> None:
    params = {"x": {"low": 0.0, "high": 1.0}, "y": {"low": 1, "high": 64, "log": True}, "z": [0.1, 0.2, 0.4]}
    words = ["sh", "-c", 'echo "loss: $AR_PARAM_X"']

    def write(name: str, most: int) -> Target:
        return Target(tmp_path / name).write(
            "",
            target={"train_cmd": words},
            policy={"type": policy, "params": params, "baseline": False, "seed": 5},
            controller={"max_iterations": most},
        )

    whole, cut = write("whole", 16), write("cut", 9)
    search(whole)
    for most in (9, 13, 16):
        write("cut", most)
        search(cut)
    assert cut.params() == whole.params()


def test_store_that_is_no_database_is_refused_by_name(target: Target) -> None:
    target.write(COUNTS)
    (target.folder / "artifacts").mkdir()
    (target.folder / "artifacts" / "runs.sqlite").write_text("not a database, but text of some length\n" * 100)
    ended = target.run()
    assert ended.code == 1 and "runs.sqlite must be the database of a campaign" in ended.err


@pytest.mark.parametrize(("num_blocks", "least"), [(40, 0), (120, 1)])
def test_full_disk_ends_the_search_without_a_trial_left_running(target: Target, num_blocks: int, least: int) -> None:
    """As far as a limit on the size of files stands for it: before the first trial, and after some."""
    cells = list(range(8))
    target.write(COUNTS.replace("print(", "import time\ntime.sleep(0.1)\nprint("), policy={"params": {"x": cells}})
    command = f"ulimit -f {num_blocks}; exec {sys.executable} -m autoresearch run {target.file}"
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(process.__file__).parents[1])}
    done = subprocess.run(["bash", "-c", command], env=env, cwd=target.folder, capture_output=True, text=True)
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    assert "repeat" in done.stderr, "what mends it"
    assert not running_in(target.folder)
    finished = target.params()
    assert least <= len(finished) < len(cells)
    search(target)
    assert [params["x"] for params in target.params()] == cells
    ran = [int(line) for line in (target.folder / "ran").read_text().splitlines()]
    assert all(ran.count(params["x"]) == 1 for params in finished), "what was finished is not repeated"
