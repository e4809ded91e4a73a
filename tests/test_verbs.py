"""status, log, show, wait, analyze, backtrack, doctor: what they print, as text and as JSON, and their exit codes."""

import json

import night
import pytest

from autoresearch.commands import doctor_


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """A night with a gain, a loss and a crash; for tests that only read."""
    one = night.begun(tmp_path_factory.mktemp("night"))
    one.attempt("halve LR", "--hypothesis", "too high", LR=0.5)
    one.attempt("shallow", DEPTH=2)
    one.attempt("too much", MODE="memory")
    return one


def test_status_says_where_the_campaign_stands(told):
    out = told.run("status").stdout
    assert "t1: 4 attempts (1 crash, 1 discard, 2 keep)" in out and "(1 run)  halve LR" in out
    assert "champion 0002" in out and "noise of one run 0.000" in out
    facts = json.loads(told.run("status", "--json").stdout)
    assert facts["champion"]["id"] == "0002" and facts["counts"] == {"crash": 1, "discard": 1, "keep": 2}
    assert facts["open"] == [] and len(facts["baseline"]) == 2


def test_status_before_the_first_score_and_without_a_campaign(tmp_path):
    one = night.fresh(tmp_path)
    assert "setup TAG" in one.refuse("status")
    one.edit(MODE="memory")
    one.git("commit", "-qam", "broken")
    one.run("setup", "t1", code=3)
    assert "unmeasured" in one.run("status").stdout
    assert "next `setup t1` finishes it" in one.run("wait").stdout


def test_log_prints_the_newest_last_and_marks_rows_by_hand(told):
    lines = told.run("log").stdout.splitlines()
    assert [line[:4] for line in lines] == ["0001", "0002", "0003", "0004"]
    assert told.run("log", "-n", "1").stdout.startswith("0004")
    table = told.root / "results.tsv"
    text = table.read_text()
    table.write_text(text + "abcdef1\t0.500000\t1.0\tkeep\tmine\t\n")
    try:
        assert "by hand  abcdef1  keep  mine" in told.run("log").stdout
        found = json.loads(told.run("log", "--json", "-n", "2").stdout)
        assert [one["id"] for one in found["attempts"]] == [3, 4] and found["by_hand"][0]["commit"] == "abcdef1"
        assert "champion 0002" in told.run("status").stdout  # never compared as measured
    finally:
        table.write_text(text)


def test_show_tells_all_about_one_attempt(told):
    out = told.run("show", "0002").stdout
    assert "hypothesis: too high" in out and "+LR = 0.5" in out and "verdict: P(better)" in out
    assert "CUDA out of memory" in told.run("show", "4").stdout
    found = json.loads(told.run("show", "2", "--json").stdout)
    assert found["status"] == "keep" and "+LR = 0.5" in found["diff"]
    assert "known: 0001..0004" in told.refuse("show", "77")


def test_wait_prints_the_last_verdict(told):
    out = told.run("wait").stdout
    assert out.startswith("attempt 0004") and len(out.splitlines()) <= 12
    assert json.loads(told.run("wait", "--json").stdout)["status"] == "crash"


def test_wrong_usage_leaves_with_2_and_names_the_option(told):
    for args in (["status", "--what"], ["nonsense"], ["show", "x"], ["analyze", "--result", "r"], ["try", "-m", " "]):
        assert told.refuse(*args, code=2)
    assert "--what" in told.refuse("status", "--what", code=2)


def test_help_starts_with_an_imperative_for_each_verb(told):
    out = told.run("--help").stdout
    for verb in (
        "setup",
        "try",
        "wait",
        "analyze",
        "status",
        "log",
        "show",
        "backtrack",
        "confirm",
        "ablate",
        "report",
        "doctor",
    ):
        assert verb in out
    assert "--hypothesis" in told.run("try", "--help").stdout and "--finish" not in told.run("try", "--help").stdout


def test_unknown_keys_of_the_rules_are_named(tmp_path):
    one = night.fresh(tmp_path)
    one.arena('comand = ["x"]\n')
    assert "comand" in (err := one.refuse("setup", "t1", code=2)) and "command" in err


def test_analyze_writes_record_and_notes(tmp_path):
    one = night.begun(tmp_path)
    words = ["analyze", "--result", "1.06", "--expected", "same", "--why", "chance", "--lesson", "go on"]
    assert "0001" in one.run(*words).stdout
    assert one.record(1)["analysis"] == {"result": "1.06", "expected": "same", "why": "chance", "lesson": "go on"}
    entry = "### 0001: baseline\noutcome: keep  1.06"
    assert entry in one.text("notes.md") and "\nresult: 1.06\nvs expected: same" in one.text("notes.md")
    words[-1] = "look again"
    one.run(*words)
    assert one.text("notes.md").count("### 0001") == one.text("notes.md").count("\nresult: ") == 1
    assert "lesson: look again" in one.text("notes.md") and "lesson: go on" not in one.text("notes.md")
    one.attempt("halve", LR=0.5)  # the chain of records holds
    assert one.refuse("analyze", "--result", "r", "--expected", "maybe", "--why", "w", "--lesson", "l", code=2)


def test_backtrack_goes_to_a_kept_attempt_by_number_or_commit(tmp_path):
    one = night.begun(tmp_path)
    base, text = one.tip(), one.text("train.py")
    one.attempt("halve", LR=0.5)
    kept = one.tip()
    one.attempt("shallow", DEPTH=2)
    loss = one.record(3)["commit"]
    assert "must be a kept attempt" in one.refuse("backtrack", loss[:8], "--why", "x")
    assert "is the champion already" in one.refuse("backtrack", "2", "--why", "x")
    assert "no attempt 0077" in one.refuse("backtrack", "77", "--why", "x")
    assert "no commit" in one.refuse("backtrack", "feedbeef", "--why", "x")
    one.edit(DEPTH=3)
    assert "train.py has edits" in one.refuse("backtrack", "0001", "--why", "x")
    one.git("commit", "-qam", "mine")
    assert "`try` your commit" in one.refuse("backtrack", "0001", "--why", "x")
    one.git("reset", "-q", "--hard", kept)
    out = one.run("backtrack", "1", "--why", "wrong way").stdout
    assert out == f"attempt 0004: back from {kept[:7]} to {base[:7]}: baseline\n"
    assert "(2 runs)  back from" in one.run("status").stdout
    assert one.tip() == base and one.text("train.py") == text and one.git("status", "--porcelain") == ""
    assert one.rows()[-1]["status"] == "backtrack" and one.rows()[-1]["reasoning"] == "wrong way"
    one.run("backtrack", kept[:10], "--why", "no")
    one.run("backtrack", "0001", "--why", "wrong way")  # the very same row once more
    assert [row["status"] for row in one.rows()] == ["keep", "keep", "discard", *["backtrack"] * 3]
    assert one.tip() == base and sorted(one.refs()) == [f"{number:04d}" for number in range(1, 7)]
    assert "keep" in one.attempt("deeper", DEPTH=6)


def test_doctor_names_what_to_mend(told):
    done = told.run("doctor", code=None)
    assert "ok    records: 4 attempts" in done.stdout and "ok    arena" in done.stdout
    assert done.returncode == ("MEND" in done.stdout) and "MEND  load" not in done.stdout
    (told.root / "rules.txt").write_text("thawed\n")
    try:
        done = told.run("doctor", "--json", code=1)
        found = {one["name"]: one for one in json.loads(done.stdout)}
        assert not found["records"]["ok"] and "rules.txt" in found["records"]["what"]
    finally:
        (told.root / "rules.txt").write_text("frozen\n")


def test_doctor_warns_of_load_without_failing_and_of_edits_before_setup(tmp_path):
    assert {state for _, state, _ in doctor_.check_load()} <= {"ok", "WARN"}
    one = night.fresh(tmp_path)
    (one.root / "rules.txt").write_text("thawed\n")
    assert "MEND  edits: rules.txt; setup wants tracked files clean" in one.run("doctor", code=1).stdout


def test_broken_pipe_is_no_error(told):
    process = told.start("log")
    process.stdout.close()
    assert process.stderr.read() == "" and process.wait(30) == 0


def test_every_reading_verb_has_json(told):
    for verb in (["status"], ["log"], ["show", "1"], ["wait"]):
        json.loads(told.run(*verb, "--json").stdout)
