"""The scoring process: its number, or why there is none."""

import sys
from pathlib import Path

import night
import pytest

from autoresearch import referee
from autoresearch.arena import Metric
from autoresearch.records import Crash

METRIC = Metric(name="val_bpb")


def score(folder, script, deadline_s=20.0):
    """Run a scorer given as a Python text."""
    command = [sys.executable, "-c", script]
    (folder / "code").mkdir(exist_ok=True)
    return referee.run_scorer(command, folder, {"PATH": "/bin"}, METRIC, True, deadline_s)


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
        ("raise ConnectionResetError('by peer')", "interrupted", "scoring: ConnectionResetError: by peer"),
        ("raise MemoryError('out of memory')", "out of memory", "scoring: "),
        ("import os; os.kill(os.getpid(), 9)", "killed", "scoring: signal 9"),
    ],
)
def test_scorer_without_a_number_says_why(tmp_path, script, kind, why):
    crash = score(tmp_path, script)
    assert crash.kind == kind and crash.why.startswith(why)


def test_scorer_here_that_lost_a_connection_failed(tmp_path):
    script = "raise ConnectionResetError('by peer')"  # in the code of the candidate, perhaps: nothing to try again
    (tmp_path / "code").mkdir()
    crash = referee.run_scorer([sys.executable, "-c", script], tmp_path, {}, METRIC)
    assert isinstance(crash, Crash) and crash.kind == "error"


def test_scorer_has_a_deadline(tmp_path):
    crash = score(tmp_path, "import time; time.sleep(60)", 0.5)
    assert crash.kind == "timeout" and "scoring took longer" in crash.why


def test_scorer_that_cannot_be_started_is_no_exception(tmp_path):
    crash = referee.run_scorer(["/no/such/scorer"], tmp_path, {}, METRIC)
    assert isinstance(crash, Crash) and crash.kind == "error" and "/no/such/scorer" in crash.why


@pytest.fixture
def saved(tmp_path) -> tuple[night.Night, Path]:
    """A repository with a fake prepare.py, and a trial that saved a submission."""
    one, trial = night.fresh(tmp_path / "repo", own=True), tmp_path / "trial"
    for name, text in (("submission/config.json", '{"score": 0.9}'), ("submission/weights.pt", ""), ("code/x", "")):
        (trial / name).parent.mkdir(parents=True, exist_ok=True)
        (trial / name).write_text(text)
    (trial / "code/prepare.py").write_text((one.root / "prepare.py").read_text())
    return one, trial


def crash_of(one: night.Night, trial: Path, deadline_s: float = referee.SCORING_S) -> Crash:
    """Why there is no score."""
    found = referee.score(one.root, trial, one.env, deadline_s=deadline_s)
    assert isinstance(found, Crash), found
    return found


def test_number_comes_from_the_prepare_of_the_repository(saved):
    one, trial = saved
    (trial / "code/prepare.py").write_text(
        "import os, socket, sys\nprint('val_bpb: 0.1')\nhere = int(sys.argv[4])\n"
        'socket.socket(fileno=here).sendall(b\'{"score": 0.9, "val_bpb": 0.1}\')'
    )
    (trial / "score.json").write_text('{"val_bpb": 0.1}')
    assert referee.score(one.root, trial, one.env) == 0.9
    assert referee.score(one.root, trial, one.env, None, "sealed") == 1.9


@pytest.mark.parametrize("name", referee.SUBMISSION)
def test_link_in_the_submission_is_refused(saved, name):
    one, trial = saved
    path = trial / name
    path.rename(trial / "elsewhere")
    assert "must be a plain file but is missing" in crash_of(one, trial).why
    path.symlink_to(trial / "elsewhere")
    crash = crash_of(one, trial)
    assert (crash.kind, crash.why) == ("refused", f"{name} must be a plain file but is none")


@pytest.mark.parametrize(
    ("script", "kind", "why"),
    [
        ("raise RuntimeError('of the candidate')", "error", "the player failed: RuntimeError: of the candidate"),
        ("raise MemoryError", "out of memory", "the player failed: MemoryError"),
        ("raise SystemExit(0)", "refused", "PlayerFailed: the player must answer every batch but ended"),
        ("import os; os.kill(os.getpid(), 9)", "killed", "the player failed: signal 9"),
    ],
)
def test_failing_player_is_named(saved, script, kind, why):
    one, trial = saved
    (trial / "code/prepare.py").write_text(script + "\n")
    crash = crash_of(one, trial)
    assert (crash.kind, why in crash.why) == (kind, True), crash


@pytest.mark.parametrize(
    ("script", "kind", "why"),
    [
        ("raise MemoryError", "out of memory", "scoring: MemoryError"),
        ("import time; time.sleep(60)", "timeout", "scoring took longer than 2 s"),
        ("print('val_bpb: 0.1')", "error", "scoring: val_bpb: 0.1"),
        ("import os, sys; os.write(int(sys.argv[-1]), b'{\"val_bpb\": NaN}')", "refused", "None"),
        ('import os, sys; os.write(int(sys.argv[-1]), b\'{"refused": "NonCausal"}\')', "refused", "NonCausal"),
        ('import os, sys; os.write(int(sys.argv[-1]), b\'{"refused": "NonFinite"}\')', "diverged", "NonFinite"),
    ],
)
def test_referee_without_a_number_says_why(saved, script, kind, why):
    one, trial = saved
    (one.root / "prepare.py").write_text(script + "\n")
    crash = crash_of(one, trial, deadline_s=2.0)
    assert (crash.kind, why in crash.why) == (kind, True), crash


@pytest.mark.parametrize("victim", ["code", "repo"])
def test_killed_half_is_given_a_second_try(saved, victim):
    one, trial = saved
    path = (trial / "code" if victim == "code" else one.root) / "prepare.py"
    once = "import os, pathlib\nmark = pathlib.Path('killed')\nif not mark.exists():\n"
    path.write_text(f"{once}    mark.touch()\n    os.kill(os.getpid(), 9)\n{path.read_text()}")
    assert referee.score(one.root, trial, one.env) == 0.9


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
