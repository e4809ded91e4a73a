"""One bad datum is one failed trial: whatever a seam of the engine raises over it, the campaign goes on."""

import queue
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from searching import FIND_PARAMS, VARIABLES, Target, wait_for

from autoresearch.errors import GitFailed, NoGoodTrial
from autoresearch.search.executors import Done, Order, Outcome
from autoresearch.search.executors.command import CommandExecutor
from autoresearch.search.guards import Stop
from autoresearch.search.proposal import History, Proposal, Result
from autoresearch.search.proposer import Proposed, Proposer, Request
from autoresearch.search.spans import Spans
from autoresearch.search.trials import BAD_DATA
from autoresearch.search.watch import Trail

LOSS_IS_X = FIND_PARAMS + "print(f\"loss: {params['x']}\")\n"


@pytest.fixture
def target(tmp_path: Path) -> Target:
    return Target(tmp_path).write(LOSS_IS_X)


class Chokes(CommandExecutor):
    """On the second trial."""

    error: Exception

    def submit(self, order: Order, done: Done) -> dict[str, Any]:
        if order.number == 2:
            raise self.error
        return super().submit(order, done)


@pytest.mark.parametrize(
    "error", [ValueError("embedded null byte"), OverflowError("too large"), KeyError("x"), GitFailed("a lock")]
)
def test_trial_that_cannot_be_begun_fails_alone(target: Target, error: Exception) -> None:
    with target.opened() as campaign:
        executor = Chokes(campaign.config, Spans(), VARIABLES)
        executor.error = error
        campaign.engine.trials.executor = executor
        assert campaign.search().reason == "exhausted"
    assert [row["status"] for row in target.rows()] == ["ok", "failed", "ok"]
    assert str(error) in target.rows()[1]["reason"]
    with target.opened() as campaign:
        assert campaign.search().reason == "exhausted"


class Babbles(CommandExecutor):
    """Tells of the second trial what cannot be written down, and of each twice."""

    def submit(self, order: Order, done: Done) -> dict[str, Any]:
        def tell(number: int, outcome: Outcome) -> None:
            done(number, Outcome("timeout", why="\ud800") if number == 2 else outcome)
            done(number, outcome)

        return super().submit(order, tell)


def test_trial_that_cannot_be_judged_fails_alone(target: Target) -> None:
    with target.opened() as campaign:
        campaign.engine.trials.executor = Babbles(campaign.config, Spans(), VARIABLES)
        assert campaign.search().reason == "exhausted"
    assert [row["status"] for row in target.rows()] == ["ok", "failed", "ok"]
    assert "could not be judged" in target.rows()[1]["reason"]


WILD = """
import time
from autoresearch_rl.target.progress import emit_progress
for step in range(-1, 12):
    loss = 1e160 if params["x"] == 2 else params["x"] + 1 / (step + 2)
    emit_progress(step=step, step_target=20, metrics={"loss": loss})
    time.sleep(0.03)
print("loss:", params["x"])
"""
CANCELS = {"intra_iteration_cancel": {"enabled": True, "poll_interval_s": 0.02, "min_steps": 1}}


def test_trial_that_diverges_leaves_alone(target: Target) -> None:
    target.write(FIND_PARAMS + WILD, controller=CANCELS, policy={"params": {"x": [1, 2, 0.5]}})
    with target.opened() as campaign:
        assert campaign.search().reason == "exhausted"
    assert [row["status"] for row in target.rows()] == ["ok", "cancelled", "ok"]


def test_forecast_that_breaks_off_is_said_once_and_the_trial_goes_on(target: Target) -> None:
    tries = list[int]()

    def weigh(number: int, trail: Trail) -> None:
        tries.append(number)
        raise OverflowError

    target.write(FIND_PARAMS + WILD, controller=CANCELS, policy={"params": {"x": [1]}})
    with target.opened() as campaign:
        campaign.engine.trials.weigh = weigh  # type: ignore[method-assign]
        campaign.search()
    assert tries == [1] and [row["status"] for row in target.rows()] == ["ok"]
    assert [event["text"] for event in target.events("notice")] == ["no longer forecast: OverflowError()"]


class Odd:
    """Proposes what cannot be written down."""

    def propose(self, count: int, history: History) -> list[Proposal]:
        return [Proposal(source="odd", rationale="\ud800"), Proposal(source="odd", params={"x": "\udc80"})]

    def tell(self, result: Result) -> None: ...

    def state(self) -> dict[str, Any]:
        return {}

    def restore(self, state: Mapping[str, Any], told: Sequence[Result], pending: Sequence[Proposal]) -> None: ...


def test_proposal_that_cannot_be_written_down_is_rejected() -> None:
    came: queue.SimpleQueue[Proposed] = queue.SimpleQueue()
    Proposer(Odd, Spans(), came.put, 0).ask(Request([], 2, History()))
    answer = came.get(timeout=10)
    assert answer.error is None and all(one.model_dump_json() for one in answer.proposals)
    assert all("cannot be written down" in one.rejected for one in answer.proposals)


def test_machine_that_fails_ends_the_campaign() -> None:
    assert not issubclass(OSError, BAD_DATA) and not issubclass(AssertionError, BAD_DATA)


def test_exports_that_cannot_be_written_are_made_again_with_the_next_trial(target: Target) -> None:
    removes = (
        FIND_PARAMS
        + 'import shutil\nif params["x"] == 1: shutil.rmtree("traces"); os.remove("artifacts/results.tsv")\n'
    )
    target.write(removes + "print(f\"loss: {params['x']}\")\n")
    with target.opened() as campaign:
        assert campaign.search().reason == "exhausted"
    assert [row["status"] for row in target.rows()] == ["ok"] * 3
    events = target.events()
    assert [event["id"] for event in events] == list(range(1, len(events) + 1))


def test_cancelled_trial_whose_launcher_changes_its_exit_code_is_cancelled(target: Target) -> None:
    launcher = ["sh", "-c", f"{sys.executable} -S train.py || exit 1"]
    target.write(
        FIND_PARAMS + WILD, controller=CANCELS, policy={"params": {"x": [1, 2]}}, target={"train_cmd": launcher}
    )
    with target.opened() as campaign:
        assert campaign.search().reason == "exhausted"
    assert [row["status"] for row in target.rows()] == ["ok", "cancelled"]


def test_preparation_counts_as_wall_time(target: Target) -> None:
    target.configure(target={"prepare_cmd": ["sleep", "30"]}, controller={"max_wall_time_s": 0.3})
    begun = time.monotonic()
    with target.opened() as campaign, pytest.raises(NoGoodTrial, match="max_wall_time_s"):
        campaign.search()
    assert time.monotonic() - begun < 15


def test_trial_that_was_signalled_together_with_the_search_is_queued_again(target: Target) -> None:
    target.write("import os, signal\nos.kill(os.getpid(), signal.SIGTERM)\n", policy={"params": {"x": [1]}})
    stop = Stop("SIGTERM", "", is_hard=True, is_resumable=True)
    with target.opened() as campaign:
        engine = campaign.engine

        def interrupt() -> None:
            wait_for(lambda: engine.trials.running)
            time.sleep(0.3)
            engine.interrupt(stop)

        threading.Thread(target=interrupt).start()
        assert campaign.search().reason == "SIGTERM"
        assert [entry.state for entry in campaign.journal.entries.values()] == ["queued"]
    with target.opened() as campaign:
        campaign.search()
    assert [row["status"] for row in target.rows()] == ["killed"]
