"""The policy centaur: what the model sees of CMA-ES, how much it may choose, and that CMA-ES learns from it."""

import json
import math
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import chat_stub
import pytest
from asking import KEY, batch, context
from chat_stub import Answer, Stub

from autoresearch.errors import ChatFailed
from autoresearch.search.policies.centaur import Advise, Centaur
from autoresearch.search.policies.sampled import Cmaes
from autoresearch.search.proposal import History, Proposal, Result, TrialStatus

SPACE = {f"x{place}": {"low": -5.0, "high": 5.0} for place in range(4)}
CORNER = dict.fromkeys(SPACE, 4.9)


@pytest.fixture
def stub() -> Iterator[Stub]:
    with chat_stub.serve() as served:
        yield served


def bowl(params: Mapping[str, Any], at: float = 5.0) -> float:
    """Lowest where all are `at`, and steeper along the later ones."""
    return sum((float(params[name]) - at) ** 2 * 10**place for place, name in enumerate(sorted(params)))


@dataclass
class Campaign:
    """Runs what a policy proposes on a function."""

    policy: Cmaes
    value: Callable[[Mapping[str, Any]], float] = bowl
    results: list[Result] = field(default_factory=list)
    best: Result | None = None

    def __post_init__(self) -> None:
        self.policy.restore({}, [], [])

    def propose(self, count: int = 1) -> list[Proposal]:
        return self.policy.propose(count, History.model_construct(results=self.results, running=[], best=self.best))

    def end(self, proposal: Proposal) -> None:
        metric = self.value(proposal.params)
        result = Result(number=len(self.results) + 1, proposal=proposal, status=TrialStatus.OK, metric=metric)
        if self.best is None or metric < (self.best.metric or math.inf):
            result.decision, self.best = "keep", result
        self.results.append(result)
        self.policy.tell(result)

    def run(self, num_trials: int, batch_size: int = 1) -> "Campaign":
        while len(self.results) < num_trials:
            for proposal in self.propose(batch_size):
                self.end(proposal)
        return self

    @property
    def sources(self) -> list[str]:
        return [one.proposal.source for one in self.results]


def centaur(stub: Stub, advise: Advise | None = None, seed: int = 7, **settings: Any) -> Centaur:
    return Centaur(context(stub, "centaur", seed=seed, **{"params": SPACE} | settings), advise)


def corner(state: Mapping[str, Any], history: History, room: int) -> list[tuple[dict[str, Any], str]]:
    return [(CORNER, "the corner")] * room


@pytest.mark.parametrize("batch_size", [1, 4, 10])
def test_centaur_chooses_three_points_of_ten(stub, batch_size):
    campaign = Campaign(centaur(stub, corner)).run(40, batch_size)
    for num in range(batch_size, 41, batch_size):
        assert campaign.sources[:num].count("centaur_llm") == int(0.3 * num)
    assert set(campaign.sources) == {"centaur_llm", "centaur_cmaes"}
    assert not stub.requests


def test_centaur_without_advice_is_cmaes(stub):
    alone = Campaign(Cmaes(context(stub, "cmaes", params=SPACE))).run(30)
    silent = Campaign(centaur(stub, lambda state, history, room: [])).run(30)
    assert [one.proposal.params for one in silent.results] == [one.proposal.params for one in alone.results]


def test_centaur_shows_where_the_search_stands(stub):
    states = []

    def look(state: Mapping[str, Any], history: History, room: int) -> list[tuple[dict[str, Any], str]]:
        states.append(state)
        return []

    Campaign(centaur(stub, look)).run(40)
    assert states[0] == {} and states[-1]["names"] == sorted(SPACE) and states[-1]["sigma"] > 0
    assert set(states[-1]["mean"]) == set(SPACE) and len(states[-1]["covariance"]) == 4


def test_centaur_teaches_cmaes_what_was_chosen(stub):
    taught = Campaign(centaur(stub, corner)).run(40).policy.describe()["mean"]
    alone = Campaign(centaur(stub, lambda state, history, room: [])).run(40).policy.describe()["mean"]
    assert bowl(taught) < bowl(alone) / 4
    assert all(taught[name] > 3 for name in SPACE)


def near_the_best(seed: int) -> Advise:
    """A rule in place of a language model: one parameter of the best, moved."""
    generator = random.Random(seed)

    def advise(state: Mapping[str, Any], history: History, room: int) -> list[tuple[dict[str, Any], str]]:
        if not history.best:
            return []
        found = []
        for _ in range(room):
            name = generator.choice(sorted(SPACE))
            moved = float(history.best.proposal.params[name]) + generator.gauss(0, 1)
            found.append((history.best.proposal.params | {name: min(5.0, max(-5.0, moved))}, "near the best"))
        return found

    return advise


def test_centaur_with_a_rule_beats_cmaes_at_equal_budget(stub):
    gains = []
    for seed in range(6):
        at = random.Random(seed).uniform(-4, 4)
        best = []
        for policy in (
            Cmaes(context(stub, "cmaes", params=SPACE, seed=seed)),
            centaur(stub, near_the_best(seed), seed=seed),
        ):
            campaign = Campaign(policy, partial(bowl, at=at)).run(60)
            assert campaign.best and campaign.best.metric
            best.append(math.log10(campaign.best.metric))
        gains.append(best[0] - best[1])
    assert sum(gains) / len(gains) > 0.1  # decades of the remaining distance


def test_centaur_asks_the_model_with_state_and_history(stub):
    stub.always = Answer(json.dumps(batch(CORNER)))
    campaign = Campaign(centaur(stub)).run(3)
    assert not stub.requests
    campaign.run(4)
    (request,) = stub.requests
    assert "Its first generation is not complete." in request.text and "Choose up to 1 of the next" in request.text
    assert campaign.sources[3] == "centaur_llm" and campaign.results[3].proposal.params == CORNER
    assert campaign.results[3].proposal.rationale == "idea 1"
    stub.always = Answer(json.dumps(batch()))
    campaign.run(30)
    said = stub.requests[-1].text
    for words in (
        '"sigma": ',
        '"covariance": [[',
        '"mean": {"x0": ',
        '"trial": 25',
        "x3: number from -5.0",
    ):
        assert words in said, words
    assert campaign.sources.count("centaur_llm") == 1 and len(stub.requests) == 9
    assert not campaign.policy.adviser.failed.count(True)  # type: ignore[attr-defined]


def test_centaur_quotes_back_what_is_no_point_of_the_space(stub):
    stub.say(batch(CORNER | {"x0": 6.0}), batch(CORNER))
    campaign = Campaign(centaur(stub)).run(4)
    assert campaign.sources[3] == "centaur_llm" and "x0 must be a number from -5.0 to 5.0" in stub.requests[1].text


def test_centaur_failure_of_the_model_is_left_to_cmaes_and_says_so(stub):
    stub.always = Answer("down", status=503)
    campaign = Campaign(centaur(stub)).run(10)
    assert [place for place, one in enumerate(campaign.sources) if one == "centaur_fallback"] == [3, 6, 9]
    assert "HTTP 503" in campaign.results[3].proposal.rationale
    alone = Campaign(Cmaes(context(stub, "cmaes", params=SPACE))).run(10)
    assert [one.proposal.params for one in campaign.results] == [one.proposal.params for one in alone.results]
    with pytest.raises(ChatFailed, match="failed 5 of 5") as failed:
        campaign.run(40)
    assert KEY not in str(failed.value)


def test_centaur_mixes_numbers_with_choices(stub):
    space = {
        "rate": {"low": 1e-5, "high": 0.1, "log": True},
        "depth": [2, 4, 8],
        "kind": ["adam", "sgd"],
        "on": [True, False],
    }
    chosen = {"rate": 0.01, "depth": 8, "kind": "sgd", "on": False}
    stub.always = Answer(json.dumps(batch(chosen)))
    campaign = Campaign(centaur(stub, params=space), lambda params: float(params["rate"])).run(8)
    assert campaign.results[3].proposal.params == chosen and campaign.results[3].proposal.source == "centaur_llm"


@pytest.mark.parametrize("cut", [3, 4, 13, 24])
def test_centaur_restored_goes_on_alike(stub, cut):
    rule = near_the_best(1)
    whole = Campaign(centaur(stub, lambda state, history, room: rule(state, history, room)))
    whole.run(cut)
    state = json.loads(json.dumps(whole.policy.state()))
    told = [Result.model_validate_json(one.model_dump_json()) for one in whole.results]
    again = Campaign(centaur(stub, lambda state, history, room: rule(state, history, room)))
    again.policy = centaur(stub, lambda state, history, room: rule(state, history, room))
    again.policy.restore(state, told, [])
    again.results, again.best = told, whole.best
    rule = near_the_best(2)
    whole.run(40)
    rule = near_the_best(2)
    again.run(40)
    assert again.sources == whole.sources
    assert [one.proposal.params for one in again.results] == [one.proposal.params for one in whole.results]


def test_centaur_restored_with_its_points_still_running(stub):
    first = Campaign(centaur(stub, corner))
    pending = first.propose(10)
    state = first.policy.state()
    second = centaur(stub, corner)
    second.restore(state, [], [Proposal.model_validate_json(one.model_dump_json()) for one in pending])
    for number, proposal in enumerate(pending, 1):
        for policy in (first.policy, second):
            policy.tell(Result(number=number, proposal=proposal, status=TrialStatus.OK, metric=bowl(proposal.params)))
    empty = History()
    assert second.propose(10, empty) == first.policy.propose(10, empty)
