"""The policy llm: what the model is told, what is taken of its answers, what stands in when it fails."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import chat_stub
import pytest
from asking import KEY, SPACE, asked_for, batch, context, over, past
from chat_stub import Answer, Stub

from autoresearch.errors import ChatFailed, Interrupted
from autoresearch.search import policies
from autoresearch.search.policies.llm import Llm
from autoresearch.search.policies.untried import Untried
from autoresearch.search.proposal import History, Proposal, Report, Result
from autoresearch.search.space import Space

GOOD: dict[str, Any] = {"rate": 0.01, "depth": 4, "kind": "adam"}
OTHER = GOOD | {"depth": 8}


@pytest.fixture
def stub() -> Iterator[Stub]:
    with chat_stub.serve() as served:
        yield served


def policy(stub: Stub, state: dict[str, Any] | None = None, **settings: Any) -> Llm:
    made = policies.make(context(stub, "llm", **settings))
    assert isinstance(made, Llm)
    made.restore(state or {}, [], [])
    return made


def tried(number: int, params: dict[str, Any], **more: Any) -> Result:
    return over(number, 0.5, Proposal(params=params, source="llm"), **more)


def test_llm_asks_once_for_a_batch(stub):
    stub.say(batch(GOOD, OTHER, GOOD | {"kind": "sgd"}))
    found = policy(stub).propose(3, past())
    assert [one.params for one in found] == [GOOD, OTHER, GOOD | {"kind": "sgd"}]
    assert {one.source for one in found} == {"llm"} and found[0].rationale == "idea 1"
    assert found[0].notes == {"prompt_tokens": 10, "completion_tokens": 5}
    (request,) = stub.requests
    assert "exactly 3 proposals that differ" in request.text
    assert request.body["temperature"] == 0.7 and request.headers["authorization"] == f"Bearer {KEY}"


def test_llm_sends_the_space_as_a_schema(stub):
    stub.say(batch(GOOD))
    policy(stub).propose(1, past())
    schema = stub.requests[0].body["response_format"]["json_schema"]["schema"]
    params = schema["$defs"]["Params"]
    assert params["properties"] == {
        "rate": {"title": "Rate", "type": "number", "minimum": 1e-5, "maximum": 0.1},
        "depth": {"title": "Depth", "type": "integer", "minimum": 2, "maximum": 12},
        "kind": {"title": "Kind", "type": "string", "enum": ["adam", "sgd"]},
    }
    assert params["required"] == ["rate", "depth", "kind"] and params["additionalProperties"] is False


def test_llm_takes_parameters_of_any_name_and_kind(stub):
    space = {"json": [1, 2.5, True, "a"], "model_copy": [0.1], "_x": {"low": 0, "high": 1.0}, "class": ["é\n"]}
    answer = {"json": True, "model_copy": 0.1, "_x": 1, "class": "é\n"}
    stub.say(batch(answer))
    (found,) = policy(stub, params=space).propose(1, past())
    assert found.params == answer and found.params["json"] is True and isinstance(found.params["_x"], float)


def test_llm_tells_the_model_all_that_it_needs(stub, tmp_path):
    program = tmp_path / "program.md"
    program.write_text("Never use more than 8 layers.")
    reports = [Report(step=step, step_target=100, metrics={"loss": 1 / (step + 1)}) for step in range(100)]
    log = "Traceback\nRuntimeError: CUDA out of memory"
    history = past(
        over(1, 0.9),
        over(2, 0.5, Proposal(params=GOOD, source="llm"), decision="keep", reports=reports),
        over(3, None, Proposal(params=OTHER, source="llm"), status="oom", reason="exit 1", tail=log),
        running=(Proposal(params=GOOD | {"depth": 5}, source="llm"),),
    )
    stub.say(batch(GOOD | {"depth": 6}))
    policy(stub, program_file=str(program)).propose(1, history)
    said = stub.requests[0].text
    for words in (
        *("Never use more than 8 layers.", "`loss`; lower is better", "number from 1e-05 to 0.1, best thought of by"),
        *(
            'one of ["adam", "sgd"]',
            '"trial": 2',
            '"loss": 0.5',
            '"decision": "keep"',
            "CUDA out of memory",
            "[99.0, 0.01]",
        ),
        *('"running": {"params": {"rate": 0.01, "depth": 5', "Best so far: trial 2 with 0.5."),
    ):
        assert words in said, words
    assert KEY not in said


def test_llm_prompt_stays_short_in_a_long_campaign(stub):
    best = over(1, 0.1, Proposal(params=GOOD | {"rate": 0.033}, source="llm"), decision="keep")
    others = [tried(number, GOOD | {"rate": number * 1e-5}, tail="x" * 9999) for number in range(2, 800)]
    stub.say(batch(GOOD))
    policy(stub).propose(1, past(best, *others))
    said = stub.requests[0].text
    assert len(said) < 20_000 and "0.033" in said and "758 older trials are left out" in said


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (GOOD | {"rate": 0.2}, "rate must be a number from 1e-05 to 0.1 but got 0.2"),
        (GOOD | {"depth": 4.5}, "depth must be an integer from 2 to 12 but got 4.5"),
        (GOOD | {"depth": True}, "depth must be an integer"),
        (GOOD | {"depth": "4"}, "depth must be an integer"),
        (GOOD | {"kind": "adamw"}, "kind must be one of 'adam', 'sgd' but got 'adamw'"),
        (GOOD | {"kind": ["adam"]}, "kind must be one of"),
        (GOOD | {"kind": {"deep": {}}}, "kind must be one of"),
        (GOOD | {"rate": None}, "rate must be a number"),
        ({"rate": 0.01, "depth": 4}, "kind: Field required"),
        (GOOD | {"rate": "\ud800"}, "rate must be a number"),
    ],
)
def test_llm_values_outside_the_space_are_quoted_back(stub, wrong, words):
    stub.say(batch(wrong), batch(OTHER))
    (found,) = policy(stub).propose(1, past())
    assert found.params == OTHER and found.source == "llm"
    assert words in asked_for(stub.requests[1])


def test_llm_takes_a_whole_float_for_an_integer(stub):
    stub.say(batch(GOOD | {"depth": 4.0, "rate": 0.01}))
    (found,) = policy(stub).propose(1, past())
    assert found.params == GOOD and isinstance(found.params["depth"], int)


def test_llm_does_not_try_again_what_was_tried_is_running_or_stands_twice(stub):
    history = past(tried(1, GOOD), running=(Proposal(params=OTHER, source="llm"),))
    new = GOOD | {"depth": 5}
    stub.say(batch(GOOD, OTHER, new, new), batch(new, new | {"depth": 6}, new | {"depth": 7}, new | {"depth": 9}))
    found = policy(stub).propose(4, history)
    assert [one.params["depth"] for one in found] == [5, 6, 7, 9]
    said = asked_for(stub.requests[1])
    assert "proposal 1: this was tried" in said and "proposal 2: this was tried, or is being tried" in said
    assert "proposal 4: this stands in your answer twice" in said


def test_llm_tries_again_what_ran_on_other_code(stub):
    stub.say(batch(GOOD))
    history = past(tried(1, GOOD, commit="a" * 40), tip="b" * 40)
    assert policy(stub).propose(1, history)[0].params == GOOD
    same_code = past(tried(1, GOOD, commit="b" * 40), tip="b" * 40)
    assert Untried(Space.model_validate(SPACE), same_code).fault(GOOD)


def test_llm_keeps_what_is_usable_of_an_answer_that_is_never_whole(stub):
    stub.say(batch(GOOD), batch(GOOD, OTHER, {}), batch(GOOD | {"depth": 99}))
    found = policy(stub).propose(3, past())
    assert [one.params for one in found] == [GOOD] and found[0].source == "llm"


def test_llm_takes_no_more_than_it_asked_for(stub):
    stub.say(batch(GOOD, OTHER, GOOD | {"depth": 5}))
    assert len(policy(stub).propose(2, past())) == 2


def test_llm_ends_when_a_finite_space_is_exhausted(stub):
    space = {"rate": [0.1, 0.2], "on": [True, False]}
    ran = [tried(number, {"rate": 0.1, "on": number == 1}) for number in (1, 2)]
    stub.say(batch({"rate": 0.2, "on": True}, {"rate": 0.2, "on": False}))
    made = policy(stub, params=space)
    found = made.propose(4, past(*ran))
    assert "exactly 2 proposals" in stub.requests[0].text and len(found) == 2
    assert made.propose(4, past(*ran, running=tuple(found))) == []
    assert len(stub.requests) == 1


def test_llm_failure_is_a_random_draw_that_says_so(stub):
    stub.always = Answer("busy", status=503)
    made = policy(stub)
    found = made.propose(2, past())
    assert [one.source for one in found] == ["llm_fallback"] * 2 and "HTTP 503: " in found[0].rationale
    space = Space.model_validate(SPACE)
    assert not [problem for one in found for problem in space.problems(one.params)]
    assert found[0].params != found[1].params
    assert made.adviser.failed == [True] and made.adviser.last.attempts == 4


def test_llm_answers_that_stay_wrong_fall_back_too(stub):
    stub.always = Answer("I would rather talk.")
    (found,) = policy(stub).propose(1, past())
    assert found.source == "llm_fallback" and len(stub.requests) == 3


def test_llm_fallback_draws_what_is_left_of_a_finite_space(stub):
    stub.always = Answer("down", status=500)
    made, running = policy(stub, params={"a": list(range(3)), "b": [1, 2]}), list[Proposal]()
    for _ in range(3):
        running += made.propose(2, History(running=running))
    assert len({json.dumps(one.params) for one in running}) == 6


def test_untried_finds_the_last_cell_of_a_large_space():
    untried = Untried(Space.model_validate({"a": {"low": 0, "high": 1999}}), past())
    for number in range(2000):
        if number != 1234:
            untried.take({"a": number})
    assert untried.left() == 1
    assert untried.draw("1") == {"a": 1234} and untried.draw("1") is None and untried.left() == 0


def test_llm_campaign_ends_when_most_questions_fail(stub):
    made = policy(stub)
    stub.say(*[batch(GOOD | {"depth": depth}) for depth in (2, 3)])
    stub.always = Answer("down", status=500)
    sources = [made.propose(1, past())[0].source for _ in range(4)]
    assert sources == ["llm", "llm", "llm_fallback", "llm_fallback"]
    with pytest.raises(ChatFailed, match=r"failed 3 of 5.*HTTP 500") as failed:
        made.propose(1, past())
    assert KEY not in str(failed.value)


def test_llm_campaign_ends_by_the_latest_questions_alone(stub):
    made = policy(stub)
    made.adviser.failed = [False] * 10
    made.adviser.chat.endpoint = replace(made.adviser.endpoint, num_retries=0)
    stub.always = Answer("down", status=500)
    assert [made.propose(1, past())[0].source for _ in range(5)] == ["llm_fallback"] * 5
    with pytest.raises(ChatFailed, match="failed 6 of 10"):
        made.propose(1, past())


def test_llm_campaign_goes_on_when_few_questions_fail(stub):
    made = policy(stub)
    for depth in range(2, 12):
        if depth % 2:
            stub.script += [Answer("down", status=500)] * 4
        else:
            stub.say(batch(GOOD | {"depth": depth}))
        assert made.propose(1, past())[0].source == ("llm_fallback" if depth % 2 else "llm")


@pytest.mark.parametrize("status", [401, 403, 404])
def test_llm_campaign_ends_at_once_when_no_answer_can_come(stub, status):
    stub.always = Answer("no", status=status)
    with pytest.raises(ChatFailed, match=f"HTTP {status}"):
        policy(stub).propose(1, past())
    assert len(stub.requests) == 1


def test_llm_stops_when_the_campaign_does(stub):
    made = policy(stub)
    made.adviser.context.stop.set()
    with pytest.raises(Interrupted):
        made.propose(1, past())


def test_llm_state_makes_another_that_goes_on_alike(stub):
    stub.say(batch(GOOD))
    stub.always = Answer("no schema here", status=400)
    first = policy(stub)
    first.propose(1, past())
    first.propose(1, past())
    state = json.loads(json.dumps(first.state()))
    second = policy(stub, state)
    assert second.state() == first.state()
    assert second.propose(2, past()) == first.propose(2, past())
    assert second.adviser.failed == first.adviser.failed == [False, True, True]
    assert KEY not in json.dumps(state)


def test_llm_remembers_across_restarts_that_a_server_takes_no_schema(stub):
    stub.script.append(Answer("no schema here", status=400))
    stub.say(batch(GOOD), batch(OTHER))
    first = policy(stub)
    first.propose(1, past())
    policy(stub, first.state()).propose(1, past())
    assert len(stub.requests) == 3 and "response_format" not in stub.requests[2].body


def test_llm_notes_each_question_in_the_timeline(stub):
    stub.script.append(Answer("busy", status=429))
    stub.say(batch(GOOD))
    made = policy(stub)
    made.propose(1, past())
    (span,) = made.adviser.context.spans.drain()
    assert span.name == "llm.chat_completion"
    wanted = {"model": "tiny", "attempts": 2, "status": "ok", "prompt_tokens": 10, "completion_tokens": 5}
    assert span.args == wanted | {"cost_usd": 0.0}
    stub.always = Answer("no", status=401)
    with pytest.raises(ChatFailed):
        made.propose(1, past())
    (span,) = made.adviser.context.spans.drain()
    assert span.args["status"] == "http 401" and "error" in span.args and KEY not in str(span.args)
