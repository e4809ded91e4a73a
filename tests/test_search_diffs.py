"""Diffs in a search: run in trees of their own, kept as commits, and never at the cost of the person's files."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from searching import Target

from autoresearch.errors import BadConfig
from autoresearch.search.campaign import Campaign
from autoresearch.search.proposal import Proposal

TRAIN = 'import os\nLR = 1.0\nprint("data", open("data.txt").read())\nprint("loss:", LR)\n'


def diff(old: str, new: str) -> str:
    """Of the constant in the second line."""
    changed = f" import os\n-LR = {old}\n+LR = {new}\n {TRAIN.splitlines()[2]}\n"
    return f"--- a/train.py\n+++ b/train.py\n@@ -1,3 +1,3 @@\n{changed}"


@pytest.fixture
def target(tmp_path: Path) -> Target:
    """A committed target with untracked data beside it."""
    found = Target(tmp_path).write(
        TRAIN,
        policy={"type": "llm_diff", "mutable_file": "train.py", "llm_api_url": "http://x", "llm_model": "m"},
    )
    found.commit()
    (tmp_path / "data.txt").write_text("all of it")
    return found


def run_one(campaign: Campaign, text: str) -> None:
    campaign.try_one(Proposal(diff=text, source="by_hand", rationale="try it"))
    campaign.engine.last = None


def statuses(target: Target) -> list[tuple[str, str]]:
    return [(row["status"], row["decision"]) for row in target.rows()]


def test_diff_that_wins_becomes_a_commit_of_the_measured_file(target: Target) -> None:
    first = target.git("rev-parse", "HEAD")
    with target.opened() as campaign:
        run_one(campaign, diff("1.0", "0.5"))
    assert statuses(target) == [("ok", "keep"), ("ok", "keep")], "the untouched target first"
    assert target.git("rev-parse", "HEAD~1") == first
    assert target.git("log", "-1", "--format=%s") == "try it"
    assert "LR = 0.5" in (target.folder / "train.py").read_text()
    assert target.git("status", "--porcelain") == "?? data.txt"
    version = json.loads((target.folder / "artifacts" / "versions" / "v0002" / "version.json").read_text())
    assert version["diff"] == diff("1.0", "0.5") and version["metric"] == 0.5
    assert target.git("rev-parse", "refs/autoresearch/search/test/0002") == target.git("rev-parse", "HEAD")
    assert "data all of it" in (target.trial(2) / "run.log").read_text()
    assert not (target.trial(2) / "code").exists()


def test_diff_that_loses_leaves_files_and_branch_alone(target: Target) -> None:
    first = target.git("rev-parse", "HEAD")
    (target.folder / "notes").write_text("mine")
    with target.opened() as campaign:
        run_one(campaign, diff("1.0", "2.0"))
    assert statuses(target)[1] == ("ok", "discard")
    assert (target.git("rev-parse", "HEAD"), (target.folder / "train.py").read_text()) == (first, TRAIN)
    assert target.git("show", "refs/autoresearch/search/test/0002:train.py").count("LR = 2.0") == 1, "yet not lost"


def test_diff_is_made_against_what_was_kept_last(target: Target) -> None:
    with target.opened() as campaign:
        for old, new in (("1.0", "0.5"), ("0.5", "0.25"), ("1.0", "0.1")):
            run_one(campaign, diff(old, new))
    assert statuses(target)[1:] == [("ok", "keep"), ("ok", "keep"), ("rejected", "discard")]
    assert target.git("rev-list", "--count", "HEAD") == "3"


def test_diffs_side_by_side_keep_what_was_measured(target: Target) -> None:
    """Both were made against the first commit; the file that ends on the branch is the one that won."""
    with target.opened() as campaign:
        run_one(campaign, diff("1.0", "0.5"))
        base = campaign.journal.entries[2].base
        campaign.journal.admit([Proposal(diff=diff("1.0", "0.25"), source="by_hand", rationale="late")], base)
        run_one(campaign, diff("0.5", "0.75"))
    assert statuses(target)[2:] == [("ok", "keep"), ("ok", "discard")]
    assert "LR = 0.25" in (target.folder / "train.py").read_text()
    assert target.git("rev-list", "--count", "HEAD") == "3"


def test_newer_edits_of_the_person_stay(target: Target) -> None:
    with target.opened() as campaign:
        (target.folder / "train.py").write_text(TRAIN + "# mine\n")
        run_one(campaign, diff("1.0", "0.5"))
    assert (target.folder / "train.py").read_text() == TRAIN + "# mine\n"
    assert "LR = 0.5" in target.git("show", "HEAD:train.py")
    assert "newer edits" in target.events("notice")[0]["text"]


def test_commits_of_the_person_beside_the_kept_file_stay_below_what_is_kept(target: Target) -> None:
    with target.opened() as campaign:
        run_one(campaign, diff("1.0", "0.75"))
        base = campaign.journal.entries[2].base
        (target.folder / "other").write_text("x")
        target.git("add", "other")
        target.git("commit", "-qm", "mine")
        run_one(campaign, diff("0.75", "0.5"))
        campaign.journal.admit([Proposal(diff=diff("1.0", "0.25"), source="by_hand", rationale="late")], base)
        run_one(campaign, diff("0.5", "0.1"))
    assert target.git("log", "--format=%s").splitlines() == ["try it", "late", "try it", "mine", "try it", "first"]
    assert target.git("show", "HEAD:other") == "x", "also where a diff was made before that commit"
    assert "LR = 0.1" in (target.folder / "train.py").read_text()
    assert target.git("status", "--porcelain") == "?? data.txt"
    assert ["which trials do not see: other" in one["text"] for one in target.events("notice")] == [True]


def test_branch_where_the_person_changed_the_kept_file_is_left_alone(target: Target) -> None:
    with target.opened() as campaign:
        (target.folder / "train.py").write_text(TRAIN + "# mine\n")
        target.git("commit", "-qam", "mine")
        mine = target.git("rev-parse", "HEAD")
        run_one(campaign, diff("1.0", "0.5"))
    assert target.git("rev-parse", "HEAD") == mine
    assert (target.folder / "train.py").read_text() == TRAIN + "# mine\n"
    assert "no longer where the campaign left it" in target.events("notice")[0]["text"]


def test_branch_that_the_person_took_back_or_left_is_left_alone(target: Target) -> None:
    with target.opened() as campaign:
        run_one(campaign, diff("1.0", "0.75"))
        target.git("switch", "-q", "-c", "other")
        run_one(campaign, diff("0.75", "0.5"))
        target.git("switch", "-q", "main")
        target.git("reset", "-q", "--hard", "HEAD~1")
        first = target.git("rev-parse", "HEAD")
        run_one(campaign, diff("0.5", "0.25"))
    assert target.git("rev-parse", "HEAD") == first
    assert [one["decision"] for one in target.rows()] == ["keep"] * 4
    assert ["not on a branch" in one["text"] for one in target.events("notice")] == [True, True]


def test_keep_that_git_refuses_ends_nothing_and_is_done_after_the_next_trial(target: Target) -> None:
    lock = target.folder / ".git" / "index.lock"
    with target.opened() as campaign:
        lock.write_text("")
        run_one(campaign, diff("1.0", "0.5"))
        assert "LR = 1.0" in (target.folder / "train.py").read_text()
        lock.unlink()
        run_one(campaign, diff("0.5", "0.75"))
    assert statuses(target)[1:] == [("ok", "keep"), ("ok", "discard")]
    assert "LR = 0.5" in target.git("show", "HEAD:train.py") and "LR = 0.5" in (target.folder / "train.py").read_text()
    assert "index.lock" in target.events("notice")[0]["text"]


@pytest.mark.parametrize("has_moved", [False, True])
def test_kept_diff_that_was_cut_off_is_brought_to_the_branch_by_the_next_run(target: Target, has_moved: bool) -> None:
    """As if the kill had come between the record and the branch, or between the branch and its note in the store."""
    first = target.git("rev-parse", "HEAD")
    with target.opened() as campaign:
        run_one(campaign, diff("1.0", "0.5"))
    if not has_moved:
        target.git("reset", "-q", "--hard", first)
    with target.opened() as campaign, campaign.store.transaction():
        campaign.store.set_fact("kept_diff", 0)
        campaign.store.set_fact("code", {"branch": "main", "at": first, "tip": first})
    with target.opened() as campaign:
        campaign.engine.trials.take_over(campaign.engine.done)
        assert campaign.code and campaign.code.at == campaign.code.tip == target.git("rev-parse", "HEAD")
    assert "LR = 0.5" in (target.folder / "train.py").read_text()
    assert target.git("rev-list", "--count", "HEAD") == "2" and not target.events("notice")


def test_diff_of_a_target_below_the_root_of_the_repository(tmp_path: Path) -> None:
    target = Target(tmp_path / "examples" / "small").write(
        TRAIN, policy={"type": "llm_diff", "mutable_file": "train.py", "llm_api_url": "http://x", "llm_model": "m"}
    )
    root = Target(tmp_path)
    root.commit()
    (target.folder / "data.txt").write_text("all")
    with target.opened() as campaign:
        run_one(campaign, diff("1.0", "0.5"))
    assert statuses(target)[1] == ("ok", "keep")
    assert "LR = 0.5" in (target.folder / "train.py").read_text()
    assert root.git("diff", "--name-only", "HEAD~1") == "examples/small/train.py"


def test_run_one_takes_a_diff_from_a_file(target: Target) -> None:
    (target.folder / "a.patch").write_text(diff("1.0", "0.5"))
    ended = target.run("--diff", "a.patch", verb="run-one", OPENAI_API_KEY="k")
    assert ended.code == 0, ended.err
    assert ended.facts()["best"]["metric"] == 0.5
    (target.folder / "b.patch").write_text("nonsense\n")
    ended = target.run("--diff", "b.patch", verb="run-one", OPENAI_API_KEY="k")
    assert statuses(target)[-1] == ("rejected", "discard")
    assert "must apply" in target.rows()[-1]["reason"]


def test_name_of_a_campaign_that_ran_diffs_is_refused_to_another(target: Target) -> None:
    with target.opened() as campaign:
        run_one(campaign, diff("1.0", "0.5"))
    mine = target.git("rev-parse", "refs/autoresearch/search/test/0002")
    policy = {"type": "llm_diff", "mutable_file": "train.py", "llm_api_url": "http://x", "llm_model": "m"}
    other = target.configure(policy=policy, telemetry={"artifacts_dir": "artifacts/other"})
    (target.folder / "a.patch").write_text(diff("0.5", "0.25"))
    ended = [
        other.run(verb="validate", OPENAI_API_KEY="k"),
        other.run("--diff", "a.patch", verb="run-one", OPENAI_API_KEY="k"),
    ]
    assert [one.code for one in ended] == [2, 2] and "name: must be one that no other" in ended[0].err
    with pytest.raises(BadConfig, match="name must be one"), other.opened():  # without the checks, in the same moment
        pass
    other = target.configure(telemetry={"artifacts_dir": "artifacts/plain"})
    ended = [other.run("--diff", "a.patch", verb="run-one"), other.run()]
    assert [one.code for one in ended] == [2, 0], "without diffs a name may be shared"
    assert target.git("rev-parse", "refs/autoresearch/search/test/0002") == mine

    free = re.search(r"`(git for-each-ref .*)`", ended[0].err)
    assert free and target.git("log", "--all", "--oneline")
    subprocess.run(["sh", "-c", free[1]], cwd=target.folder, check=True)
    assert other.run("--diff", "a.patch", verb="run-one").code == 0


def test_commits_of_trials_are_never_moved_even_by_a_copy_of_the_campaign(target: Target) -> None:
    with target.opened() as campaign:
        run_one(campaign, diff("1.0", "2.0"))
    shutil.copytree(target.folder / "artifacts", target.folder / "artifacts" / "copied")
    ref = "refs/autoresearch/search/test/0003"
    with target.opened() as campaign:
        run_one(campaign, diff("1.0", "3.0"))
    first = target.git("rev-parse", ref)
    policy = {"type": "llm_diff", "mutable_file": "train.py", "llm_api_url": "http://x", "llm_model": "m"}
    target.configure(policy=policy, telemetry={"artifacts_dir": "artifacts/copied/runs"})
    with target.opened() as campaign:
        run_one(campaign, diff("1.0", "4.0"))
        assert campaign.code
        again = campaign.code.build(first + "^", diff("1.0", "3.0"), "again")
        assert campaign.code.remember(3, again) == first, "the same code again, as after a kill"
    assert target.git("rev-parse", ref) == first
    assert "LR = 4.0" in target.git("show", f"{ref}-1:train.py")


def test_campaign_begun_before_names_were_claimed_goes_on(target: Target) -> None:
    with target.opened() as campaign, campaign.store.transaction():
        campaign.store.connection.execute("DELETE FROM facts WHERE name = 'id'")
        target.git("update-ref", "-d", "refs/autoresearch/search/test/owner")
    with target.opened() as campaign:
        run_one(campaign, diff("1.0", "0.5"))
    assert statuses(target)[-1] == ("ok", "keep")


def test_diff_outside_a_repository_is_rejected(tmp_path: Path) -> None:
    target = Target(tmp_path).write(TRAIN)
    with target.opened() as campaign:
        campaign.try_one(Proposal(diff=diff("1.0", "0.5"), source="by_hand"))
    assert statuses(target)[-1] == ("rejected", "discard")
    assert "git repository" in target.rows()[-1]["reason"]
