"""The policy hybrid: when it turns to code, when it turns back, and what a change of code starts from."""

import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import chat_stub
import pytest
from asking import batch, context
from chat_stub import Answer, Request, Stub

from autoresearch.search import policies
from autoresearch.search.proposal import History, Proposal, Result, TrialStatus

SOURCE = "RATE = 0\n"


@pytest.fixture
def stub() -> Iterator[Stub]:
    with chat_stub.serve() as served:
        yield served


@dataclass
class Campaign:
    """Runs proposals at once, as the test says: better, worse, or failed."""

    stub: Stub
    settings: dict[str, Any] = field(default_factory=dict)
    check_diff: Callable[[str, str], str] = lambda tip, diff: ""
    results: list[Result] = field(default_factory=list)
    best: Result | None = None
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def __post_init__(self) -> None:
        self.stub.always = self.answer
        self.policy = self.fresh()
        self.policy.restore({}, [], [])
        self.end(Proposal(source="baseline"), "better")

    def fresh(self) -> policies.Policy:
        return policies.make(context(self.stub, "hybrid", self.check_diff, **self.settings))

    def answer(self, request: Request) -> Answer:
        number = next(self.numbers)
        if "`find`" in request.text:
            edit = {"find": SOURCE, "replace": f"RATE = {number}\n"}
            return Answer(json.dumps({"rationale": "code", "edits": [edit], "diff": ""}))
        return Answer(json.dumps(batch({"rate": number / 1000, "depth": 4, "kind": "adam"})))

    def history(self) -> History:
        return History(results=self.results, best=self.best, source=SOURCE)

    def end(self, proposal: Proposal, fate: str) -> None:
        number = len(self.results) + 1
        status = {"failed": TrialStatus.FAILED, "cancelled": TrialStatus.CANCELLED}.get(fate, TrialStatus.OK)
        if proposal.rejected:
            status = TrialStatus.REJECTED
        metric = 1 / number if fate == "better" else 1.0 if status == "ok" else None
        result = Result(number=number, proposal=proposal, status=status, metric=metric)
        result.decision = "keep" if fate == "better" else "discard"
        self.results.append(result)
        self.best = result if fate == "better" else self.best
        self.policy.tell(result)

    def run(self, *fates: str) -> str:
        """What was proposed, a letter each: p for parameters, c for code."""
        told = ""
        for fate in fates:
            (proposal,) = self.policy.propose(1, self.history())
            told += "c" if proposal.diff or proposal.source == "llm_diff" else "p"
            self.end(proposal, fate)
        return told


def test_hybrid_tries_parameters_first_then_code_once_they_stall(stub):
    campaign = Campaign(stub, {"hybrid_param_explore_iters": 5, "stall_threshold": 3})
    assert campaign.run(*["worse"] * 4, "better", "worse", "worse", "worse", "worse", "worse") == "ppppp" + "pppcc"


def test_hybrid_explores_before_any_code_even_when_it_stalls_early(stub):
    campaign = Campaign(stub, {"hybrid_param_explore_iters": 6, "stall_threshold": 1})
    assert campaign.run(*["worse"] * 7) == "pppppp" + "c"


def test_hybrid_returns_to_parameters_after_a_change_that_was_kept(stub):
    campaign = Campaign(stub, {"hybrid_param_explore_iters": 1, "stall_threshold": 2})
    assert campaign.run("worse", "worse", "better", "worse", "worse", "worse") == "pp" + "c" + "pp" + "c"


def test_hybrid_code_starts_from_the_best_parameters(stub):
    campaign = Campaign(stub, {"hybrid_param_explore_iters": 1, "stall_threshold": 1})
    campaign.run("better", "worse")
    (proposal,) = campaign.policy.propose(1, campaign.history())
    assert proposal.diff and proposal.params == {"rate": 0.001, "depth": 4, "kind": "adam"}


@pytest.mark.parametrize("fault", ["", "train.py must parse"])
def test_hybrid_locks_failing_code_out_for_a_while_that_doubles(stub, fault):
    settings = {"hybrid_param_explore_iters": 0, "stall_threshold": 2, "diff_failure_limit": 3}
    campaign = Campaign(stub, settings, lambda tip, diff: fault)
    told = campaign.run(*["worse"] * 2, *["failed"] * 3, *["worse"] * 2, *["failed"] * 3, *["worse"] * 4, "failed")
    assert told == "pp" + "ccc" + "pp" + "ccc" + "pppp" + "c"
    assert [one.status for one in campaign.results[3:6]] == ["rejected" if fault else "failed"] * 3


def test_hybrid_forgets_lockouts_once_code_runs(stub):
    settings = {"hybrid_param_explore_iters": 0, "stall_threshold": 1, "diff_failure_limit": 2}
    campaign = Campaign(stub, settings)
    told = campaign.run("worse", "failed", "failed", "worse", "failed", "worse", "failed", "failed", "worse", "worse")
    assert told == "p" + "cc" + "p" + "cc" + "cc" + "p" + "c"


def test_hybrid_cancelled_code_is_neither_a_failure_nor_a_success(stub):
    settings = {"hybrid_param_explore_iters": 0, "stall_threshold": 1, "diff_failure_limit": 2}
    assert Campaign(stub, settings).run("worse", *["cancelled"] * 4) == "p" + "cccc"
    assert Campaign(stub, settings).run("worse", "failed", "cancelled", "failed", "worse") == "p" + "ccc" + "p"


def test_hybrid_turns_to_code_when_a_finite_space_is_exhausted(stub):
    campaign = Campaign(stub, {"params": {"kind": ["adam"]}, "diff_failure_limit": 1})
    stub.script.append(Answer(json.dumps(batch({"kind": "adam"}))))
    assert campaign.run("worse", "worse", "worse", "failed") == "p" + "ccc"
    assert campaign.policy.propose(1, campaign.history()) == []


def test_hybrid_counts_what_is_running_as_explored(stub):
    campaign = Campaign(stub, {"hybrid_param_explore_iters": 3, "stall_threshold": 1})
    campaign.run("worse")
    running = [Proposal(params={"depth": depth}, source="llm") for depth in (2, 3)]
    (proposal,) = campaign.policy.propose(1, campaign.history().model_copy(update={"running": running}))
    assert proposal.diff


def test_hybrid_restored_goes_on_alike(stub):
    campaign = Campaign(stub, {"hybrid_param_explore_iters": 0, "stall_threshold": 2, "diff_failure_limit": 3})
    campaign.run("worse", "worse", "failed", "failed", "failed", "worse")
    state = campaign.policy.state()
    campaign.policy = campaign.fresh()
    campaign.policy.restore(state, campaign.results, [])
    assert campaign.policy.state() == state
    assert campaign.run("worse", "failed") == "pc"
