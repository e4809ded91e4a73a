"""One contract for all policies that need no language model, and what each of them is for."""

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from autoresearch.search import policies
from autoresearch.search.config import Config
from autoresearch.search.policies import Context, Policy
from autoresearch.search.proposal import History, Proposal, Report, Result, TrialStatus

PARAMS: dict[str, Any] = {
    "rate": {"low": 1e-4, "high": 1.0, "log": True},
    "depth": {"low": 1, "high": 12},
    "share": {"low": 0.0, "high": 1.0, "step": 0.25},
    "batch": [8, 16, 32, 64],
    "kind": ["a", "b", "c"],
    "flag": [True, False],
}
NAMES = ("static", "grid", "random", "tpe", "cmaes", "learned")
ADAPTIVE = ("tpe", "cmaes", "learned")
Loss = Callable[[Any], float]


def make(name: str, params: dict[str, Any] | None = None, seed: int = 3, direction: str = "min") -> Policy:
    space = params or (PARAMS if name != "grid" else {key: PARAMS[key] for key in ("batch", "kind", "flag")})
    raw: dict[str, Any] = {"target": {"train_cmd": "x"}, "objective": {"direction": direction}}
    raw["policy"] = {"type": name, "params": space, "seed": seed}
    return policies.make(Context(Config.model_validate(raw)))


def result(number: int, proposal: Proposal, metric: float | None, status: TrialStatus = TrialStatus.OK) -> Result:
    return Result(number=number, proposal=proposal, status=status, metric=metric)


def loss_of(params: Any) -> float:
    return float(params["rate"]) + float(params["depth"]) / 12 + (params["kind"] != "b")


@pytest.mark.parametrize("name", NAMES)
def test_policy_proposes_within_the_space(name: str) -> None:
    policy, space = (
        make(name),
        Config.model_validate(
            {"target": {"train_cmd": "x"}, "policy": {"type": "random", "params": PARAMS}}
        ).policy.params,
    )
    policy.restore({}, [], [])
    for proposal in policy.propose(12, History()):
        assert not [one for one in space.problems(proposal.params) if "missing" not in one]
        assert proposal.source == name
        assert json.loads(proposal.model_dump_json())["params"] == proposal.params


@pytest.mark.parametrize("name", NAMES)
def test_policy_takes_results_of_every_kind_in_any_company(name: str) -> None:
    policy = make(name)
    policy.restore({}, [], [])
    policy.tell(result(1, Proposal(source="baseline"), 1.0))
    policy.tell(result(2, Proposal(source="by_hand", diff="x"), None, TrialStatus.REJECTED))
    policy.tell(result(3, Proposal(source="by_hand", params={"other": 1}), 2.0))
    number = 4
    for status in TrialStatus:
        for proposal in policy.propose(2, History()):
            metric = 0.5 if status == TrialStatus.OK else None
            one = result(number, proposal, metric, status)
            one.reports = [Report(step=step, metrics={"val_bpb": 1.0 / step}) for step in (1, 2, 3)]
            policy.tell(one)
            number += 1
    assert len(policy.propose(3, History())) == 3


@pytest.mark.parametrize("name", ["random", *ADAPTIVE])
def test_policy_takes_points_and_steps_that_lie_beside_the_grid(name: str) -> None:
    policy = make(name, {"share": {"low": 0.0, "high": 1.0, "step": 0.25}, "n": {"low": 1, "high": 10, "step": 2}})
    policy.restore({}, [], [])
    policy.tell(result(1, Proposal(source="by_hand", params={"share": 0.3, "n": 3}), 1.0))
    policy.tell(result(2, Proposal(source="by_hand", params={"share": 0.25, "n": 10}), 1.0))
    [proposal] = policy.propose(1, History())
    cancelled = result(3, proposal, None, TrialStatus.CANCELLED)
    cancelled.reports = [Report(step=step, metrics={"val_bpb": 1.0}) for step in (-1, 0, 1)]
    policy.tell(cancelled)
    assert policy.propose(1, History())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("batch", [1, 3])
def test_policy_restored_goes_on_as_it_would_have(name: str, batch: int) -> None:
    """Results come in order of submission, with one batch always in flight."""
    policy = make(name)
    policy.restore({}, [], [])
    told: list[Result] = []
    flying: list[Proposal] = []
    for _ in range(9):
        flying += policy.propose(batch, History())
        while len(flying) > batch:
            proposal = flying.pop(0)
            told.append(
                result(len(told) + 1, proposal, loss_of({"rate": 1, "depth": 1, "kind": "a"} | proposal.params))
            )
            policy.tell(told[-1])
    flying += policy.propose(batch, History())
    state = json.loads(json.dumps(policy.state()))
    again = make(name)
    again.restore(state, told, flying)
    for one in (policy, again):
        for number, proposal in enumerate(flying, len(told) + 1):
            one.tell(result(number, proposal, 0.1 * number))
    assert [one.params for one in again.propose(4, History())] == [one.params for one in policy.propose(4, History())]


def test_grid_is_exhausted_after_every_cell() -> None:
    policy = make("grid")
    found = [policy.propose(5, History()) for _ in range(6)]
    assert [len(batch) for batch in found] == [5, 5, 5, 5, 4, 0]
    assert len({json.dumps(one.params) for batch in found for one in batch}) == 24


def test_static_repeats_itself() -> None:
    found = make("static").propose(2, History())
    assert found[0].params == found[1].params == {
        "rate": 1e-4, "depth": 1, "share": 0.0, "batch": 8, "kind": "a", "flag": True
    }  # fmt: skip


@pytest.mark.parametrize("name", ["random", *ADAPTIVE])
def test_policy_draws_anew_for_another_seed(name: str) -> None:
    draws = [make(name, seed=seed).propose(3, History()) for seed in (1, 2, 1)]
    assert [one.params for one in draws[0]] == [one.params for one in draws[2]]
    assert [one.params for one in draws[0]] != [one.params for one in draws[1]]


@pytest.mark.parametrize("name", ["random", *ADAPTIVE])
def test_policies_of_neighbouring_seeds_share_no_draws(name: str) -> None:
    drawn = []
    for seed in (1, 2):
        policy = make(name, seed=seed)
        policy.restore({}, [], [])
        drawn.append({json.dumps(policy.propose(1, History())[0].params) for _ in range(6)})
    assert len(drawn[0]) == 6 and not drawn[0] & drawn[1]


def best_of(name: str, loss: Loss, params: dict[str, Any], budget: int, seed: int) -> float:
    policy = make(name, params, seed)
    policy.restore({}, [], [])
    values: list[float] = []
    for number in range(1, budget + 1):
        [proposal] = policy.propose(1, History())
        values.append(loss(proposal.params))
        policy.tell(result(number, proposal, values[-1]))
    return min(values)


UNIT: dict[str, Any] = {name: {"low": 0.0, "high": 1.0} for name in "abcd"}
FUNCTIONS: dict[str, Loss] = {
    "sphere": lambda p: sum((one - 0.3) ** 2 for one in p.values()),
    "ellipsoid": lambda p: sum(10**place * (one - 0.75) ** 2 for place, one in enumerate(p.values())),
    "valley": lambda p: 100 * (p["b"] - p["a"] ** 2) ** 2 + (0.8 - p["a"]) ** 2 + abs(p["c"] - 0.2) + abs(p["d"] - 0.6),
}


@pytest.mark.parametrize("name", ["cmaes", "learned"])
def test_policy_that_learns_beats_uniform_draws_at_equal_budget(name: str) -> None:
    wins = [
        best_of(name, loss, UNIT, 60, seed) < best_of("random", loss, UNIT, 60, seed + 100)
        for loss in FUNCTIONS.values()
        for seed in range(4)
    ]
    assert sum(wins) >= 9, wins


@pytest.mark.parametrize("name", ADAPTIVE)
def test_policy_that_maximises_is_the_mirror_of_one_that_minimises(name: str) -> None:
    def tried(direction: str, sign: int) -> list[Any]:
        policy, found = make(name, direction=direction), []
        policy.restore({}, [], [])
        for number in range(1, 25):
            (proposal,) = policy.propose(1, History())
            found.append(proposal.params)
            lost = number % 5 == 0  # a failure is bad in both
            metric = None if lost else sign * loss_of(proposal.params)
            policy.tell(result(number, proposal, metric, TrialStatus.FAILED if lost else TrialStatus.OK))
        return found

    assert tried("max", -1) == tried("min", 1) != tried("min", -1)


def test_learned_learns_which_text_is_best() -> None:
    params: dict[str, Any] = {"kind": ["a", "b", "c", "d"], "x": {"low": 0.0, "high": 1.0}}
    policy = make("learned", params)
    policy.restore({}, [], [])
    drawn = []
    for number in range(1, 61):
        [proposal] = policy.propose(1, History())
        drawn.append(proposal.params["kind"])
        policy.tell(result(number, proposal, 1.0 - (proposal.params["kind"] == "c")))
    assert drawn[40:].count("c") >= 12


def test_learned_updates_in_less_than_50_ms() -> None:
    policy = make("learned")
    policy.restore({}, [], [])
    longest = 0.0
    for number in range(1, 61):
        [proposal] = policy.propose(1, History())
        begun = time.process_time()
        policy.tell(result(number, proposal, loss_of(proposal.params)))
        longest = max(longest, time.process_time() - begun)
    assert 0 < longest < 0.05


def test_learned_credits_a_trial_with_its_own_draw_however_late_it_ends() -> None:
    """Of two orders of the same results of one batch, both learn the same distributions."""
    ends = []
    for order in (1, -1):
        policy: Any = make("learned", UNIT)
        batch = policy.propose(6, History())
        for number, proposal in list(enumerate(batch, 1))[::order]:
            policy.tell(result(number, proposal, FUNCTIONS["sphere"](proposal.params)))
        ends.append([float(policy.locations[name][0]) for name in UNIT])
    assert ends[0] == pytest.approx(ends[1]) and ends[0] != [0.5] * 4


def test_cmaes_describes_where_it_stands() -> None:
    policy: Any = make("cmaes", {"a": {"low": 0.0, "high": 10.0}, "b": [1, 2, 4, 8], "kind": ["x", "y"]})
    policy.restore({}, [], [])
    assert policy.describe() == {}
    for number in range(1, 80):
        [proposal] = policy.propose(1, History())
        policy.tell(result(number, proposal, abs(float(proposal.params["a"]) - 7) + float(proposal.params["b"])))
    found = policy.describe()
    assert found["names"] == ["a", "b"] and set(found["mean"]) == {"a", "b"}
    assert 5 < found["mean"]["a"] < 9 and found["mean"]["b"] in (1, 2)
    assert len(found["covariance"]) == 2 and found["sigma"] > 0 and found["generation"] >= 3
