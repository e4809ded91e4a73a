"""The fault matrix of docs/reliability.md: one test for each row."""

import os
import shutil
import signal
import subprocess
import time

import night
import pytest

CUT = """
import os, signal, sys
from dataclasses import replace
from pathlib import Path
from autoresearch.attempt import begin, judge
from autoresearch.attempt.campaign import Campaign
step, count, whom = sys.argv[1], int(sys.argv[2]), sys.argv[3]
campaign = Campaign.open(Path.cwd(), os.environ, print)
def reached(found):
    global count
    count -= found == step
    if found == step and count == 0:
        if whom in ("trial", "both"):
            os.kill(campaign.ledger.read(2).trials[-1].pid, signal.SIGKILL)
        if whom in ("supervisor", "both"):
            os.kill(os.getpid(), signal.SIGKILL)
campaign = replace(campaign, reached=reached)
attempt = begin.begin(campaign, begin.Idea("idea"), "now")
judge.advance(campaign, attempt, lambda: "now")
"""
STEPS = [("started", 1), ("started", 2), ("running", 1), ("running", 2), ("scored", 1), ("decided", 1)]
CLOSING = [("row", 1), ("note", 1), ("branch", 1), ("closed", 1)]


def check(one: night.Night, status: str, base: str) -> None:
    """Everything tells of attempt 0002 once, and the branch is where the status says."""
    record = one.record(2)
    assert (record["state"], record["status"]) == ("closed", status)
    assert [row["status"] for row in one.rows()] == ["keep", status]
    assert one.text("notes.md").count("### 0002: idea") == 1
    assert one.tip() == (record["commit"] if status == "keep" else base)
    assert one.refs()["0002"] == record["commit"]
    assert not any(night.is_alive(trial["pid"]) for trial in record["trials"] if trial["pid"])


def heal(one: night.Night) -> str:
    """Run a command that heals first, and then has nothing to do."""
    return one.refuse("backtrack", "9999", "--why", "to heal")


@pytest.mark.parametrize(("step", "count"), STEPS + CLOSING)
def test_supervisor_killed_at_any_step_of_a_gain(tmp_path, step, count):
    one = night.begun(tmp_path)
    base = one.tip()
    one.edit(LR=0.5)
    assert one.python(CUT, step, str(count), "supervisor").returncode == -signal.SIGKILL
    err = heal(one)
    assert ("0002 was cut off" in err) == (step != "closed")
    finished = (step, count) not in STEPS[:3]
    check(one, "keep" if finished else "crash", base)
    if not finished:  # nobody judged the idea: the edit is still there, and may be tried again
        assert "interrupted" in one.record(2)["trials"][-1]["crash"]["kind"] if one.record(2)["trials"] else count == 1
        assert "keep" in one.run("try", "-m", "idea").stdout
        assert [row["status"] for row in one.rows()] == ["keep", "crash", "keep"]
    assert one.git("status", "--porcelain") == ""


@pytest.mark.parametrize(("step", "count"), CLOSING)
def test_supervisor_killed_while_a_loss_is_closed(tmp_path, step, count):
    one = night.begun(tmp_path)
    base = one.tip()
    one.edit(DEPTH=2)
    assert one.python(CUT, step, str(count), "supervisor").returncode == -signal.SIGKILL
    heal(one)
    check(one, "discard", base)
    assert one.git("status", "--porcelain") == ""


def test_trial_killed_is_a_crash_that_names_the_signal(tmp_path):
    one = night.begun(tmp_path)
    base = one.tip()
    one.edit(LR=0.5, MODE="hang")
    assert one.python(CUT, "running", "1", "trial").returncode == 0
    crash = one.record(2)["trials"][0]["crash"]
    assert crash["kind"] == "killed" and "signal 9" in crash["why"]
    check(one, "crash", base)


def test_supervisor_and_trial_killed_is_interrupted(tmp_path):
    one = night.begun(tmp_path)
    base = one.tip()
    one.edit(LR=0.5, MODE="hang")
    assert one.python(CUT, "running", "1", "both").returncode == -signal.SIGKILL
    assert "crash  interrupted" in heal(one)
    check(one, "crash", base)


def test_supervisor_killed_in_the_shell_leaves_a_trial_that_is_ended(tmp_path):
    one = night.begun(tmp_path)
    base = one.tip()
    one.edit(MODE="orphan", SLEEP_S=0.0)
    process = one.start("try", "-m", "idea")
    saved = one.root / "results/t1/0002/1/progress.jsonl"
    night.until(lambda: saved.exists() and one.record(2)["state"] == "running")
    trial = one.record(2)["trials"][0]["pid"]
    process.kill()
    process.communicate()
    heal(one)
    night.until(lambda: not night.is_alive(trial))
    assert one.tip() == base and one.record(2)["state"] == "closed"


def test_run_that_nobody_watched_to_its_end_is_not_scored(tmp_path):
    one = night.begun(tmp_path, own=True)
    base = one.tip()
    one.edit(LR=0.5, SLEEP_S=60.0)
    process = one.start("try", "-m", "idea")
    saved = one.root / "results/t1/0002/1/submission/config.json"
    night.until(lambda: saved.exists() and one.record(2)["state"] == "running")
    process.kill()
    process.communicate()
    assert "interrupted: the supervisor was ended before the trial was" in heal(one)
    check(one, "crash", base)


def test_run_that_ended_while_nobody_watched_is_not_scored(tmp_path):
    """It left a whole submission and summary; but when its clock was done, nobody saw."""
    one = night.begun(tmp_path, own=True)
    base = one.tip()
    one.edit(LR=0.5, MODE="wait")
    process = one.start("try", "-m", "idea")
    folder = one.root / "results/t1/0002/1"
    night.until(lambda: (folder / "progress.jsonl").exists() and one.record(2)["state"] == "running")
    process.kill()
    process.communicate()
    (folder / "go").touch()
    night.until(lambda: not night.processes_with(str(folder)))
    heal(one)
    check(one, "crash", base)
    run = one.record(2)["trials"][0]
    assert run["crash"]["kind"] == "interrupted" and run["score"] is None
    assert "keep" in one.attempt("idea", MODE="fine"), "what nobody judged may be tried again"


def test_supervisor_killed_while_scoring_scores_again(tmp_path):
    one = night.begun(tmp_path, own=True, AUTORESEARCH_CHECKPOINT_STEPS="30")
    base = one.tip()
    one.edit(LR=0.5)
    process = one.start("try", "-m", "idea")
    night.until(lambda: (one.root / "results/t1/0002/1/score.log").exists())
    process.kill()
    process.communicate()
    heal(night.Night(one.root))
    check(one, "keep", base)


def test_referee_killed_while_scoring_is_given_a_second_try(tmp_path):
    one = night.begun(tmp_path, own=True, AUTORESEARCH_CHECKPOINT_STEPS="2")
    base = one.tip()
    one.edit(LR=0.5)
    process = one.start("try", "-m", "idea")
    mark = str(one.root / "results/t1/0002/1/referee")
    night.until(lambda: night.processes_with(mark))
    for pid in night.processes_with(mark):
        os.kill(pid, signal.SIGKILL)
    out, err = process.communicate(timeout=120)
    assert "keep" in out, out + err
    check(one, "keep", base)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopped_by_the_person_leaves_branch_and_edit_as_they_were(tmp_path, number, code):
    one = night.begun(tmp_path)
    base = one.tip()
    one.edit(LR=0.5, MODE="wait")
    text = one.text("train.py")
    process = one.start("try", "-m", "idea")
    night.until(lambda: (one.root / "results/t1/0002/1/progress.jsonl").exists())
    process.send_signal(number)
    out, _ = process.communicate(timeout=60)
    assert process.returncode in (130, code) and "cancelled" in out
    check(one, "cancelled", base)
    assert one.text("train.py") == text and one.git("status", "--porcelain") == "M train.py"
    one.edit(MODE="fine")
    assert "keep" in one.attempt("idea again")


def test_newer_edits_during_a_detached_attempt_stay(tmp_path):
    one = night.begun(tmp_path)
    base = one.tip()
    one.edit(DEPTH=2, MODE="wait")
    assert "0002 runs in the background" in one.run("try", "-m", "idea", "--detach").stdout
    assert "no verdict yet" in one.run("wait", "--timeout", "0").stdout
    assert "attempt 0002" in one.refuse("try", "-m", "second")
    one.edit(DEPTH=4, LR=0.5, MODE="fine")
    text = one.text("train.py")
    (one.root / "results/t1/0002/1/go").touch()
    out = one.run("wait").stdout
    assert "discard" in out and "train.py has newer edits" in out
    check(one, "discard", base)
    assert one.text("train.py") == text
    assert "keep" in one.run("try", "-m", "newer").stdout


def test_damaged_row_is_named_by_line_and_never_dropped(tmp_path):
    one = night.begun(tmp_path)
    damaged = one.text("results.tsv") + "abc\tdamaged\n"
    (one.root / "results.tsv").write_text(damaged)
    one.edit(LR=0.5)
    assert "results.tsv line 3" in one.refuse("try", "-m", "x")
    assert "results.tsv line 3" in one.refuse("log")
    assert one.text("results.tsv") == damaged and len(one.records()) == 1


def test_changed_or_torn_record_is_named(tmp_path):
    one = night.begun(tmp_path)
    one.attempt("shallow", DEPTH=2)
    path = one.root / "results/t1/0001.json"
    text = path.read_text()
    path.write_text(text.replace("baseline", "other"))
    one.edit(LR=0.5)
    assert "0001.json was changed" in one.refuse("try", "-m", "x")
    path.write_text(text[:100])
    assert "0001.json is damaged" in one.refuse("status")


@pytest.mark.slow
def test_a_gigabyte_of_output_stays_bounded(tmp_path):
    one = night.begun(tmp_path)
    assert "keep" in one.attempt("talks", MEGABYTES=1024, LR=0.5)
    log = one.root / "results/t1/0002/1/run.log"
    assert log.stat().st_size < 10 << 20 and "bytes left out" in log.read_text()


def test_hanging_grandchild_ends_with_its_trial(tmp_path):
    one = night.begun(tmp_path)
    begun = time.monotonic()
    assert "keep" in one.attempt("leaves a child", MODE="orphan", LR=0.5)
    folder = one.root / "results/t1/0002/1"
    assert (folder / "orphan.pid").exists()  # its number in the sandbox
    assert not night.processes_with(str(folder))
    assert time.monotonic() - begun < 30


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 2 MB under results/, and in it room that can be taken."""
    one = night.begun(tmp_path / "repo")
    results, aside = one.root / "results", tmp_path / "aside"
    shutil.move(results, aside)
    results.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(results)]
    if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("needs the right to mount a small disk")
    shutil.copytree(aside, results, dirs_exist_ok=True)
    yield one
    subprocess.run(["umount", "--lazy", str(results)], check=True)


def test_full_disk_is_said_and_healed_when_there_is_space(small_disk):
    one = small_disk
    filler = one.root / "results" / "filler"
    one.edit(LR=0.5)
    text, before = one.text("train.py"), one.record(1)
    with open(filler, "wb", buffering=0) as file:
        try:
            while file.write(b"x" * 4096):
                pass
        except OSError:
            pass
    err = one.refuse("try", "-m", "idea")
    assert "No space left on device" in err
    assert one.record(1) == before and one.text("train.py") == text
    filler.unlink()
    assert "keep" in one.run("try", "-m", "idea").stdout
    assert one.rows()[-1]["status"] == "keep" and one.tip() == one.records()[-1]["commit"]
    assert one.git("status", "--porcelain") == ""
