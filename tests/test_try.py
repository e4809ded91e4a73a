"""try: what it takes, what it refuses, how an attempt ends, and what is left behind."""

import shutil

import night
import pytest

from autoresearch.signals import CHAMPION_CHECK_ATTEMPTS


def test_try_keeps_a_gain_and_moves_the_branch(tmp_path):
    one = night.begun(tmp_path)
    hooks = one.root / ".git" / "hooks"
    hooks.mkdir(exist_ok=True)
    for name in ("pre-commit", "post-commit", "commit-msg"):
        (hooks / name).write_text("#!/bin/sh\ntouch hooked\nexit 1\n")
        (hooks / name).chmod(0o755)
    base = one.tip()
    out = one.attempt("halve LR", "--hypothesis", "too high", "--evidence", "row 1", "--risk", "none", LR=0.5)
    assert len(out.splitlines()) <= 12 and "keep  −0.02" in out
    record = one.record(2)
    assert record["state"] == "closed" and record["status"] == "keep" and record["parent"] == base
    assert one.tip() == record["commit"] == one.refs()["0002"] and record["changed"] == ["LR"]
    assert one.rows()[-1] | {"val_bpb": ""} == {
        "commit": one.tip()[:7],
        "val_bpb": "",
        "memory_gb": "1.0",
        "status": "keep",
        "description": "halve LR",
        "reasoning": "too high",
    }
    assert "### 0002: halve LR\nhypothesis: too high\nevidence: row 1\nrisk: none\noutcome: keep" in one.text(
        "notes.md"
    )
    assert not (one.root / "hooked").exists() and one.git("status", "--porcelain") == ""


def test_try_discards_a_loss_and_restores_train_py_alone(tmp_path):
    one = night.begun(tmp_path)
    base, text = one.tip(), one.text("train.py")
    (one.root / "mine.txt").write_text("mine\n")
    out = one.attempt("shallow", DEPTH=2)
    assert "discard" in out and f"train.py is back at champion 0001 {base[:7]}" in out and "git restore" not in out
    assert one.tip() == base and one.text("train.py") == text and one.text("mine.txt") == "mine\n"
    assert one.git("status", "--porcelain") == "?? mine.txt"
    assert one.git("rev-parse", "refs/autoresearch/t1/0002^") == base


def test_try_says_when_notes_outgrow_their_cap_by_what_is_not_its_own(tmp_path):
    one = night.begun(tmp_path)
    path = one.root / "notes.md"
    path.write_text(path.read_text().replace("## What Works\n", "## What Works\n" + "- depth helps\n" * 700))
    out = one.attempt("shallow", DEPTH=2)
    assert "note: notes.md has 10,0" in out or "note: notes.md has 9," in out
    assert "at most 8,192; shorten the sections above its log" in out and len(out.splitlines()) <= 12
    words = ["analyze", "--result", "1.06", "--expected", "same", "--why", "chance", "--lesson", "go on"]
    assert "note: notes.md has" in one.run(*words).stdout


def test_try_leaves_a_persons_edits_in_other_files_alone(tmp_path):
    one = night.begun(tmp_path)
    (one.root / "page.md").write_text("a page\n")
    one.git("add", "page.md")
    one.git("commit", "-qm", "a page")
    one.git("reset", "-q", "--soft", "HEAD~1")  # staged, not committed
    (one.root / ".gitignore").write_text(night.IGNORED + "mine\n")
    assert "keep" in one.attempt("halve", LR=0.5) and "discard" in one.attempt("shallow", DEPTH=2)
    assert one.git("status", "--porcelain").split("\n") == ["M .gitignore", "A  page.md"]
    assert one.git("diff-tree", "--name-only", "-r", one.record(2)["parent"], one.tip()) == "train.py"


def test_try_makes_one_commit_of_a_commit_and_edits_on_top(tmp_path):
    """As after a kill between the commit of `try` and its record, when the agent goes on editing."""
    one = night.begun(tmp_path)
    base = one.tip()
    one.edit(LR=0.5)
    one.git("commit", "-qam", "cut off")
    one.edit(DEPTH=5)
    assert "attempt 0002" in one.attempt("both")
    commit = one.record(2)["commit"]
    assert one.git("rev-parse", f"{commit}~1") == base and one.git("log", "-1", "--format=%s", commit) == "both"
    diff = one.git("diff", base, commit)
    assert "+LR = 0.5" in diff and "+DEPTH = 5" in diff


def test_try_takes_the_one_commit_that_the_agent_made(tmp_path):
    one = night.begun(tmp_path)
    base = one.tip()
    one.edit(LR=0.5)
    one.git("commit", "-qam", "my own words")
    mine = one.git("rev-parse", "HEAD")
    assert "keep" in one.attempt("halve LR")
    assert one.record(2)["commit"] == one.tip() == mine
    for depth in (5, 6):
        one.edit(DEPTH=depth)
        one.git("commit", "-qam", "one of two")
    assert f"git reset --keep {mine[:7]}" in one.refuse("try", "-m", "two commits")
    one.git("reset", "-q", "--keep", mine)
    one.edit(DEPTH=3)
    one.git("commit", "-qam", "worse")
    assert "discard" in one.attempt("worse") and one.tip() == mine and one.git("status", "--porcelain") == ""
    assert base != mine


def test_try_refuses_what_is_no_attempt_and_changes_nothing(tmp_path):
    one = night.begun(tmp_path)
    base = one.tip()
    assert "nothing to try" in one.refuse("try", "-m", "nothing")
    (one.root / "train.py").unlink()
    assert "train.py must exist" in one.refuse("try", "-m", "gone")
    one.git("checkout", "-q", "--", "train.py")
    (one.root / ".gitignore").write_text("*\n")
    one.edit(LR=0.5)
    one.git("commit", "-qam", "too much")
    assert "changes .gitignore" in one.refuse("try", "-m", "too much")
    one.git("reset", "-q", "--hard", base)
    (one.root / "rules.txt").write_text("thawed\n")
    assert f"`git diff {base[:7]} -- FILE`" in (err := one.refuse("try", "-m", "x")) and "rules.txt" in err
    one.git("checkout", "-q", "--", "rules.txt")
    one.edit(LR=0.5)
    other = night.Night(one.root, AUTORESEARCH_SCALE="gpu")
    assert "AUTORESEARCH_SCALE must be unset as at setup but is 'gpu'" in other.refuse("try", "-m", "x")
    assert one.refuse("try", code=2) and one.refuse("try", "-m", "x", "--max-runs", "0", code=2)
    one.git("switch", "-q", "-c", "elsewhere")
    assert "`git switch`" in one.refuse("try", "-m", "x")
    assert len(one.records()) == 1 and one.tip() == base and list(one.refs()) == ["0001"]


def test_try_refuses_code_that_was_tried_apart_from_comments_and_layout(tmp_path):
    one = night.begun(tmp_path)
    one.attempt("shallow", DEPTH=2)
    path = one.root / "train.py"
    path.write_text(path.read_text().replace("DEPTH = 4", "DEPTH = (2)  # shallower"))
    assert "attempt 0002 ('shallow', discard)" in one.refuse("try", "-m", "again")
    one.git("checkout", "-q", "--", "train.py")
    path.write_text(path.read_text() + "# a comment\n")
    assert "attempt 0001" in one.refuse("try", "-m", "a comment")


@pytest.mark.parametrize(
    ("constants", "kind", "words"),
    [
        ({"MODE": "memory"}, "out of memory", "CUDA out of memory"),
        ({"MODE": "diverge"}, "diverged", "loss is nan"),
        ({"MODE": "fault"}, "killed", "signal 11"),
        ({"MODE": "exit", "LR": 0.5}, "error", "num_steps"),
        ({"MODE": "refuse"}, "refused", "ClockError"),
        ({"MODE": "nan"}, "error", "finite val_bpb"),
    ],
)
def test_try_records_each_kind_of_crash(tmp_path, constants, kind, words):
    one = night.begun(tmp_path)
    base = one.tip()
    out = one.attempt("broken", **constants)
    crash = one.record(2)["trials"][0]["crash"]
    assert crash["kind"] == kind and words in crash["why"]
    assert f"crash  {kind}: " in out and len(out.splitlines()) <= 12
    assert "its code: `git restore --source=refs/autoresearch/t1/0002 -- train.py`" in out
    assert f"train.py is back at champion 0001 {base[:7]} 1.06" in out
    row = one.rows()[-1]
    assert (row["val_bpb"], row["memory_gb"], row["status"]) == ("0.000000", "0.0", "crash")
    assert one.tip() == base and one.git("status", "--porcelain") == ""
    if kind != "killed":
        one.edit(**constants)
        assert "attempt 0002" in one.refuse("try", "-m", "x")


def test_try_times_out_and_leaves_no_process_behind(tmp_path):
    one = night.fresh(tmp_path)
    one.arena(night.ARENA.replace("120", "1.5"))
    one.run("setup", "t1", "--baseline-runs", "1")
    assert "timeout: the trial took longer than" in one.attempt("hangs", MODE="hang")
    assert not night.is_alive(one.record(2)["trials"][0]["pid"])


@pytest.mark.parametrize(
    ("line", "why"), [("def broken(:", "line 1"), ("import not_a_module_at_all", "not_a_module_at_all")]
)
def test_try_finds_what_cannot_start_without_running_it(tmp_path, line, why):
    one = night.begun(tmp_path)
    path = one.root / "train.py"
    path.write_text(f"{line}\n{path.read_text()}")
    assert "crash  syntax: " in one.run("try", "-m", "broken").stdout
    crash = one.record(2)["trials"][0]
    assert why in crash["crash"]["why"] and crash["pid"] is None
    assert not (one.root / "results" / "t1" / "0002").exists()


def test_try_allows_imports_that_may_fail_and_files_of_its_own(tmp_path):
    one = night.begun(tmp_path)
    path = one.root / "train.py"
    guarded = "try:\n    import not_there\nexcept ImportError:\n    not_there = None\n"
    path.write_text(guarded + path.read_text().replace("LR = 1.0", "LR = 0.5"))
    assert "keep" in one.run("try", "-m", "guarded").stdout


def test_try_enforces_limits_and_guards_on_a_keep(tmp_path):
    one = night.fresh(tmp_path)
    guard = 'guards = [["{python}", "-c", "import train; assert train.DEPTH < 6"]]\n'
    one.arena(night.ARENA + guard + "[limits]\npeak_vram_mb = 2000\nnum_steps = 10\n")
    one.run("setup", "t1")
    base = one.tip()
    out = one.attempt("deep", DEPTH=6)
    assert "discard  guard  −0.0" in out and "note: guard" in out and one.tip() == base
    path = one.root / "train.py"
    path.write_text(path.read_text().replace("num_steps: 10", "num_steps: 11"))
    out = one.attempt("more steps", LR=0.5)
    assert "over the limit: num_steps must be at most 10 but is 11" in out and one.tip() == base
    assert "keep" in one.attempt("halve", LR=0.5)


def test_try_measures_again_until_decided_with_seeds_nobody_chose(tmp_path):
    one = night.begun(tmp_path)
    one.attempt("a small gain", LR=0.99)
    record = one.record(2)
    runs = record["trials"] + record["champion_trials"]
    assert len(runs) > 1 and record["status"] in ("keep", "discard")
    assert len({run["seed"] for run in runs} | {run["seed"] for run in one.record(1)["trials"]}) == len(runs) + 2
    assert all(run["commit"] == record["parent"] for run in record["champion_trials"])
    assert record["verdict"]["num_runs"] == len(record["trials"]) <= 3


def test_try_once_max_runs_and_simpler_change_the_rule(tmp_path):
    one = night.begun(tmp_path)
    one.attempt("barely", "--once", LR=0.999)
    assert one.record(2)["verdict"]["rule"] == "once" and len(one.record(2)["trials"]) == 1
    one.attempt("a bit", "--max-runs", "1", LR=0.97)
    assert len(one.record(3)["trials"]) == 1
    path = one.root / "train.py"
    text = path.read_text()
    path.write_text(text.replace('    if MODE == "fault":\n        os.kill(os.getpid(), signal.SIGSEGV)\n', ""))
    out = one.run("try", "-m", "less code", "--simpler").stdout
    assert one.record(4)["simpler"] and one.record(4)["verdict"]["rule"] in ("simpler", "noise"), out


def test_try_measures_a_champion_that_was_not_measured_for_long(tmp_path):
    one = night.begun(tmp_path)
    for depth in range(CHAMPION_CHECK_ATTEMPTS):
        one.history("too deep", 1.2 + 0.01 * depth, "discard")
    one.attempt("deep", DEPTH=20)
    assert len(one.records()[-1]["champion_trials"]) == 1


def test_try_says_when_the_machine_drifted_and_judges_by_what_it_measures_now(tmp_path):
    one = night.fresh(tmp_path)
    path = one.root / "train.py"
    here = 'folder = Path(os.environ["AUTORESEARCH_TRIAL_DIR"])'
    seed = 'measure(int(os.environ["AUTORESEARCH_SEED"]))'
    text = path.read_text().replace(seed, seed + ' + float((folder.parents[3] / "shift").read_text())')
    assert here in text and "shift" in text
    path.write_text(text)
    (one.root / ".gitignore").write_text(night.IGNORED + "shift\n")
    one.git("commit", "-qam", "a machine that drifts")
    (one.root / "shift").write_text("0.0")
    one.run("setup", "t1")
    for number in range(CHAMPION_CHECK_ATTEMPTS):
        one.history("too deep", 1.2 + 0.01 * number, "discard")
    (one.root / "shift").write_text("0.05")  # everything scores worse from now on
    out = one.attempt("a gain that a stale champion would hide", LR=0.8)
    record = one.records()[-1]
    assert "score moved by +0.05" in record["drift"] and "drift: " in out and record["status"] == "keep"
    assert record["verdict"]["num_champion_runs"] == len(record["champion_trials"]) == 2
    assert f"champion {record['id']:04d}" in one.run("status").stdout


def test_try_refuses_a_second_attempt_and_names_the_first(tmp_path):
    one = night.begun(tmp_path)
    one.edit(LR=0.5, MODE="wait")
    first = one.start("try", "-m", "slow")
    night.until(lambda: (one.root / "results/t1/0002/1/progress.jsonl").exists())
    assert "attempt 0002" in one.refuse("try", "-m", "second")
    assert "attempt 0002" in one.refuse("try", "-m", "second", "--gpu", "1")  # another device, the same checkout
    assert "[##########          ] so far, step 5" in one.run("wait", "--timeout", "0").stdout
    (one.root / "results/t1/0002/1/progress.jsonl").unlink()
    assert "so far: starting" in one.run("wait", "--timeout", "0").stdout
    other = tmp_path.parent / f"{tmp_path.name}-worktree"
    one.git("worktree", "add", "-q", "--detach", str(other), "main")
    assert "device 0" in night.Night(other).refuse("setup", "t2")  # another checkout, the same device
    shutil.rmtree(other)
    (one.root / "results/t1/0002/1/go").touch()
    assert "keep" in first.communicate(timeout=60)[0]


def test_wait_tells_that_a_trial_is_scored(tmp_path):
    one = night.begun(tmp_path, own=True, AUTORESEARCH_CHECKPOINT_STEPS="3")
    one.edit(LR=0.5)
    first = one.start("try", "-m", "halve")
    night.until(lambda: (one.root / "results/t1/0002/1/score.log").exists())
    assert "so far: trained, now it is scored" in one.run("wait", "--timeout", "0").stdout
    assert "keep" in first.communicate(timeout=60)[0]


def test_try_names_the_champions_pace_where_it_is_another(tmp_path):
    one = night.begun(tmp_path)
    train = one.root / "train.py"
    train.write_text(train.read_text().replace("num_steps: 10", "num_steps: 5"))
    assert "\n5 steps (champion 10), 1.0M tokens" in one.attempt("slower", LR=0.5)
    assert "(champion" not in one.attempt("as slow", DEPTH=2)


def test_try_refuses_a_score_of_another_regime(tmp_path):
    one = night.begun(tmp_path, own=True)
    assert "crash  refused: ran in regime ffffffffffff but the tag's is 0123456789ab" in one.attempt(MODE="elsewhere")


def test_weights_stay_for_keeps_alone(tmp_path):
    one = night.begun(tmp_path, own=True)
    one.attempt("halve", LR=0.5)
    one.attempt("shallow", DEPTH=2)
    folders = sorted(
        str(path.relative_to(one.root / "results/t1")) for path in one.root.glob("results/t1/*/*/submission")
    )
    assert folders == ["0001/1/submission", "0001/2/submission", "0002/1/submission"]
    assert one.text("results/t1/0003/1/run.log").rstrip().splitlines()[-1].startswith("val_bpb: ")


def test_every_commit_survives_garbage_collection(tmp_path):
    one = night.begun(tmp_path)
    one.attempt("shallow", DEPTH=2)
    one.attempt("broken", MODE="memory")
    one.git("reflog", "expire", "--expire=now", "--all")
    one.git("gc", "-q", "--prune=now")
    assert sorted(one.refs()) == ["0001", "0002", "0003"]
    for record in one.records():
        assert one.git("cat-file", "-t", record["commit"]) == "commit"
        assert one.refs()[f"{record['id']:04d}"] == record["commit"]
