"""The policy llm_diff: what the model is shown, and what becomes of its changes, good, bad and hostile."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import chat_stub
import pytest
from asking import KEY, asked_for, context, over, past
from chat_stub import Answer, Stub

from autoresearch.errors import ChatFailed
from autoresearch.search import policies
from autoresearch.search.policies.llm_diff import LlmDiff
from autoresearch.search.proposal import History, Proposal

SOURCE = "from prepare import emit_progress\n\nRATE = 0.1\nfor step in range(9):\n    emit_progress(step=step)\n"
FASTER = {"find": "RATE = 0.1", "replace": "RATE = 0.2"}
TIP = "c" * 40


@pytest.fixture
def stub() -> Iterator[Stub]:
    with chat_stub.serve() as served:
        yield served


def policy(stub: Stub, **settings: Any) -> LlmDiff:
    made = policies.make(context(stub, "llm_diff", **settings))
    assert isinstance(made, LlmDiff)
    made.restore({}, [], [])
    return made


def change(*edits: dict[str, str], diff: str = "", rationale: str = "A higher rate learns faster.") -> dict[str, Any]:
    return {"rationale": rationale, "edits": list(edits), "diff": diff}


def before(*results: Any, **more: Any) -> History:
    return past(*results, source=SOURCE, tip=TIP, **more)


def propose(made: LlmDiff, history: History) -> Proposal:
    (found,) = made.propose(4, history)
    return found


def test_llm_diff_proposes_one_change_with_the_best_parameters(stub):
    asked: list[tuple[str, str]] = []

    def check(tip: str, diff: str) -> str:
        asked.append((tip, diff))
        return ""

    made = policy(stub, check_diff=check)
    stub.say(change(FASTER))
    best = over(2, 0.5, Proposal(params={"depth": 4}, source="llm"))
    found = propose(made, before(over(1, 0.9), best))
    assert found.diff.startswith("--- a/train.py\n+++ b/train.py\n@@ ")
    assert "\n-RATE = 0.1\n+RATE = 0.2\n" in found.diff
    assert (found.source, found.params, found.rejected) == ("llm_diff", {"depth": 4}, "")
    assert found.description == "A higher rate learns faster." and asked == [(TIP, found.diff)]


def test_llm_diff_takes_a_unified_diff(stub):
    made = policy(stub, mutable_file="/somewhere/code/train.py")
    diff = "--- a/code/train.py\n+++ b/code/train.py\n@@ -30,7 +3 @@\n-RATE = 0.1\n+RATE = 0.2\n"
    stub.say(change(diff=diff))
    assert "+RATE = 0.2" in propose(made, before()).diff
    assert "/somewhere" not in stub.requests[0].text


def test_llm_diff_shows_the_model_file_guidance_rules_and_earlier_changes(stub, tmp_path: Path):
    program = tmp_path / "program.md"
    program.write_text("Stay below 8 GB.")
    made = policy(stub, program_file=str(program), frozen_file="prepare.py")
    earlier = Proposal(diff="-RATE\n+SPEED\n", source="llm_diff", rationale="Another name.")
    failed = over(2, None, earlier, status="failed", reason="exit code 1", tail="NameError: RATE")
    stub.say(change(FASTER))
    propose(made, before(over(1, 0.9), failed))
    said = stub.requests[0].text
    for words in (
        *(SOURCE, "Stay below 8 GB.", "`loss`; lower is better", "Change `train.py` alone", "`prepare.py` is frozen"),
        *("Go on calling `emit_progress`", '"code_change": "Another name."', "NameError: RATE", "-RATE\n+SPEED"),
    ):
        assert words in said, words


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (change({"find": "RATE = 0.3", "replace": "x"}), "exactly once but stands 0 times; the nearest there is"),
        (change({"find": "emit_progress", "replace": "x"}), "stands 2 times"),
        (change({"find": "RATE", "replace": "RATE"}), "changes nothing"),
        (change(), "at least one hunk"),
        (change(FASTER, diff="@@ -1 +1 @@\n-x\n+y\n"), "either edits or a diff"),
        (change(diff="--- a/prepare.py\n+++ b/prepare.py\n@@ -1 +1 @@\n-x\n+y\n"), "alone but names 'a/prepare.py'"),
        (change({"find": "0.1", "replace": "x" * 100_001}), "at most 100,000 characters"),
        ("Here is the whole file: RATE = 0.2", "exactly one JSON object"),
    ],
)
def test_llm_diff_fault_goes_back_and_is_corrected(stub, wrong, words):
    stub.say(wrong, change(FASTER))
    found = propose(policy(stub), before())
    assert not found.rejected and "+RATE = 0.2" in found.diff
    assert words in asked_for(stub.requests[1])


def test_llm_diff_tells_the_model_what_the_check_says(stub):
    faults = iter(["train.py must go on calling emit_progress", ""])
    made = policy(stub, check_diff=lambda tip, diff: next(faults))
    stub.say(change({"find": "    emit_progress(step=step)", "replace": "    pass"}), change(FASTER))
    assert "+RATE" in propose(made, before()).diff
    assert "Refused: train.py must go on calling emit_progress" in asked_for(stub.requests[1])


def test_llm_diff_that_stays_wrong_is_recorded_as_rejected(stub):
    made = policy(stub, check_diff=lambda tip, diff: "it must parse")
    stub.say(*[change({"find": "RATE = 0.1", "replace": f"RATE = {place}("}) for place in range(3)])
    found = propose(made, before())
    assert found.rejected == "it must parse" and "+RATE = 2(" in found.diff and found.source == "llm_diff"
    assert len(stub.requests) == 3


def test_llm_diff_does_not_try_a_change_twice(stub):
    stub.say(change(FASTER))
    made = policy(stub)
    first = propose(made, before())
    for history in (before(over(1, 0.9, first)), before(running=(first,))):
        stub.say(change(FASTER), change(FASTER | {"replace": "RATE = 0.3"}))
        assert "+RATE = 0.3" in propose(made, history).diff
        assert "this very change was tried" in asked_for(stub.requests[-1])


def test_llm_diff_failure_of_the_endpoint_is_a_rejected_trial_and_ends_the_campaign_when_it_lasts(stub):
    stub.always = Answer("down", status=503)
    made = policy(stub)
    for _ in range(4):
        found = propose(made, before())
        assert "HTTP 503" in found.rejected and not found.diff and found.source == "llm_diff"
    with pytest.raises(ChatFailed, match="failed 5 of 5"):
        made.propose(1, before())


def test_llm_diff_answers_that_stay_wrong_do_not_count_against_the_endpoint(stub):
    made = policy(stub)
    stub.always = Answer("No.")
    for _ in range(6):
        assert "exactly one JSON object" in propose(made, before()).rejected
    assert made.adviser.failed == [False] * 6


def test_llm_diff_ends_at_once_without_a_valid_key(stub):
    stub.always = Answer(f"bad key {KEY}", status=401)
    with pytest.raises(ChatFailed, match="check the key") as failed:
        policy(stub).propose(1, before())
    assert KEY not in str(failed.value)


def test_llm_diff_rationale_is_one_line_that_a_terminal_can_show(stub):
    stub.say(change(FASTER, rationale="two\nlines \x1b[31m" + "x" * 5000))
    found = propose(policy(stub), before())
    assert found.description.startswith("two lines [31mxxx") and len(found.description) == 300


def test_llm_diff_keeps_away_from_bytes_that_are_no_text(stub):
    history = before().model_copy(update={"source": f"# caf\udce9\n{SOURCE}x = 1\n"})
    stub.say(
        change({"find": "from prepare", "replace": "# x\nfrom prepare"}), change({"find": "x = 1", "replace": "x = 2"})
    )
    found = propose(policy(stub), history)
    assert "+x = 2" in found.diff and not found.rejected
    assert "# caf?" in stub.requests[0].text and "no UTF-8" in asked_for(stub.requests[1])


def test_llm_diff_state_is_restored(stub):
    stub.say(change(FASTER))
    first = policy(stub)
    propose(first, before())
    second = policy(stub)
    second.restore(json.loads(json.dumps(first.state())), [], [])
    assert second.state() == first.state()
