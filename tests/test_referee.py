"""The scoring process: its number, or why there is none."""

import sys

import night
import pytest

from autoresearch import referee
from autoresearch.arena import Metric
from autoresearch.records import Crash

METRIC = Metric(name="val_bpb")


def score(folder, script, deadline_s=20.0):
    """Run a scorer given as a Python text."""
    command = [sys.executable, "-c", script]
    return referee.run_scorer(command, folder, folder, {"PATH": "/bin"}, METRIC, deadline_s)


def test_scorer_gives_the_last_number(tmp_path):
    assert score(tmp_path, "print('val_bpb: 2'); print('val_bpb: 1.25')") == 1.25
    assert "val_bpb: 1.25" in (tmp_path / "score.log").read_text()
    assert score(tmp_path, "print('val_bpb: 3')") == 3.0  # an older log does not count


@pytest.mark.parametrize(
    ("script", "kind", "why"),
    [
        ("print('val_bpb: 1'); raise SystemExit(3)", "error", "scoring: "),
        ("print('val_bpb: nan')", "error", "scoring: "),
        ("print('nothing')", "error", "scoring: nothing"),
        ("raise MemoryError('out of memory')", "out of memory", "scoring: "),
        ("import os; os.kill(os.getpid(), 9)", "killed", "scoring: signal 9"),
    ],
)
def test_scorer_without_a_number_says_why(tmp_path, script, kind, why):
    crash = score(tmp_path, script)
    assert crash.kind == kind and crash.why.startswith(why)


def test_scorer_has_a_deadline(tmp_path):
    crash = score(tmp_path, "import time; time.sleep(60)", 0.5)
    assert crash.kind == "timeout" and "scoring took longer" in crash.why


def test_scorer_that_cannot_be_started_is_no_exception(tmp_path):
    crash = referee.run_scorer(["/no/such/scorer"], tmp_path, tmp_path, {}, METRIC, 5.0)
    assert isinstance(crash, Crash) and crash.kind == "error" and "/no/such/scorer" in crash.why


def test_referee_runs_the_prepare_of_the_repository_and_not_of_the_trial(tmp_path):
    one = night.fresh(tmp_path / "repo", own=True)
    trial = tmp_path / "trial"
    (trial / "submission").mkdir(parents=True)
    (trial / "submission" / "config.json").write_text('{"score": 0.9}')
    (trial / "code").mkdir()
    (trial / "code" / "prepare.py").write_text("print('val_bpb: 0.1')")
    assert referee.score(one.root, trial, one.env) == 0.9
    assert referee.score(one.root, trial, one.env, "sealed") == 1.9


def test_score_command_of_other_rules_decides(tmp_path):
    one = night.fresh(tmp_path)
    one.arena(night.ARENA + 'score_command = ["{python}", "-c", "print(\'val_bpb: 0.5\')"]\n')
    one.run("setup", "t1", "--baseline-runs", "1")
    assert one.record(1)["trials"][0]["score"] == 0.5
    assert one.text("results/t1/0001/1/run.log").rstrip().endswith("val_bpb: 0.500000")


def test_larger_is_better_where_the_rules_say_so(tmp_path):
    one = night.fresh(tmp_path)
    one.arena(night.ARENA + "[metric]\nname = 'accuracy'\ndirection = 'max'\npattern = 'val_bpb: (.*)'\n")
    one.run("setup", "t1")
    assert one.text("results.tsv").startswith("commit\taccuracy\t")
    assert "discard" in one.attempt("lower", LR=0.5) and "keep" in one.attempt("higher", DEPTH=2)
