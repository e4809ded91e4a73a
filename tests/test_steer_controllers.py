"""Who steers: an LLM that fails in every way, a rule, chance, replay; whatever they do, the run goes on."""

import json
from pathlib import Path
from typing import Any

import chat_stub
import pytest
from chat_stub import Stub
from steering import Desk as Campaign

from autoresearch.chat import Chat, Endpoint
from autoresearch.errors import BadConfig
from autoresearch.steer import controllers
from autoresearch.steer.controllers import KEEP, Answer, Chance, Controller, Llm, Nobody, Replay, Rule, View
from autoresearch.steer.desk import MOST_FAILURES, REST, Desk
from autoresearch.steer.plan import Plan

PLAN = Plan(lr_start=1.0, lr_peak=1.0, decay=0.5)


def view(step: int = 40, windows: tuple[float, ...] = (5.0, 4.0), **facts: Any) -> View:
    known = {"round": 1, "step": step, "effective_step": step + 20, "seed": 1, "progress": 0.2, "lr": 1.0, "plan": PLAN}
    return View.model_validate({**known, "windows": windows, "alarms": [], "brief": "", "decisions": [], **facts})


@pytest.fixture
def stub() -> Any:
    with chat_stub.serve() as running:
        yield running


def llm(stub: Stub, timeout_s: float = 5.0) -> Llm:
    return Llm(Chat(Endpoint(stub.url, "m", timeout_s=timeout_s, num_retries=0)))


@pytest.mark.parametrize("controller", [Nobody(), Rule(), Chance()], ids=lambda one: type(one).__name__)
def test_controller_gives_the_same_answer_to_the_same_question(controller: Controller) -> None:
    answers = [controller.decide(view(step)) for step in range(0, 400, 20)]
    assert answers == [controller.decide(view(step)) for step in range(0, 400, 20)]


def test_rule_reduces_on_a_plateau_and_then_decays() -> None:
    assert Rule().decide(view(windows=(5.0, 4.0, 3.5, 3.2))) == KEEP
    assert Rule().decide(view(windows=(5.0, 4.0, 4.0, 4.0))).factor == 0.5
    for step, action in ((60, "keep"), (80, "keep"), (100, "decay")):  # the cut of step 40 counts from 60 on
        again = view(step, windows=(5.0, 4.0, 4.0, 4.0), scaled=[40])
        assert Rule().decide(again).action == action


def test_chance_does_everything_within_the_clamp() -> None:
    answers = [Chance().decide(view(step, progress=0.6)) for step in range(400)]
    assert {one.action for one in answers} == {"keep", "scale", "decay"}
    assert all(0.5 <= one.factor <= 2 for one in answers)


def test_replay_repeats_another_campaign_by_round_and_step(tmp_path: Path) -> None:
    first = Campaign(tmp_path / "first", {"controller": "random", "k": 40, "seed": 3})
    first.folder.mkdir()
    first.run(Chance(), pace_s=0.004)
    again = {"controller": "replay", "replay": first.home / "decisions_log.jsonl"}
    second = Campaign(tmp_path / "second", first.settings | again)
    second.folder.mkdir()
    second.run(Replay(first.home / "decisions_log.jsonl"), pace_s=0.004)
    assert second.rates() == pytest.approx(first.rates()) and {one.action for one in first.decisions()} > {"keep"}


def test_controller_is_shown_a_change_that_is_under_way(tmp_path: Path) -> None:
    seen = []

    class Once:
        def decide(self, view: View) -> Answer:
            seen.append([one["action"] for one in view.decisions])
            return Answer(action="scale", factor=0.8) if len(seen) == 1 else KEEP

    Campaign(tmp_path, {"k": 40}).run(Once(), pace_s=0.004)
    assert seen[:2] == [[], ["scale"]]


def decision(arm: str, action: str, factor: float = 1.0) -> str:
    facts = {"round": 1, "arm": arm, "seed": 1, "branch": "b0", "step": 40, "seq": -1, "source": "controller"}
    return json.dumps(facts | {"action": action, "requested": factor}) + "\n"


def test_replay_is_of_the_controller_alone(tmp_path: Path) -> None:
    log = tmp_path / "log"
    swept = decision("baseline:cosine10", "keep") + decision("plain:wsd", "keep")
    log.write_text(decision("random", "scale", 0.7) + swept)
    assert Replay(log).decide(view(step=40)).factor == 0.7
    log.write_text(swept)
    with pytest.raises(BadConfig, match="holds no decision of a controller"):
        Replay(log)
    log.write_text(decision("random", "scale", 0.7) + decision("rule", "keep"))
    with pytest.raises(BadConfig, match="of one controller but holds those of random, rule"):
        Replay(log)


@pytest.mark.parametrize("text", ["", "{}\n", "no json\n"])
def test_replay_of_something_else_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "log").write_text(text)
    with pytest.raises(BadConfig, match="must be a decisions log"):
        Replay(tmp_path / "log")


def test_key_that_is_missing_is_named(tmp_path: Path) -> None:
    model = {"url": "http://127.0.0.1:1/v1", "model": "m", "key_env": "NO_SUCH_KEY"}
    settings = {"controller": "llm", "llm": {"controller": model}}
    with pytest.raises(BadConfig, match="NO_SUCH_KEY must hold the key of m"):
        controllers.make(Campaign(tmp_path, settings).config(), {}, lambda call: None)


# --- a language model


def test_llm_is_shown_brief_plan_and_losses_and_is_obeyed(stub: Stub) -> None:
    stub.say({"action": "scale", "factor": 1.25, "reason": "smooth"})
    answer = llm(stub).decide(view(brief="peaks above 3 diverge"))
    assert (answer.action, answer.factor) == ("scale", 1.25)
    assert all(
        words in stub.requests[0].text for words in ("peaks above 3 diverge", '"windows": [5.0, 4.0]', "lr_peak")
    )


def test_llm_that_says_its_key_back_has_it_blotted_out(stub: Stub) -> None:
    stub.say({"action": "keep", "factor": 1, "reason": "my key is sk-secret"})
    asked = Llm(Chat(Endpoint(stub.url, "m", "sk-secret")))
    assert asked.decide(view()).reason == "my key is ***"


def test_llm_is_told_what_was_wrong_twice_and_then_given_up(stub: Stub) -> None:
    stub.say("I would wait.", {"action": "double"}, {"action": "scale", "factor": -1})
    said = Desk(llm(stub)).ask(view())
    assert said.is_there.wait(10)
    assert (said.status, said.answer, said.is_usable) == ("invalid", KEEP, False)
    assert len(stub.requests) == 3 and "Refused" in stub.requests[1].text and "action" in stub.requests[2].text


BAD: dict[str, chat_stub.Answer] = {
    "malformed": chat_stub.Answer("{"),
    "no answer": chat_stub.Answer("", status=500),
    "not there": chat_stub.Answer("", reset=True),
    "not a number": chat_stub.Answer('{"action": "scale", "factor": NaN, "reason": ""}'),
    "extra": chat_stub.Answer(json.dumps({"action": "keep", "factor": 1, "reason": "", "lr": 3})),
    "silent": chat_stub.Answer(hold=True),
}


@pytest.mark.parametrize("kind", BAD)
def test_round_ends_well_whatever_the_llm_says(stub: Stub, tmp_path: Path, kind: str) -> None:
    stub.always = BAD[kind]
    campaign = Campaign(
        tmp_path, {"controller": "llm", "llm": {"controller": {"url": stub.url, "model": "m"}}, "k": 40}
    )
    final = campaign.run(llm(stub, timeout_s=0.3), pace_s=0.005)
    plan = campaign.config().opening()
    assert final.status == "ok"
    assert campaign.rates() == pytest.approx([plan.lr(row["p"]) for row in campaign.rows("trace.jsonl")])
    decisions = campaign.decisions()
    assert decisions and all(one.fallback and one.parse_status != "ok" and one.action == "keep" for one in decisions)


def test_guard_acts_while_the_llm_is_silent(stub: Stub, tmp_path: Path) -> None:
    stub.always = chat_stub.Answer(hold=True)
    settings = {"controller": "llm", "llm": {"controller": {"url": stub.url, "model": "m"}}, "lr_init": 6.0}
    campaign = Campaign(tmp_path, {**settings, "warmup_steps": 0, "k": 40})
    campaign.run(llm(stub, timeout_s=2), limit=4.0, pace_s=0.005)
    assert [one.action for one in campaign.decisions() if one.source == "guard"]


def test_circuit_opens_after_failures_in_a_row_and_closes_again(stub: Stub) -> None:
    stub.always = chat_stub.Answer("", status=500)
    desk = Desk(llm(stub))

    def ask() -> str:
        said = desk.ask(view())
        assert said.is_there.wait(10)
        assert desk.thread
        desk.thread.join()
        return said.status

    assert [ask() for _ in range(MOST_FAILURES)] == ["http 500"] * MOST_FAILURES
    num_asked = len(stub.requests)
    assert [ask() for _ in range(REST)] == ["circuit open"] * REST and len(stub.requests) == num_asked
    stub.always = chat_stub.Answer(json.dumps({"action": "keep", "factor": 1, "reason": ""}))
    assert [ask(), ask()] == ["ok", "ok"]


def test_question_before_the_last_one_is_answered_is_not_asked(stub: Stub) -> None:
    stub.always = chat_stub.Answer(hold=True)
    desk = Desk(llm(stub, timeout_s=1))
    desk.ask(view())
    assert desk.ask(view()).status == "busy"


class Broken:
    """Fails in its own way."""

    def decide(self, view: View) -> Answer:
        raise ZeroDivisionError("by zero")


def test_controller_that_breaks_leaves_the_plan(tmp_path: Path) -> None:
    campaign = Campaign(tmp_path, {"k": 40})
    assert campaign.run(Broken(), pace_s=0.004).status == "ok"
    assert campaign.decisions()[0].why == "ZeroDivisionError: by zero"
