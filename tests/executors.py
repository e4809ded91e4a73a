"""What every executor of a search keeps, as tests that are run on each; see ExecutorContract."""

import json
import queue
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from searching import VARIABLES, Target, wait_for

from autoresearch.search.executors import CANCEL_EXIT, PROGRESS, Executor, Order, Outcome
from autoresearch.search.proposal import Proposal
from autoresearch.search.store import Entry
from autoresearch.search.trial import Bench

SCRIPT = """
import json, os, sys, time
from autoresearch_rl.target.progress import emit_progress

do = json.loads(os.environ["AR_PARAMS_JSON"])["do"]
emit_progress(step=1, step_target=100, metrics={"loss": 0.5})
if do == "fail":
    sys.exit(3)
if do == "flood":
    for _ in range(400):
        print("x" * 100_000)
step = 1
while do == "wait":
    time.sleep(0.02)
    step += 1
    emit_progress(step=step, step_target=100, metrics={"loss": 0.5})
with open(os.path.join(os.environ["AR_MODEL_DIR"], "weights"), "w") as file:
    file.write("numbers")
print("loss: 0.25")
"""


class Run:
    """Trials of one executor in one folder."""

    def __init__(self, executor: Executor, folder: Path):
        self.executor, self.ended = executor, queue.SimpleQueue[tuple[int, Outcome]]()
        target = Target(folder).write(SCRIPT, target={"train_cmd": [sys.executable, "-S", "train.py"]})
        self.bench = Bench(target.load(), VARIABLES)

    def order(self, number: int, do: str, timeout_s: float = 60) -> Order:
        """A trial that does what is asked, its folders made."""
        self.bench.make_folders(number)
        entry = Entry(number=number, proposal=Proposal(params={"do": do}, source="test"))
        order = self.bench.order(entry, self.bench.config.target.workdir, {})
        return Order(**{**order.__dict__, "timeout_s": timeout_s})

    def begin(self, number: int, do: str, timeout_s: float = 60) -> Order:
        """Begin it."""
        order = self.order(number, do, timeout_s)
        self.executor.submit(order, lambda number, outcome: self.ended.put((number, outcome)))
        return order

    def wait(self) -> tuple[int, Outcome]:
        """The next one that is over."""
        return self.ended.get(timeout=90)

    def reports(self, order: Order) -> list[dict[str, Any]]:
        """What it reported."""
        path = order.folder / PROGRESS
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def await_reports(self, order: Order) -> None:
        """Wait until it has reported."""
        wait_for(lambda: self.reports(order), 60)


class ExecutorContract:
    """A subclass gives the fixture `run`."""

    def test_executor_leaves_log_and_reports(self, run: Run) -> None:
        order = run.begin(1, "finish")
        assert run.wait()[0] == 1
        assert "loss: 0.25" in (order.folder / "run.log").read_text()
        assert [one["step"] for one in run.reports(order)] == [1]

    def test_executor_tells_the_exit_code(self, run: Run) -> None:
        run.begin(1, "finish")
        outcome = run.wait()[1]
        assert (outcome.end, outcome.exit_code) == ("exited", 0) and outcome.seconds > 0
        run.begin(2, "fail")
        outcome = run.wait()[1]
        assert outcome.end == "exited" and outcome.exit_code

    def test_executor_runs_several_at_once_and_tells_each_once(self, run: Run) -> None:
        orders = [run.begin(number, "wait") for number in (1, 2)]
        for order in orders:
            run.await_reports(order)
        for number in (1, 2):
            run.executor.stop(number)
        assert {run.wait()[0], run.wait()[0]} == {1, 2}
        with pytest.raises(queue.Empty):
            run.ended.get(timeout=0.3)

    def test_executor_ends_a_trial_at_its_deadline(self, run: Run) -> None:
        begun = time.monotonic()
        run.begin(1, "wait", timeout_s=1)
        outcome = run.wait()[1]
        assert outcome.end == "timeout" and "1 s" in outcome.why and time.monotonic() - begun >= 1

    def test_executor_takes_a_deadline_that_never_comes(self, run: Run) -> None:
        run.begin(1, "finish", timeout_s=1e9)
        outcome = run.wait()[1]
        assert (outcome.end, outcome.exit_code) == ("exited", 0)

    @pytest.mark.parametrize("hard", [False, True])
    def test_executor_stops_a_trial(self, run: Run, hard: bool) -> None:
        run.await_reports(run.begin(1, "wait"))
        run.executor.stop(1, hard=hard)
        assert run.wait()[1].end == "killed"

    def test_executor_brings_control_to_the_trial(self, run: Run) -> None:
        order = run.begin(1, "wait")
        run.await_reports(order)
        run.bench.cancel(1, 3, "hopeless")
        run.executor.control(1)
        outcome = run.wait()[1]
        assert (outcome.end, outcome.exit_code) == ("exited", CANCEL_EXIT)

    def test_executor_shows_reports_while_the_trial_runs(self, run: Run) -> None:
        order = run.begin(1, "wait")
        wait_for(lambda: len(run.reports(order)) > 3, 60)
        assert run.ended.empty()
        run.executor.stop(1)
        run.wait()

    def test_executor_bounds_logs(self, run: Run) -> None:
        order = run.begin(1, "flood")
        assert run.wait()[1].exit_code == 0
        assert (order.folder / "run.log").stat().st_size < 12 << 20
        assert (order.folder / "run.log").read_text().endswith("loss: 0.25\n")

    def test_executor_ignores_unknown_numbers(self, run: Run) -> None:
        run.executor.stop(99)
        run.executor.stop(99, hard=True)
        run.executor.control(99)
