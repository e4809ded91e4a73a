"""repo.py, with real git."""

import os
import subprocess
from pathlib import Path

import pytest

from autoresearch.errors import GitFailed, Refused
from autoresearch.repo import Repo

OLD, NEW, NEWER = "DEPTH = 1\n", "DEPTH = 2\n", "DEPTH = 3\n"
REF = "refs/autoresearch/t/0001"


def variables(home: Path) -> dict[str, str]:
    """An environment with no git configuration of this machine."""
    return {"PATH": os.environ["PATH"], "HOME": str(home), "GIT_CONFIG_NOSYSTEM": "1"}


def git(repo: Repo, *args: str) -> str:
    """git as a person calls it, hooks and all."""
    env = {**variables(repo.root.parent), "GIT_AUTHOR_DATE": "2026-01-01T00:00:00Z"}
    env |= {f"GIT_{who}_{what}": "p@x" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    done = subprocess.run(
        ["git", *args], cwd=repo.root, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def write(repo: Repo, path: str, text: str) -> None:
    (repo.root / path).parent.mkdir(parents=True, exist_ok=True)
    (repo.root / path).write_text(text)


def read(repo: Repo, path: str) -> str:
    return (repo.root / path).read_text()


@pytest.fixture
def repo(tmp_path) -> Repo:
    root = tmp_path / "root"
    root.mkdir()
    one = Repo(root, variables(tmp_path))
    git(one, "init", "--quiet", "--initial-branch", "night")
    for path in ("train.py", "staged.txt", "unstaged.txt", "both.txt"):
        write(one, path, OLD)
    git(one, "add", ".")
    git(one, "commit", "--quiet", "-m", "start")
    return one


@pytest.fixture
def busy(repo) -> Repo:
    """The repository with edits of a person in every state that git knows."""
    write(repo, "staged.txt", NEW)
    write(repo, "both.txt", NEW)
    write(repo, "added.txt", NEW)
    git(repo, "add", "staged.txt", "both.txt", "added.txt")
    write(repo, "both.txt", NEWER)
    write(repo, "unstaged.txt", NEW)
    write(repo, "untracked.txt", NEW)
    return repo


STATUS = "A  added.txt\nMM both.txt\nM  staged.txt\n M unstaged.txt\n?? untracked.txt"


def attempt(repo: Repo, text: str = NEW) -> tuple[str, str]:
    """Commit an edit of train.py; the hashes before and after."""
    old = repo.resolve("HEAD")
    write(repo, "train.py", text)
    return old, repo.commit(["train.py"], "deeper")


def status(repo: Repo) -> str:
    return git(repo, "status", "--porcelain=v1")


# --- commit


def test_commit_takes_its_files_alone(busy):
    _, new = attempt(busy)
    assert git(busy, "show", "--format=%s", "--name-only", new).split() == ["deeper", "train.py"]
    assert status(busy) == STATUS
    assert git(busy, "show", ":both.txt") + "\n" == NEW
    assert read(busy, "both.txt") == NEWER


def test_commit_runs_no_hook_no_monitor_and_no_signer(repo, tmp_path):
    shout = tmp_path / "shout"
    shout.write_text(f"#!/bin/sh\ntouch {tmp_path}/heard\nexit 1\n")
    shout.chmod(0o755)
    hooks = ("pre-commit", "prepare-commit-msg", "commit-msg", "post-commit", "reference-transaction",
             "post-index-change", "post-checkout")  # fmt: skip
    for hook in hooks:
        os.symlink(shout, repo.root / ".git" / "hooks" / hook)
    settings = {"core.fsmonitor": str(shout), "commit.gpgSign": "true", "gpg.program": str(shout),
                "diff.external": str(shout), "core.editor": str(shout), "commit.cleanup": "strip"}  # fmt: skip
    for name, value in settings.items():
        git(repo, "config", name, value)
    write(repo, "train.py", NEW)
    old = repo.resolve("HEAD")
    new = repo.commit(["train.py"], "# 2 layers")
    assert git(repo, "-c", "core.fsmonitor=", "show", "-s", "--format=%s", new) == "# 2 layers"
    repo.keep_reachable(REF, new)
    assert repo.dirty() == []
    assert repo.move_branch("night", new, old, ["train.py"]) == []
    assert "DEPTH = 2" in repo.diff(old, new)
    assert repo.without(new, old, new, ["train.py"])
    assert not (tmp_path / "heard").exists()


def test_commit_works_without_a_name_and_keeps_a_configured_one(repo):
    _, nameless = attempt(repo)
    assert (
        git(repo, "show", "-s", "--format=%an %ae %cn", nameless) == "autoresearch autoresearch@localhost autoresearch"
    )
    git(repo, "config", "user.name", "Ada")
    git(repo, "config", "user.email", "ada@example.org")
    _, named = attempt(repo, NEWER)
    assert git(repo, "show", "-s", "--format=%an %ae %cn", named) == "Ada ada@example.org Ada"


def test_commit_keeps_a_name_given_by_the_environment(repo):
    given = Repo(repo.root, {**variables(repo.root.parent), "GIT_AUTHOR_NAME": "Eve", "GIT_DIR": "/nowhere"})
    _, new = attempt(given)
    assert git(repo, "show", "-s", "--format=%an", new) == "Eve"


def test_commit_works_with_a_detached_head(repo):
    git(repo, "checkout", "--quiet", "--detach")
    old, new = attempt(repo)
    assert repo.branch() == ""
    assert repo.parents(new) == [old]
    assert git(repo, "rev-parse", "night") == old


def test_commit_and_move_work_in_a_worktree(repo):
    git(repo, "worktree", "add", "--quiet", "-b", "other", "../other")
    other = Repo.find(repo.root.parent / "other", variables(repo.root.parent))
    old, new = attempt(other)
    other.keep_reachable(REF, new)
    assert other.move_branch("other", new, old, ["train.py"]) == []
    assert (read(other, "train.py"), read(repo, "train.py")) == (OLD, OLD)
    assert repo.refs("refs/autoresearch/") == {REF: new}
    assert status(other) == status(repo) == ""


ODD = [
    "sub/a b.py",
    'quo"te.py',
    "back\\slash.py",
    "tab\there.py",
    "ünï.py",
    "star*.py",
    ":(top)x.py",
    "[1].py",
    "-x.py",
]


def test_names_that_need_quoting_survive_every_call(repo):
    for path in [*ODD, "1.py", "starlight.py"]:
        write(repo, path, OLD)
    git(repo, "add", "--", ".")
    git(repo, "commit", "--quiet", "-m", "odd")
    old = repo.resolve("HEAD")
    for path in [*ODD, "1.py", "starlight.py"]:
        write(repo, path, NEW)
    assert repo.dirty(ODD) == sorted(ODD)
    new = repo.commit(ODD, "odd ones alone")
    assert sorted(repo.changed(old, new)) == sorted(ODD)
    assert repo.dirty() == ["1.py", "starlight.py"]
    assert repo.num_lines(old, new) == (len(ODD), len(ODD))
    assert set(ODD) <= set(repo.files(new))
    assert [repo.show(new, path) for path in ODD] == [NEW] * len(ODD)
    assert repo.move_branch("night", new, old, ODD) == []
    assert [read(repo, path) for path in ODD] == [OLD] * len(ODD)
    assert read(repo, "1.py") == NEW


def test_commit_adds_a_new_mutable_file_and_passes_over_one_that_never_was(repo):
    write(repo, "model.py", NEW)
    mutable = ["train.py", "model.py", "absent.py"]
    assert repo.dirty() == []
    assert repo.dirty(mutable) == ["model.py"]
    old = repo.resolve("HEAD")
    new = repo.commit(mutable, "a model")
    assert repo.changed(old, new) == ["model.py"]
    assert repo.move_branch("night", new, old, mutable) == []
    assert not (repo.root / "model.py").exists()
    assert status(repo) == ""


# --- the branch


def test_move_branch_restores_the_file_and_nothing_else(busy):
    old, new = attempt(busy)
    assert busy.move_branch("night", new, old, ["train.py"]) == []
    assert busy.resolve("night") == old
    assert read(busy, "train.py") == OLD
    assert status(busy) == STATUS
    assert git(busy, "show", ":both.txt") + "\n" == NEW


def test_move_branch_leaves_newer_edits(repo):
    old, new = attempt(repo)
    write(repo, "train.py", NEWER)
    assert repo.move_branch("night", new, old, ["train.py"]) == ["train.py"]
    assert (repo.resolve("HEAD"), read(repo, "train.py"), status(repo)) == (old, NEWER, "M train.py")


def test_move_branch_leaves_newer_edits_that_are_only_staged(repo):
    old, new = attempt(repo)
    write(repo, "train.py", NEWER)
    git(repo, "add", "train.py")
    write(repo, "train.py", NEW)
    assert repo.move_branch("night", new, old, ["train.py"]) == ["train.py"]
    assert git(repo, "show", ":train.py") + "\n" == NEWER
    assert read(repo, "train.py") == NEW


def test_move_branch_without_restoring_leaves_the_edit_in_the_tree(repo):
    old, new = attempt(repo)
    assert repo.move_branch("night", new, old, ["train.py"], restore=False) == []
    assert (repo.resolve("HEAD"), read(repo, "train.py"), repo.dirty()) == (old, NEW, ["train.py"])


def test_move_branch_of_another_branch_touches_no_file(repo):
    old, new = attempt(repo)
    git(repo, "checkout", "--quiet", "-b", "elsewhere")
    assert repo.move_branch("night", new, old, ["train.py"]) == []
    assert (repo.resolve("night"), repo.resolve("HEAD"), read(repo, "train.py")) == (old, new, NEW)


def test_move_branch_that_has_moved_is_refused_and_nothing_changes(repo):
    old, new = attempt(repo)
    _, newest = attempt(repo, NEWER)
    with pytest.raises(GitFailed, match="must be at"):
        repo.move_branch("night", new, old, ["train.py"])
    assert (repo.resolve("night"), read(repo, "train.py"), status(repo)) == (newest, NEWER, "")


def test_move_branch_cut_off_anywhere_is_finished_by_the_same_call(repo):
    old, new = attempt(repo)
    states: tuple[list[tuple[str, ...]], ...] = (
        [],
        [("update-index", "--cacheinfo", f"100644,{git(repo, 'rev-parse', f'{old}:train.py')},train.py")],
    )
    for done_before in (*states, [*states[1], ("checkout-index", "--force", "train.py")]):
        for command in done_before:
            git(repo, *command)
        assert repo.move_branch("night", new, old, ["train.py"]) == []
        assert (repo.resolve("HEAD"), read(repo, "train.py"), status(repo)) == (old, OLD, "")
        git(repo, "reset", "--hard", "--quiet", new)


def test_move_branch_keeps_the_mode_of_a_file(repo):
    git(repo, "update-index", "--chmod=+x", "train.py")
    git(repo, "commit", "--quiet", "-m", "executable")
    git(repo, "checkout", "--quiet", "--", "train.py")
    old, new = attempt(repo)
    repo.move_branch("night", new, old, ["train.py"])
    assert status(repo) == ""
    assert os.access(repo.root / "train.py", os.X_OK)


def test_branch_is_not_mistaken_for_a_tag_of_its_name(repo):
    git(repo, "tag", "night")
    assert repo.branch() == "night"


# --- references


def test_refs_are_created_once_and_never_moved(repo):
    old, new = attempt(repo)
    repo.keep_reachable(REF, new)
    repo.keep_reachable(REF, new)
    with pytest.raises(GitFailed):
        repo.keep_reachable(REF, old)
    assert repo.refs("refs/autoresearch/t/") == {REF: new}
    assert repo.exists(REF)
    assert not repo.exists("refs/autoresearch/t")


def test_attempts_survive_gc(repo):
    old, new = attempt(repo)
    repo.keep_reachable(REF, new)
    repo.move_branch("night", new, old, ["train.py"])
    _, lost = attempt(repo, NEWER)
    repo.move_branch("night", lost, old, ["train.py"])
    git(repo, "reflog", "expire", "--expire=now", "--all")
    git(repo, "gc", "--prune=now", "--quiet")
    assert repo.show(new, "train.py") == NEW
    with pytest.raises(Refused):
        repo.resolve(lost)


# --- reading


def test_show_returns_the_exact_bytes(repo):
    for content in (b"", b"no end", b"\r\nwin\r\n\r\n", b"\n\n\n", b"\xff\xfe\x00latin \xe9\n", "€\u2028\n".encode()):
        (repo.root / "train.py").write_bytes(content)
        git(repo, "commit", "--quiet", "--allow-empty", "-am", "odd")
        assert repo.show("HEAD", "train.py").encode(errors="surrogateescape") == content


def test_show_of_a_file_that_is_not_there_says_so(repo):
    with pytest.raises(GitFailed, match=r"absent\.py"):
        repo.show("HEAD", "absent.py")


def test_resolve_names_what_it_did_not_find(repo):
    for name in ("cafecafe", "", "--all", "HEAD:train.py"):
        with pytest.raises(Refused, match="no commit"):
            repo.resolve(name)


def test_find_refuses_what_is_no_checkout_in_git_s_words(tmp_path):
    with pytest.raises(Refused, match="not a git repository"):
        Repo.find(tmp_path, variables(tmp_path))
    with pytest.raises(Refused, match="must be a folder"):
        Repo.find(tmp_path / "absent", variables(tmp_path))


def test_find_climbs_to_the_top(repo):
    (repo.root / "sub").mkdir()
    assert Repo.find(repo.root / "sub", variables(repo.root.parent)).root == repo.root


def test_dirty_sees_deletions_and_both_ends_of_a_renaming(repo):
    git(repo, "mv", "staged.txt", "renamed.txt")
    (repo.root / "unstaged.txt").unlink()
    assert repo.dirty() == ["renamed.txt", "staged.txt", "unstaged.txt"]


def test_export_writes_what_a_checkout_would(repo, tmp_path):
    write(repo, ".gitattributes", "train.py export-ignore\nstaged.txt export-subst\n")
    write(repo, "staged.txt", "$Format:%H$\n")
    (repo.root / "link").symlink_to("/etc/hostname")
    git(repo, "add", ".")
    git(repo, "commit", "--quiet", "-m", "attributes")
    write(repo, "train.py", NEWER)
    for name in ("all", "some"):
        (tmp_path / name).mkdir()
    repo.export("HEAD", [], tmp_path / "all")
    repo.export("HEAD", ["train.py"], tmp_path / "some")
    assert (tmp_path / "all" / "train.py").read_text() == OLD
    assert (tmp_path / "all" / "staged.txt").read_text() == "$Format:%H$\n"
    assert (tmp_path / "all" / "link").is_symlink()
    assert os.listdir(tmp_path / "some") == ["train.py"]
    assert status(repo) == "M train.py"
    with pytest.raises(GitFailed):
        repo.export("HEAD", ["absent.py"], tmp_path / "some")


# --- taking a change back


BODY = "".join(f"line {number} \n" for number in range(30))


def test_without_takes_one_change_back_and_leaves_the_later_one(repo):
    write(repo, "train.py", BODY)
    git(repo, "commit", "--quiet", "-am", "body")
    first_old, first = attempt(repo, BODY.replace("line 3 \n", "line three\r\n"))
    _, tip = attempt(repo, BODY.replace("line 3 \n", "line three\r\n").replace("line 25 \n", "line twenty-five\n"))
    for name, value in {"diff.noprefix": "true", "diff.mnemonicPrefix": "true", "apply.whitespace": "error",
                        "color.ui": "always"}.items():  # fmt: skip
        git(repo, "config", name, value)
    found = repo.without(tip, first_old, first, ["train.py"])
    assert repo.show(found, "train.py") == BODY.replace("line 25 \n", "line twenty-five\n")
    assert repo.parents(found) == [tip]
    assert (status(repo), repo.resolve("HEAD")) == ("", tip)


def test_without_a_change_that_was_built_upon_is_refused(repo):
    old, first = attempt(repo)
    _, tip = attempt(repo, NEWER)
    with pytest.raises(GitFailed):
        repo.without(tip, old, first, ["train.py"])
    assert status(repo) == ""
