"""autoresearch/hub/client/share.py: what a closed attempt is told as, made from its record alone."""

import json
from pathlib import Path
from typing import Any

import pytest

from autoresearch.hub.client import share
from autoresearch.hub.result_line import parse_lines
from autoresearch.ledger import Ledger
from autoresearch.records import Attempt, Crash, Metrics, Pins, State, Status, Trial

COMMIT = "ab" * 20
BEFORE = "LR = 1.0\nDEPTH = 4\n\n\ndef step():\n    return LR\n"


def run(score: float | None = 1.25, crash: Crash | None = None, **more: Any) -> Trial:
    metrics = Metrics(peak_vram_mb=2048.0, num_steps=10, total_tokens_M=1.5, training_seconds=300.0)
    given = {"commit": COMMIT, "seed": 7, "folder": "results/t1/0002/1", "metrics": metrics}
    return Trial(**{**given, "score": score, "crash": crash, **more})


def attempt(status: Status | None, *runs: Trial, **more: Any) -> Attempt:
    given: dict[str, Any] = {"tag": "t1", "id": 2, "state": State.CLOSED, "commit": COMMIT, "parent": "cd" * 20}
    verdict = {"decision": "keep", "difference": 0.0, "sigma": 1.0, "standard_error": 1.0, "num_runs": 1}
    verdict |= {"num_champion_runs": 2, "p_better": 1.0, "rule": "noise", "why": ""}
    judged = {"verdict": verdict} if status in (Status.KEEP, Status.DISCARD) else {}
    told = {"description": "halve LR", "regime": "0123456789ab", "status": status, "trials": runs, "closed": "now"}
    return Attempt(**{**given, **told, **judged, **more})


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    ledger = Ledger(tmp_path, "t1")
    ledger.write_pins(
        Pins(tag="t1", baseline=COMMIT, regime="0123456789ab", frozen={}, identity={"platform": "H100x1"})
    )
    return ledger


@pytest.mark.parametrize(
    ("platform", "short"),
    [
        ("H100x1", "H100"),
        ("A100x8", "A100x8"),
        ("4090x1", "4090"),
        ("M4-Maxx16", "M4-Max"),
        ("M2x8", "M2"),
        ("EPYCx2", "EPYCx2"),
        ("Xeon-Platinumx64", "Xeon-Platinumx64"),
        ("x86_64x4", "x86_64x4"),
        ("x1", "x1"),
        ("fakex1", "fake"),
        ("", ""),
        ("a b|cx1", "a-b-c"),
    ],
)
def test_platform_is_short(platform: str, short: str) -> None:
    assert share.short_platform(platform) == short


def test_keep_is_told_as_result_line_and_commit(ledger: Ledger) -> None:
    result, line, push = share.messages(ledger, attempt(Status.KEEP, run()), claim=5)
    key = f"t1/0002/{COMMIT}/1"
    assert (result.kind, result.key) == ("result", key)
    assert result.data == {
        **{"commit": COMMIT, "platform": "H100", "metric": "val_bpb", "value": 1.25, "status": "keep"},
        **{"vram_gb": 2.0, "seconds": 300.0, "steps": 10, "tokens_m": 1.5, "seed": 7, "description": "halve LR"},
        **{"regime": "0123456789ab", "idempotency_key": key, "claim": 5},
    }
    words = f"commit:{COMMIT[:7]} platform:H100 val_bpb:1.250000 vram_gb:2.0 | halve LR"
    assert (line.kind, line.data) == ("post", {"channel": "results", "content": words})
    assert (push.kind, push.data) == ("push", {"commit": COMMIT})
    assert share.messages(ledger, attempt(Status.KEEP, run()), claim=5) == [result, line, push]
    assert len(key) <= 128 and json.loads(result.model_dump_json())


def test_every_run_has_a_result_and_a_line_of_its_own(ledger: Ledger) -> None:
    *results, line = share.messages(ledger, attempt(Status.DISCARD, run(1.3), run(1.5, seed=8)), claim=None)
    assert [(one.data["value"], one.data["seed"]) for one in results] == [(1.3, 7), (1.5, 8)]
    assert len({one.key for one in results}) == 2 and "claim" not in results[0].data
    told = parse_lines(line.data["content"])
    assert [(one.val_bpb, one.status, one.description) for one in told] == [
        (1.3, "discard", "halve LR (DISCARD)"),
        (1.5, "discard", "halve LR (DISCARD)"),
    ]


@pytest.mark.parametrize(
    ("crash", "why"),
    [
        (Crash(kind="out of memory", why="CUDA out of memory. Tried (2 GiB)"), "out of memory"),
        (Crash(kind="timeout", why="training took longer than 400 s"), "timeout"),
        (Crash(kind="error", why="ValueError: bad (shape)\n in line 3"), "ValueError: bad shape in line 3"),
    ],
)
def test_crash_is_told_without_numbers(ledger: Ledger, crash: Crash, why: str) -> None:
    result, line = share.messages(ledger, attempt(Status.CRASH, run(None, crash)), claim=None)
    assert (result.data["value"], result.data["status"]) == (None, "crash")
    expected = f"commit:{COMMIT[:7]} platform:H100 val_bpb:--- vram_gb:--- | halve LR (CRASH: {why})"
    assert line.data["content"] == expected


def test_code_that_never_ran_has_no_seed(ledger: Ledger) -> None:
    crash = Crash(kind="syntax", why="line 3")
    result, _ = share.messages(ledger, attempt(Status.CRASH, run(None, crash, seed=0, folder="")), claim=None)
    assert result.data["seed"] is None


def test_discard_with_a_failed_run_tells_the_one_that_was_scored(ledger: Ledger) -> None:
    crash = Crash(kind="timeout", why="late")
    told = share.messages(ledger, attempt(Status.DISCARD, run(1.3), run(None, crash)), claim=None)
    assert [one.kind for one in told] == ["result", "post"]
    assert "(DISCARD)" in told[1].data["content"] and "CRASH" not in told[1].data["content"]


@pytest.mark.parametrize(
    "untold",
    [
        attempt(Status.CANCELLED, run(None, Crash(kind="interrupted", why="stopped"))),
        attempt(Status.CRASH, run(None, Crash(kind="interrupted", why="killed"))),
        attempt(Status.BACKTRACK),
    ],
    ids=["cancelled", "interrupted", "backtrack"],
)
def test_what_nobody_judged_only_frees_its_claim(ledger: Ledger, untold: Attempt) -> None:
    assert share.messages(ledger, untold, claim=None) == []
    assert [(one.kind, one.data) for one in share.messages(ledger, untold, claim=9)] == [("release", {"claim": 9})]


def test_promise_waits_until_the_attempt_is_closed(ledger: Ledger) -> None:
    assert share.promise("t1", 1, 5).data == {"tag": "t1", "after": 1, "claim": 5}
    assert share.fulfil(ledger, 1, 5) is None
    ledger.write(attempt(None, run(), closed=""))
    assert share.fulfil(ledger, 1, 5) is None
    ledger.write(attempt(Status.KEEP, run()))
    told = share.fulfil(ledger, 1, 5)
    assert told and [one.kind for one in told] == ["result", "post", "push"] and told[0].data["claim"] == 5
    assert share.fulfil(ledger, 2, 5) is None


def test_claim_of_constants_is_their_values() -> None:
    for words in ("halve LR", "a smaller learning rate"):
        key = share.claim_key(BEFORE, BEFORE.replace("1.0", "0.50"), words, "ab" * 20)
        assert key == "LR=0.5 on abababababab"
    both = BEFORE.replace("1.0", "2.0").replace("4", "6")
    assert share.claim_key(BEFORE, both, "x", "ab" * 20) == "DEPTH=6, LR=2.0 on abababababab"
    assert share.claim_key(BEFORE, both, "x", "cd" * 20) != share.claim_key(BEFORE, both, "x", "ab" * 20)


@pytest.mark.parametrize(
    "after",
    [BEFORE.replace("return LR", "return 2 * LR"), BEFORE.replace("DEPTH = 4\n", ""), "def broken(:\n"],
    ids=["function", "constant removed", "no Python"],
)
def test_claim_of_structure_is_its_words(after: str) -> None:
    one = share.claim_key(BEFORE, after, "Drop  the `x0` residual!", "ab" * 20)
    assert one == "drop the x0 residual on abababababab"
    assert one == share.claim_key(BEFORE, after, "drop the X0 residual", "ab" * 20)


def test_claim_of_many_words_stays_short_and_its_own() -> None:
    long = [share.claim_key("", "f()", f"{'word ' * 100}{end}", "ab" * 20) for end in "ab"]
    assert all(len(key) <= 200 for key in long) and long[0] != long[1]
