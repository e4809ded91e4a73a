"""A tag on a commit of the shared files alone: everything else stays where it lies, and the way back is safe."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import night
import pytest
import shared
from shared import root_of

from autoresearch.arena import SHARED
from autoresearch.attempt import setup
from autoresearch.attempt.campaign import Campaign
from autoresearch.errors import GitFailed, Refused
from autoresearch.records import Attempt
from autoresearch.repo import Repo

NUM_STEPS = 6
BEGIN = """
import os, sys
from pathlib import Path
from autoresearch.attempt import setup
from autoresearch.attempt.campaign import Campaign
setup.prepare_tag(Campaign.open(Path.cwd(), os.environ, print, "t1"), sys.argv[1], "now")
"""
FATAL_GIT = """#!/bin/sh
case " $* " in *" update-index "* | *" checkout-index "* | *" symbolic-ref -m "* | *" reset "* | *" update-ref "*)
  COUNT=$(cat {folder}/count)
  if [ "$COUNT" = {at} ]; then kill -9 $PPID; exit 1; fi
  echo $((COUNT + 1)) > {folder}/count
esac
exec {git} "$@"
"""


def fatal_git(folder: Path, at: int) -> str:
    """A path on which git kills whoever calls it just before step `at` that changes something."""
    folder.mkdir()
    (folder / "count").write_text("0")
    (folder / "git").write_text(FATAL_GIT.format(folder=folder, at=at, git=shutil.which("git")))
    (folder / "git").chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


def campaign(one: night.Night, tag: str = "t1") -> Campaign:
    return Campaign.open(one.root, one.env, lambda text: None, tag)


def begin(one: night.Night, start: str, tag: str = "t1", **more: list[str]) -> Attempt:
    return setup.prepare_tag(campaign(one, tag), start, "now", **more)


def files(one: night.Night) -> dict[str, str]:
    """All that lies in the working tree, what runs leave aside."""
    paths = [path for path in sorted(one.root.rglob("*")) if path.is_file()]
    named = {str(path.relative_to(one.root)): path for path in paths}
    return {
        name: path.read_text()
        for name, path in named.items()
        if not name.startswith((".git/", "results", "notes", "__pycache__"))
    }


def test_root_commit_is_the_same_for_everybody(tmp_path: Path) -> None:
    one = shared.fresh(tmp_path / "one")
    other = shared.fresh(tmp_path / "two", GIT_AUTHOR_NAME="other", GIT_AUTHOR_EMAIL="o@example.org")
    other.git("commit", "-q", "--allow-empty", "-m", "more history")
    root = root_of(one)
    assert root == root_of(other) == root_of(one, root)
    assert one.git("ls-tree", "-r", "--name-only", root).split() == sorted(SHARED)
    assert one.git("rev-list", root) == root
    assert one.git("fsck", "--strict", "--no-dangling") == ""
    other.edit(LR=0.9)
    other.git("commit", "-qam", "another start")
    assert root_of(other) != root
    (other.root / "uv.lock").unlink()
    other.git("commit", "-qam", "no lock")
    with pytest.raises(Refused, match=r"uv\.lock must be in commit"):
        root_of(other)


def test_setup_beside_leaves_every_file_where_it_lies(tmp_path: Path) -> None:
    one = shared.fresh(tmp_path)
    (one.root / "mine.txt").write_text("mine\n")
    (one.root / "staged.txt").write_text("staged\n")
    before, root = files(one), root_of(one)
    attempt = begin(one, root)
    assert files(one) == before
    assert one.git("branch", "--show-current") == "autoresearch/t1" and one.tip() == root == attempt.commit
    assert one.git("ls-files").split() == sorted(SHARED)
    untracked = {line[3:] for line in one.git("status", "--porcelain").splitlines()}
    assert untracked == {".gitignore", "README.md", "docs/", "mine.txt", "rules.txt", "staged.txt"}


def test_setup_beside_refuses_to_lose_what_is_staged_alone(tmp_path: Path) -> None:
    one = shared.fresh(tmp_path)
    (one.root / "README.md").write_text("staged words\n")
    one.git("add", "README.md")
    (one.root / "README.md").write_text(one.git("show", "HEAD:README.md") + "\n")
    assert one.git("diff", "--name-only", "HEAD") == ""
    with pytest.raises(Refused, match=r"README\.md is staged otherwise"):
        begin(one, root_of(one))
    assert "staged words" in one.git("diff", "--cached")


def test_setup_beside_goes_on_as_setup_does(tmp_path: Path) -> None:
    one = shared.fresh(tmp_path)
    root = root_of(one)
    assert f"branch autoresearch/t1 at {root[:7]}" in one.run("setup", "t1", "--from", root).stdout
    assert "keep" in one.attempt("halve", LR=0.5) and "discard" in one.attempt("shallow", DEPTH=2)
    assert one.git("ls-tree", "-r", "--name-only", one.tip()).split() == sorted(SHARED)
    assert one.git("rev-parse", "HEAD^") == root and one.git("diff", "HEAD") == ""
    assert (one.root / "README.md").read_text() == "a page\n"
    assert "ok    edits: none" in one.run("doctor", code=None).stdout


def test_setup_beside_leads_back_with_nothing_lost(tmp_path: Path) -> None:
    one = shared.fresh(tmp_path)
    start = one.git("rev-parse", "main")
    one.run("setup", "t1", "--from", root_of(one), "--baseline-runs", "1")
    one.attempt("halve", LR=0.5)
    (one.root / "README.md").write_text("half a sentence\n")
    before = files(one)
    assert "lie here untracked" in one.refuse("setup", "t2", "--from", "main")
    one.git("reset", "--quiet", "main", "--", ".")
    one.git("switch", "--quiet", "main")
    assert files(one) == before and one.git("rev-parse", "HEAD") == start
    assert one.git("diff", "--name-only", "HEAD").split() == ["README.md", "train.py"]
    one.git("restore", "train.py")
    one.git("symbolic-ref", "HEAD", "refs/heads/autoresearch/t1")  # and to the tag again
    one.git("reset", "--quiet")
    assert (one.root / "README.md").read_text() == "half a sentence\n"
    assert one.git("diff", "--name-only", "HEAD") == "train.py"
    one.git("restore", "train.py")
    assert "discard" in one.attempt("shallow", DEPTH=2)


def test_setup_beside_begins_from_another_agents_train(tmp_path: Path) -> None:
    one = shared.fresh(tmp_path)
    theirs = one.git("rev-parse", "HEAD")
    one.edit(LR=0.5)
    one.git("commit", "-qam", "theirs")
    theirs = root_of(one)
    one.git("reset", "--quiet", "--hard", "HEAD~1")
    begin(one, theirs, foreign=[theirs])
    assert "LR = 0.5" in one.text("train.py") and one.git("diff", "HEAD") == ""
    assert campaign(one).pins.foreign == [theirs]
    begin_again = begin(one, "HEAD")  # as the same command does after a kill
    assert begin_again.commit == theirs


@pytest.mark.parametrize("name", ["prepare.py", "pyproject.toml", "uv.lock"])
def test_setup_beside_refuses_other_frozen_files(tmp_path: Path, name: str) -> None:
    one = shared.fresh(tmp_path)
    path = one.root / name
    path.write_text(path.read_text() + "\n# other\n")
    one.git("commit", "-qam", "other rules")
    theirs = root_of(one)
    one.git("reset", "--quiet", "--hard", "HEAD~1")
    before = files(one)
    with pytest.raises(Refused, match=f"{name} must be as in {theirs[:7]}"):
        begin(one, theirs)
    assert files(one) == before and one.git("branch", "--show-current") == "main"
    assert not (one.root / "results" / "t1").exists()


@pytest.mark.parametrize("name", ["train.py", "README.md"])
def test_setup_beside_refuses_unfinished_edits(tmp_path: Path, name: str) -> None:
    one = shared.fresh(tmp_path)
    root = root_of(one)
    (one.root / name).write_text("unfinished\n")
    with pytest.raises(Refused, match=f"{name} differ"):
        begin(one, root)
    assert (one.root / name).read_text() == "unfinished\n" and one.git("branch", "--show-current") == "main"


@pytest.mark.parametrize("at", [*range(NUM_STEPS), 99])
def test_setup_beside_goes_on_wherever_it_was_killed(tmp_path: Path, at: int) -> None:
    one = shared.fresh(tmp_path / "repo")
    one.edit(LR=0.5)
    one.git("commit", "-qam", "theirs")
    theirs = root_of(one)
    one.git("reset", "--quiet", "--hard", "HEAD~1")
    before, tools = files(one), tmp_path / "tools"
    cut = night.Night(one.root, PATH=fatal_git(tools, at)).python(BEGIN, theirs)
    assert cut.returncode == (-9 if at < NUM_STEPS else 0), cut.stderr
    assert (tools / "count").read_text().strip() == str(min(at, NUM_STEPS)), "there are more steps to be killed at"
    begin(one, theirs)
    after = files(one)
    assert {name for name in before if before[name] != after[name]} == {"train.py"} and "LR = 0.5" in after["train.py"]
    assert one.git("diff", "HEAD") == "" and one.git("ls-files").split() == sorted(SHARED) and one.tip() == theirs


def test_strangers_code_is_not_run_unconfined(tmp_path: Path) -> None:
    one = shared.fresh(tmp_path)
    root = root_of(one)
    begin(one, root, foreign=[root])
    loose = replace(campaign(one), sandboxed=False)
    with pytest.raises(Refused, match=f"code of strangers \\({root[:7]}\\) runs confined or not at all"):
        loose.check_pins()
    with pytest.raises(Refused, match="strangers"):
        setup.fix_pins(loose, root, [root])
    loose.check_confinement([])


def test_stand_on_needs_a_branch(tmp_path: Path) -> None:
    one = shared.fresh(tmp_path)
    with pytest.raises(GitFailed):
        Repo(one.root, {**os.environ, **one.env}).stand_on("nowhere", ["train.py"])
    assert one.git("branch", "--show-current") == "main"
