"""autoresearch/night/rules.py: when a night ends and how long the agent rests, without processes."""

from typing import Any

import pytest

from autoresearch.night import prompt, rules
from autoresearch.night.rules import Life, Limits, Standing
from autoresearch.records import Attempt, Crash, State, Status, Trial


def attempt(number: int, status: Status = Status.DISCARD, crash: Crash | None = None) -> Attempt:
    one = Trial(commit="a" * 40, seed=1, folder="", crash=crash, score=None if crash else 1.0)
    words = {"tag": "t", "state": State.CLOSED, "commit": "a" * 40, "parent": "b" * 40, "description": "idea"}
    verdict = {
        **{"decision": "discard", "difference": 0.1, "sigma": 0.01, "standard_error": 0.01, "num_runs": 1},
        **{"num_champion_runs": 2, "p_better": 0.1, "rule": "noise", "why": ""},
    }
    judged = None if crash else verdict
    return Attempt.model_validate({**words, "id": number, "status": status, "trials": [one], "verdict": judged})


def standing(**facts: Any) -> Standing:
    usual: dict[str, Any] = {"elapsed_s": 0.0, "attempts": [], "noise": 0.001, "cost": None, "num_cost_failures": 0}
    return Standing(**{**usual, "lives": [], **facts})


def life(num_attempts: int = 0, exit_code: int | None = 1, tail: str = "") -> Life:
    return Life(1.0, num_attempts, exit_code, tail)


LIMITED = "API Error: 529 overloaded"


def test_rules_let_a_fresh_night_go_on() -> None:
    assert rules.reason_to_stop(Limits(), standing()) == ""


@pytest.mark.parametrize(
    ("limits", "facts", "word"),
    [
        (Limits(hours=1), {"elapsed_s": 3600.0}, "time"),
        (Limits(max_attempts=2), {"attempts": [attempt(2), attempt(3)]}, "attempts"),
        (Limits(max_cost=5), {"cost": 5.0}, "cost"),
        (Limits(max_cost=5), {"num_cost_failures": rules.COST_FAILURES}, "cost"),
        (Limits(stop_on_plateau=True), {"attempts": [attempt(2 + i) for i in range(15)]}, "plateau"),
        (Limits(), {"lives": [life()] * rules.FRUITLESS_LIVES}, "agent"),
        (Limits(), {"lives": [life(exit_code=126)]}, "agent"),
    ],
)
def test_rules_end_a_night_at_its_limit(limits: Limits, facts: dict[str, Any], word: str) -> None:
    assert rules.reason_to_stop(limits, standing(**facts)).startswith(f"{word}: ")


@pytest.mark.parametrize(
    ("limits", "facts"),
    [
        (Limits(hours=1), {"elapsed_s": 3599.0}),
        (Limits(max_attempts=2), {"attempts": [attempt(2), attempt(3, Status.BACKTRACK)]}),
        (Limits(max_cost=5), {"cost": 4.99, "num_cost_failures": 4}),
        (Limits(), {"cost": 1e9, "attempts": [attempt(2 + i) for i in range(15)]}),
        (Limits(stop_on_plateau=True), {"attempts": [attempt(2 + i) for i in range(14)]}),
        (Limits(), {"lives": [life()] * 7 + [life(1)] + [life()] * 7}),
        (Limits(), {"lives": [life(tail=LIMITED)] * 40}),
        (Limits(), {"lives": [life(1, exit_code=126)]}),
    ],
)
def test_rules_do_not_end_it_before(limits: Limits, facts: dict[str, Any]) -> None:
    assert rules.reason_to_stop(limits, standing(**facts)) == ""


def test_rules_tell_many_crashes_from_the_same_one() -> None:
    crashes = [Crash(kind="error", why=f"number {number}") for number in range(10)]
    other = [attempt(2 + number, Status.CRASH, crash) for number, crash in enumerate(crashes)]
    assert rules.reason_to_stop(Limits(), standing(attempts=other)).startswith("failures: 10 of the last 10")
    assert rules.reason_to_stop(Limits(), standing(attempts=other[:4])) == ""
    same = [attempt(2 + number, Status.CRASH, crashes[0]) for number in range(5)]
    assert rules.reason_to_stop(Limits(), standing(attempts=same)).startswith("same failure: ")
    assert rules.reason_to_stop(Limits(), standing(attempts=[*same[:4], attempt(9)])) == ""


def test_pause_grows_while_nothing_comes_of_it_and_starts_anew_after_an_attempt() -> None:
    assert rules.pause_s([]) == 0.0
    assert [rules.pause_s([life()] * count) for count in (1, 2, 3, 40)] == [2, 4, 8, 1800]
    assert rules.pause_s([life(), life(), life(num_attempts=1)]) == 2
    assert [rules.pause_s([life(tail=LIMITED)] * count) for count in (1, 2, 40)] == [60, 120, 1800]


@pytest.mark.parametrize(
    ("tail", "seconds"),
    [
        ("429: retry after 300 s", 300),
        ("rate limit; try again in 5 minutes", 300),
        ("usage limit reached, resets in 2 hours", 7200),
        ("429: retry after 999999 hours", 6 * 3600),
        (f"429: retry after {'9' * 5000} s", 6 * 3600),
        ("429: please try again in 486ms", 60),
        ("429\nretry-after: 90", 90),
        ("429: retry with 8 heads", 60),
        ("429: Please try again in 7m12s", 432),
        ("rate limit reached, try again in 1h12m30s.", 4350),
        ("usage limit reached, try again in 1 hour and 5 minutes", 3900),
        ("usage limit reached, try again in 3 days 4 hours", 6 * 3600),
        ("429: Please try again in 61.284s", 61.284),
        ("429: retry_after=120", 120),
        ("429: retry after 300.", 300),
        ('{"code": 429, "retry_after": 120}', 120),
        ("429\nRetry-After: 120", 120),
        ("429\nretry-after-ms: 30000", 60),
        ('429: "retryDelay": "95s"', 95),
        ("429: try again in 2 minutes, request 7", 120),
        ("usage limit reached, resets at 15:30", 60),
        ("usage limit reached, resets 2026-11-27", 60),
    ],
)
def test_pause_is_as_long_as_the_service_asks(tail: str, seconds: float) -> None:
    assert rules.pause_s([life(tail=tail)]) == seconds


def test_limited_is_only_who_left_with_a_failure() -> None:
    assert life(tail=LIMITED).is_limited
    assert not life(1, 0, LIMITED).is_limited and not life(tail=LIMITED, exit_code=None).is_limited
    assert life(0, 0, LIMITED).is_limited and rules.pause_s([life(12, 1, LIMITED)]) == 60
    assert not life(tail="FAIL: learning rate 1.429 limits nothing").is_limited


def test_prompt_goes_where_it_is_wanted() -> None:
    assert prompt.insert(["agent", "-p"], "go") == ["agent", "-p", "go"]
    assert prompt.insert(["agent", "--say={prompt}", "-v"], "go") == ["agent", "--say=go", "-v"]
