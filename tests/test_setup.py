"""setup: what it makes, what it refuses, and that it goes on where it was cut off."""

import json

import night
import pytest

from autoresearch.attempt import setup
from autoresearch.attempt.campaign import Campaign
from autoresearch.errors import Refused

CUT = """
import os, signal, sys
from dataclasses import replace
from pathlib import Path
from autoresearch.attempt import judge, setup
from autoresearch.attempt.campaign import Campaign
def reached(step):
    if step == sys.argv[1]:
        os.kill(os.getpid(), signal.SIGKILL)
campaign = replace(Campaign.open(Path.cwd(), os.environ, print, "t1"), reached=reached)
attempt = setup.prepare_tag(campaign, "HEAD", "now")
judge.measure_baseline(campaign, attempt, 2, lambda: "now")
"""


def test_setup_makes_branch_table_notes_pins_and_a_measured_baseline(tmp_path):
    one = night.fresh(tmp_path)
    out = one.run("setup", "t1").stdout
    assert "branch autoresearch/t1" in out
    assert one.git("branch", "--show-current") == "autoresearch/t1"
    assert one.text("results.tsv").startswith("commit\tval_bpb\tmemory_gb\tstatus\tdescription\treasoning\n")
    assert [(row["status"], row["description"]) for row in one.rows()] == [("keep", "baseline")]
    assert "## Experiment Log" in one.text("notes.md")
    record = one.record(1)
    assert record["state"] == "closed" and len(record["trials"]) == 2
    assert len({trial["seed"] for trial in record["trials"]}) == 2
    assert one.refs() == {"0001": one.tip()}
    pins = json.loads(one.text("results/t1/pins.json"))
    assert sorted(pins["frozen"]) == ["autoresearch.toml", "rules.txt"] and len(pins["regime"]) == 12
    assert one.git("status", "--porcelain") == ""


def test_setup_detached_returns_at_once_and_wait_tells_of_it(tmp_path):
    one = night.fresh(tmp_path)
    one.edit(MODE="wait")
    one.git("commit", "-qam", "slow")
    out = one.run("setup", "t1", "--detach").stdout
    assert "setup of t1 runs in the background" in out
    assert one.git("branch", "--show-current") == "autoresearch/t1"
    assert "no verdict yet" in one.run("wait", "--timeout", "0").stdout
    assert "setup of t1" in one.refuse("try", "-m", "too early")
    for run in (1, 2):
        night.until((one.root / f"results/t1/0001/{run}/progress.jsonl").exists)
        (one.root / f"results/t1/0001/{run}/go").touch()
    assert "champion 0001" in one.run("wait").stdout
    assert one.record(1)["state"] == "closed" and len(one.record(1)["trials"]) == 2
    assert "exists" in one.refuse("setup", "t1", "--detach")


def test_setup_detached_says_why_the_baseline_gave_no_score(tmp_path):
    one = night.fresh(tmp_path)
    one.edit(MODE="memory")
    one.git("commit", "-qam", "broken")
    one.run("setup", "t1", "--detach")
    out = one.run("wait").stdout
    assert "the next `setup t1` finishes it" in out and "out of memory" in out and len(out.splitlines()) <= 12


def test_setup_pins_variables_which_later_verbs_take_from_there(tmp_path):
    one = night.fresh(tmp_path, AUTORESEARCH_TIME_BUDGET="3", AUTORESEARCH_SCALE="tiny")
    path = one.root / "train.py"
    path.write_text(path.read_text() + 'print("budget:", os.environ.get("AUTORESEARCH_TIME_BUDGET"))\n')
    one.git("commit", "-qam", "tells its budget")
    one.run("setup", "t1", "--baseline-runs", "1")
    later = night.Night(tmp_path, AUTORESEARCH_SCALE="")  # empty counts as unset
    assert "keep" in later.attempt("halve", LR=0.5)
    assert "budget: 3" in one.text("results/t1/0002/1/run.log")
    other = night.Night(tmp_path, AUTORESEARCH_TIME_BUDGET="4")
    other.edit(DEPTH=6)
    err = other.refuse("try", "-m", "deeper")
    assert "AUTORESEARCH_TIME_BUDGET must be '3' as at setup but is '4'" in err and "unset" in err
    more = night.Night(tmp_path, AUTORESEARCH_MAX_STEPS="9")
    assert "AUTORESEARCH_MAX_STEPS must be unset as at setup but is '9'" in more.refuse("try", "-m", "deeper")
    assert len(one.records()) == 2


def test_setup_refuses_a_bad_tag(tmp_path):
    one = night.fresh(tmp_path)
    assert "but got 'a b'" in one.refuse("setup", "a b")
    for tag in ("Nov20", "../x", "x.lock", "a..b", "-x", "manual", "x" * 64):
        with pytest.raises(Refused, match="tag"):
            setup.check_tag(Campaign.open(tmp_path, one.env, print, tag), is_begun=False)
    assert one.git("branch", "--show-current") == "main"


def test_setup_refuses_an_existing_tag_and_names_the_switch(tmp_path):
    one = night.begun(tmp_path)
    assert "`git switch autoresearch/t1`" in one.refuse("setup", "t1")
    one.git("switch", "-q", "main")
    one.git("branch", "autoresearch/t2")
    assert "git branch -m" in one.refuse("setup", "t2")


def test_setup_refuses_dirty_tracked_files_and_names_them(tmp_path):
    one = night.fresh(tmp_path)
    (one.root / "rules.txt").write_text("other\n")
    assert "rules.txt" in (err := one.refuse("setup", "t1")) and "git stash" in err
    assert not (one.root / "results" / "t1").exists()


def test_setup_refuses_outside_a_repository_and_an_unknown_commit(tmp_path):
    assert "git init" in night.Night(tmp_path).refuse("setup", "t1")
    assert "no commit 'nowhere'" in night.fresh(tmp_path).refuse("setup", "t1", "--from", "nowhere")


def test_setup_refuses_missing_data_in_the_words_of_prepare(tmp_path):
    one = night.fresh(tmp_path / "repo", own=True, AUTORESEARCH_CACHE=str(tmp_path / "nowhere"))
    assert "run `uv run prepare.py`" in one.refuse("setup", "t1")
    assert one.git("branch", "--show-current") == "main"
    one = night.Night(one.root)
    assert "0123456789ab" in one.run("setup", "t1").stdout


def test_setup_says_that_the_machine_is_restless(tmp_path):
    one = night.fresh(tmp_path)
    train = one.root / "train.py"
    train.write_text(train.read_text().replace('"training_seconds: 1.0', 'f"training_seconds: {folder.name}.0'))
    one.git("commit", "-qam", "the second run takes twice as long")
    out = one.run("setup", "t1").stdout
    assert "note: the same code trained at 500,000 to 1,000,000 tokens/s" in out
    assert "500,000" in one.run("show", "1").stdout


def test_setup_refuses_a_mutable_file_that_is_not_tracked(tmp_path):
    one = night.fresh(tmp_path)
    one.arena('mutable = ["model.py"]\n' + night.ARENA)
    assert "model.py must be in commit" in one.refuse("setup", "t1")


def test_setup_moves_older_records_aside_and_never_overwrites(tmp_path):
    one = night.fresh(tmp_path)
    (one.root / "results.tsv").write_text("mine\n")
    (one.root / "notes.md").write_text("my notes\n")
    one.run("setup", "t1", "--baseline-runs", "1")
    assert one.text("results/before-t1/results.tsv") == "mine\n"
    assert one.text("results/before-t1/notes.md") == "my notes\n"
    first = one.text("results.tsv")
    one.run("setup", "t2", "--baseline-runs", "1")
    assert one.text("results/t1/results.tsv") == first
    assert json.loads(one.text("results/t2/pins.json"))["previous_tag"] == "t1"
    one.git("switch", "-q", "autoresearch/t1")  # back at the older tag, its table comes back
    one.attempt("halve", LR=0.5)
    assert [row["description"] for row in one.rows()] == ["baseline", "halve"]
    assert one.text("results.tsv").startswith(first)
    (one.root / "results" / "before-t3").mkdir()
    (one.root / "results" / ".tag").unlink()
    (one.root / "results" / "before-t3" / "results.tsv").write_text("taken\n")
    one.git("switch", "-q", "main")
    assert "move those away" in one.refuse("setup", "t3")
    assert one.text("results/before-t3/results.tsv") == "taken\n"


def test_setup_begins_from_another_commit(tmp_path):
    one = night.fresh(tmp_path)
    base = one.git("rev-parse", "HEAD")
    (one.root / "rules.txt").write_text("newer\n")
    one.git("commit", "-qam", "newer rules")
    one.run("setup", "t1", "--from", base, "--baseline-runs", "1")
    assert one.tip() == base
    assert "keep" in one.attempt("halve", LR=0.5)


@pytest.mark.parametrize("step", ["pins", "switched", "started", "running", "scored", "decided", "row", "note"])
def test_setup_goes_on_where_it_was_killed(tmp_path, step):
    one = night.fresh(tmp_path)
    assert one.python(CUT, step).returncode == -9
    one.run("setup", "t1")
    assert [row["description"] for row in one.rows()] == ["baseline"]
    assert sum(trial["score"] is not None for trial in one.record(1)["trials"]) == 2
    assert one.record(1)["state"] == "closed" and one.refs() == {"0001": one.tip()}
    assert one.text("notes.md").count("### 0001: baseline") == 1


def test_setup_says_why_the_baseline_gave_no_score_and_can_be_repeated(tmp_path):
    one = night.fresh(tmp_path)
    one.edit(MODE="memory")
    one.git("commit", "-qam", "broken")
    assert "out of memory" in one.refuse("setup", "t1", code=3)
    assert "setup t1" in one.refuse("try", "-m", "x", code=3)
    assert "out of memory" in one.refuse("setup", "t1", code=3)
