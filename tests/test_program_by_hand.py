"""The closing section of program.md works without the tooling: real git and, in one walk, real training.

Not covered: the kill at the limit itself (only the limit that is passed on).
"""

import os
import re
import shutil
import sys
from pathlib import Path

import pytest
from playbook import (
    HUB_FILES,
    ROOT,
    Desk,
    assert_others_work_is_untouched,
    block,
    open_desk,
    stand_ins,
    work_in_progress,
)

from autoresearch.notes import CAP_BYTES, HEADINGS


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """A desk whose `uv run train.py` runs a stand-in of few lines, for what needs no training."""
    desk = work_in_progress(stand_ins(open_desk(tmp_path / "work", {}), tmp_path / "tools"))
    for name in ("branch", "records"):
        desk.walk(name)
    return desk


def run(desk: Desk, seed: str = "") -> list[str]:
    """Run and wait; returns what there is to read."""
    desk.walk("run", SEED=seed)
    for _ in range(3):
        if told := desk.walk("wait by hand").splitlines():
            return told
    raise AssertionError("the run did not end")


def try_once(desk: Desk, status: str, bpb: str) -> None:
    """One experiment of the loop with the stand-in."""
    desk.edit(lambda text: re.sub(r"^BPB = .*", f"BPB = {bpb}", text, flags=re.MULTILINE))
    desk.walk("commit", DESCRIPTION=f"BPB {bpb}")
    run(desk)
    desk.walk("log", STATUS=status, DESCRIPTION=f"BPB {bpb}")
    if status != "keep":
        desk.walk("discard")


def promised_keys() -> list[str]:
    """Summary keys that the page shows, in order; `schedule_*` stands for several."""
    sample = re.search(r"^---\n(.*?)^```", (ROOT / "program.md").read_text(), flags=re.MULTILINE | re.DOTALL)
    assert sample
    return [line.split(":")[0] for line in sample[1].splitlines()]


def printed_keys(log: str) -> list[str]:
    """Summary keys of a run.log in order, those under `schedule_` as one."""
    lines = log[log.index("\n---\n") + 5 :].splitlines()
    keys = [line.split(":")[0] for line in lines if re.match(r"\w+:", line)]
    named = ["schedule_*" if key.startswith("schedule_") else key for key in keys if key != "exit_code"]
    return list(dict.fromkeys(named))


def test_setup_opens_empty_records_and_keeps_earlier_ones(tmp_path: Path) -> None:
    desk = work_in_progress(open_desk(tmp_path / "work", {}))
    (desk.root / "results.tsv").write_text("rows of another tag")
    (desk.root / "notes.md").write_text("what another agent knew")
    desk.walk("branch")
    desk.walk("records")
    tag = desk.git("branch", "--show-current").removeprefix("autoresearch/")
    assert re.fullmatch(r"[a-z]{3}\d\d", tag)
    assert desk.rows() == []
    assert (desk.root / "notes.md").read_text() == (ROOT / "notes.md.template").read_text()
    assert (desk.root / f"results/before-{tag}/results.tsv").read_text() == "rows of another tag"
    assert (desk.root / f"results/before-{tag}/notes.md").read_text() == "what another agent knew"
    assert "results" not in desk.git("status", "--short") and "notes.md" not in desk.git("status", "--short")
    assert desk.attempts() == {"0001": desk.git("rev-parse", "HEAD")}
    assert_others_work_is_untouched(desk)


def test_setup_needs_no_more_than_the_files_of_a_hub(tmp_path: Path) -> None:
    desk = open_desk(tmp_path / "work", {}, HUB_FILES)
    desk.walk("branch")
    desk.walk("records")
    notes = (desk.root / "notes.md").read_text()
    assert tuple(re.findall(r"^## (.+)$", notes, flags=re.MULTILINE)) == HEADINGS


def test_setup_again_changes_nothing(desk: Desk) -> None:
    run(desk)
    desk.walk("log", DESCRIPTION="baseline")
    rows = desk.rows()
    desk.walk("branch", expect=128)
    desk.walk("records")
    assert desk.rows() == rows and len(desk.attempts()) == 1


def test_setup_refuses_unfinished_edits_of_the_experiment(tmp_path: Path) -> None:
    desk = open_desk(tmp_path / "work", {})
    desk.edit(lambda text: text + "\n# unfinished\n")
    desk.walk("branch", expect=1)
    assert desk.git("branch", "--show-current") == "main"
    assert desk.train().endswith("# unfinished\n")


@pytest.mark.parametrize(("budget", "limit"), [("", "600"), ("300", "600"), ("145.5", "290"), ("29", "180")])
def test_run_is_limited_to_twice_the_budget(desk: Desk, budget: str, limit: str) -> None:
    desk.environment["AUTORESEARCH_TIME_BUDGET"] = budget
    assert run(desk)[0] == "exit_code: 0"
    assert (desk.root / "../limit").read_text().strip() == limit


def test_run_passes_the_seed_on(desk: Desk) -> None:
    assert run(desk) == ["exit_code: 0", "val_bpb: 1.500042", "peak_vram_mb: 2048.0"]
    assert run(desk, "43")[1] == "val_bpb: 1.500043"


def test_exit_code_tells_a_crash_whatever_was_printed(desk: Desk) -> None:
    desk.edit(lambda text: text + "raise SystemExit(3)\n")
    desk.walk("commit", DESCRIPTION="prints, then fails")
    assert run(desk) == ["exit_code: 3", "val_bpb: 1.500042", "peak_vram_mb: 2048.0"]
    desk.walk("log", STATUS="crash", DESCRIPTION="prints, then fails")
    assert [(row["val_bpb"], row["memory_gb"], row["status"]) for row in desk.rows()] == [("0.000000", "0.0", "crash")]


def test_log_takes_the_last_score(desk: Desk) -> None:
    desk.edit(lambda text: text + "print('val_bpb: 1.25')\n")
    desk.walk("commit", DESCRIPTION="scored again")
    run(desk)
    desk.walk("log", DESCRIPTION="scored again", REASONING="why")
    expected = [desk.git("rev-parse", "--short=7", "HEAD"), "1.250000", "2.0", "keep", "scored again", "why"]
    assert list(desk.rows()[0].values()) == expected


@pytest.mark.parametrize("name", ["records", "commit", "discard", "mend", "backtrack by hand"])
def test_blocks_refuse_a_branch_of_somebody_else(desk: Desk, name: str) -> None:
    desk.git("switch", "--quiet", "main")
    desk.edit(lambda text: text + "# somebody else's edit\n")
    before = desk.git("rev-parse", "HEAD"), desk.attempts(), desk.git("status", "--short")
    assert "not on an autoresearch branch" in desk.sh(block(name)).stderr
    assert before == (desk.git("rev-parse", "HEAD"), desk.attempts(), desk.git("status", "--short"))


def test_commit_takes_train_alone(desk: Desk) -> None:
    desk.edit(lambda text: text + "# more\n")
    assert desk.walk("commit", DESCRIPTION="more") == "attempt 0002\n"
    assert desk.git("show", "--format=%s", "--name-only").split() == ["more", "train.py"]
    assert "A  staged.txt" in desk.git("status", "--short")


def test_discard_moves_one_commit_back_and_only_once(desk: Desk) -> None:
    start = desk.git("rev-parse", "HEAD")
    try_once(desk, "discard", "1.6")
    assert desk.git("rev-parse", "HEAD") == start
    desk.walk("discard")
    assert desk.git("rev-parse", "HEAD") == start
    assert "BPB = 1.6" in desk.git("show", desk.attempts()["0002"] + ":train.py")
    assert_others_work_is_untouched(desk)


def test_discard_never_leaves_the_baseline(desk: Desk) -> None:
    start = desk.git("rev-parse", "HEAD")
    desk.walk("discard")
    assert desk.git("rev-parse", "HEAD") == start


def test_discard_spares_newer_edits_of_train(desk: Desk) -> None:
    desk.edit(lambda text: text + "# tried\n")
    desk.walk("commit", DESCRIPTION="tried")
    desk.edit(lambda text: text + "# already the next idea\n")
    desk.walk("discard", expect=128)
    assert desk.train().endswith("# already the next idea\n")


def test_mend_brings_a_crashed_attempt_back(desk: Desk) -> None:
    desk.edit(lambda text: text + "oops\n")
    desk.walk("commit", DESCRIPTION="a typo")
    desk.walk("discard")
    desk.walk("mend", ATTEMPT="0002")
    assert desk.train().endswith("oops\n")
    desk.walk("mend", expect=1, ATTEMPT="0002")
    desk.edit(lambda text: text.replace("oops\n", "").replace("1.5", "1.4"))
    assert desk.walk("commit", DESCRIPTION="mended") == "attempt 0003\n"


def test_backtrack_returns_to_the_best_keep(desk: Desk) -> None:
    for bpb in ("1.4", "1.3", "1.35", "1.38"):
        try_once(desk, "keep", bpb)
    try_once(desk, "crash", "oops")
    last = desk.git("rev-parse", "HEAD")
    desk.walk("backtrack by hand", REASONING="they did not add up")
    best = desk.attempts()["0003"]
    assert desk.git("rev-parse", "HEAD") == best
    assert "BPB = 1.3\n" in desk.train()
    words = f"back from {last[:7]} to {best[:7]}"
    assert list(desk.rows()[-1].values()) == [best[:7], "1.300042", "2.0", "backtrack", words, "they did not add up"]
    assert last in desk.attempts().values()
    assert_others_work_is_untouched(desk)


@pytest.mark.slow
def test_by_hand_walks_a_real_run_and_a_crash(tmp_path: Path, cache: Path, environment: dict[str, str]) -> None:
    uv = shutil.which("uv") or os.environ["UV"]
    real = {**environment, "AUTORESEARCH_SCALE": "tiny", "AUTORESEARCH_TIME_BUDGET": "2"}
    real |= {"AUTORESEARCH_CACHE": str(cache), "AUTORESEARCH_DATASET": "pysource"}
    real |= {"UV_PROJECT_ENVIRONMENT": sys.prefix, "UV_NO_SYNC": "1", "UV_OFFLINE": "1"}
    real |= {"PATH": f"{os.environ['PATH']}:{Path(uv).parent}"}
    desk = work_in_progress(open_desk(tmp_path / "work", real))
    for name in ("branch", "records"):
        desk.walk(name)
    code, bpb, _ = run(desk)
    assert 0.5 < float(bpb.split()[1]) < 8 and code == "exit_code: 0"
    printed = printed_keys((desk.root / "run.log").read_text())
    assert printed[:9] == promised_keys()[:9]
    assert [key for key in printed if key in promised_keys()] == promised_keys()
    desk.walk("log", DESCRIPTION="baseline")
    baseline = desk.git("rev-parse", "HEAD")

    desk.edit(lambda text: 'raise SystemExit("no good")\n' + text)
    desk.walk("commit", DESCRIPTION="a crash")
    assert run(desk) == ["exit_code: 1"]
    assert "no good" in desk.sh("tail -n 50 run.log").stdout
    desk.walk("log", STATUS="crash", DESCRIPTION="a crash")
    desk.walk("discard")
    assert desk.git("rev-parse", "HEAD") == baseline
    assert len((desk.root / "notes.md").read_bytes()) < CAP_BYTES

    assert [row["status"] for row in desk.rows()] == ["keep", "crash"]
    assert [row["commit"] for row in desk.rows()] == [commit[:7] for commit in desk.attempts().values()]
    assert desk.git("diff", "HEAD", "--", "train.py") == ""
    assert_others_work_is_untouched(desk)
