"""Diffs as commits: checked and built beside the person's files, run in trees of their own, kept on the branch.

What a diff does when it runs is not covered: it runs with the rights of a trial.
"""

import ast
import hashlib
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from autoresearch import knobs
from autoresearch.errors import BadConfig, GitFailed, Refused
from autoresearch.repo import Repo
from autoresearch.sandbox import files
from autoresearch.search import edits, reach
from autoresearch.search.store import DIRTY
from autoresearch.search.tree import Tree

MOST_WORDS = 2000
MOST_CHARS = 1 << 20  # of a diff
MOST_SOURCE = 1 << 18  # of a mutable file, all of which a model reads


@dataclass
class Code:
    """The code of a campaign."""

    repo: Repo
    name: str
    """Of the campaign; its commits are at refs/autoresearch/search/<name>/NNNN."""
    mutable: str
    """The file that diffs may change, from the repository's root; empty: any but the frozen one."""
    frozen: str = ""
    fixed: tuple[str, ...] = ()
    """Files that evaluation and preparation run, which must stay as well, unless one of them is the mutable file."""
    required_calls: tuple[str, ...] = ()
    is_strict: bool = True
    """Whether a diff may touch the mutable file alone."""
    own: tuple[Path, ...] = ()
    """Folders and files of the campaign, which trials do not see beside their code."""
    branch: str = ""
    """The person's branch, which keeps move; empty where the head is detached."""
    at: str = ""
    """Commit where the campaign left that branch."""
    tip: str = ""
    """Commit that diffs are made against."""
    placed: str = ""
    """The measured commit whose text the branch holds at `at`, which may have commits of the person besides."""

    def begin(self) -> None:
        """Start from the commit that is checked out."""
        self.branch, self.at = self.repo.branch(), self.repo.resolve("HEAD")
        self.tip = self.placed = self.at

    def state(self) -> dict[str, str]:
        """What the store keeps."""
        return {"branch": self.branch, "at": self.at, "tip": self.tip, "placed": self.placed}

    def restore(self, state: Mapping[str, str]) -> None:
        """Go on where the store says the campaign was."""
        self.branch, self.at, self.tip = state["branch"], state["at"], state["tip"]
        self.placed = state.get("placed", self.at)

    def standing(self) -> str:
        """Commit of the checkout, followed by `-dirty` where tracked files differ from it."""
        rows = self.repo.run("status", "--porcelain=v2", "--branch", "--untracked-files=no").splitlines()
        head = next(row.removeprefix("# branch.oid ") for row in rows if row.startswith("# branch.oid "))
        return head if all(row.startswith("#") for row in rows) else f"{head}{DIRTY}"

    def digest(self) -> str:
        """What tells the tracked files of the checkout, with their edits, from others."""
        changes = self.repo.run("diff", "--no-ext-diff", "--no-textconv", "--no-color", "--binary", "HEAD", "--")
        tree = self.repo.run("rev-parse", "HEAD^{tree}")
        return hashlib.sha256(f"{tree}\n{changes}".encode(errors="surrogateescape")).hexdigest()

    def source(self) -> str:
        """Text of the mutable file at the tip."""
        return self.repo.show(self.tip, self.mutable) if self.mutable else ""

    def check(self, tip: str, diff: str) -> str:
        """Why a diff cannot become a commit, in words for its author; empty where it can."""
        try:
            self.build(tip, diff, "check")
        except Refused as error:
            return str(error)
        return ""

    def build(self, tip: str, diff: str, message: str) -> str:
        """The commit that a diff makes of `tip`; nothing but the object database is touched.

        Raises:
            Refused: it does not apply, touches another file, does not parse, or loses a call that is required.
        """
        if len(diff) > MOST_CHARS:
            raise Refused(f"a diff must have at most {MOST_CHARS:,} characters but has {len(diff):,}")
        text = aimed(diff, self.mutable) if self.mutable else diff
        try:
            commit = self.repo.with_patch(tip, text if text.endswith("\n") else text + "\n", message)
        except GitFailed as error:
            words = str(error).partition(f"{self.repo.root}: ")[2]
            raise Refused(f"the diff must apply to {self.mutable or 'the code'}: {words}"[:MOST_WORDS]) from error
        changed = self.repo.changed(tip, commit)
        if not changed:
            raise Refused("the diff must change something but changes nothing")
        if self.mutable and self.is_strict and changed != [self.mutable]:
            raise Refused(f"the diff may change {self.mutable} alone but changes {', '.join(changed)}")
        if self.frozen in changed:
            raise Refused(f"{self.frozen} is frozen and must stay as it is")
        if touched := sorted(({*self.fixed} - {self.mutable}) & {*changed}):
            raise Refused(f"{', '.join(touched)} must stay, since eval_cmd or prepare_cmd runs it and no key names it")
        for path in changed:
            self._check_source(tip, commit, path)
        return commit

    def _check_source(self, tip: str, commit: str, path: str) -> None:
        mode, new_mode = self.repo.entry(tip, path)[0], self.repo.entry(commit, path)[0]
        if not new_mode:
            raise Refused(f"{path} must stay but the diff removes it")
        if new_mode != (mode or "100644"):
            raise Refused(f"{path} must be a plain file as before but goes from mode {mode or 'none'} to {new_mode}")
        if not path.endswith(".py"):
            return
        old, new = self.repo.show(tip, path) if mode else "", self.repo.show(commit, path)
        if path == self.mutable and len(new) > max(MOST_SOURCE, len(old)):
            raise Refused(f"{path} must have at most {MOST_SOURCE:,} characters but would have {len(new):,}")
        if hidden := edits.invisible(old, new):
            raise Refused(f"{path} must get no invisible characters but gets {', '.join(hidden[:5])}; write escapes")
        try:
            tree = knobs.parse(new)
        except Refused as error:
            raise Refused(f"{path} must parse after the diff but: {str(error.__cause__) or error}") from error
        if path == self.mutable and (faults := [*self._broken_calls(old, tree)]):
            raise Refused(f"{path} must {'; and '.join(faults)}")

    def _broken_calls(self, old: str, new: ast.Module) -> Iterator[str]:
        """What is wrong with the calls that are required, of those that the file had."""
        try:
            before = knobs.parse(old)
        except Refused:
            return  # there were none
        roots = set(self.required_calls)
        for look in (reach.called, reach.called_anywhere):
            had, has = look(before), look(new)
            forms = {name: {one for one in had if reach.bare(one) == name} for name in self.required_calls}
            if lost := sorted(name for name, ways in forms.items() if ways and not ways & has):
                yield f"go on calling {', '.join(lost)} as it does, where it can be reached"
                return
            roots |= {way.partition(".")[0] for ways in forms.values() for way in ways}
        for name in sorted(roots - {""}):
            if others := reach.bindings(new, name) - reach.bindings(before, name):
                yield f"leave `{name}` its meaning but has a new {', '.join(sorted(others))}"

    def tree(self, commit: str, folder: Path, workdir: Path) -> Tree:
        """The tree of a trial.

        Args:
            folder: of the trial.
            workdir: of the target, inside the repository.
        """
        return Tree(self.repo, commit, folder / "code", workdir, self.own)

    def clear(self, folder: Path) -> None:
        """Take a trial's tree away; its commit stays reachable."""
        for name in ("code", "trained"):
            files.remove(folder / name)

    def claim(self, campaign: str) -> None:
        """Make the name the campaign's own in this repository, so that no other campaign moves its references.

        Args:
            campaign: what tells it from others of this name.

        Raises:
            BadConfig: another has it.
        """
        blob = self.repo.run("hash-object", "-w", "--stdin", stdin=campaign)
        try:
            self.repo.keep_reachable(place(self.name, "owner"), blob)
        except GitFailed as error:
            if owner(self.repo, self.name) in ("", campaign):
                raise
            raise BadConfig(f"name {taken(self.repo, self.name)}") from error

    def remember(self, number: int, commit: str) -> str:
        """Keep a trial's commit reachable for good; returns it, or the one of the same code that was kept before."""
        names = (f"{number:04d}" + (f"-{again}" if again else "") for again in itertools.count())
        for ref in (place(self.name, name) for name in names):
            there = self.repo.refs(ref).get(ref, "")
            if there and self._is_same(there, commit):
                return there
            if not there:
                self.repo.keep_reachable(ref, commit)
                return commit
        raise AssertionError("names do not end")

    def _is_same(self, one: str, other: str) -> bool:
        return self.repo.parents(one) == self.repo.parents(other) and not self.repo.changed(one, other)

    def keep(self, commit: str, message: str) -> str:
        """Make a measured commit the tip, and bring it to the person's branch if nothing there is in its way.

        Returns:
            What the person should know; empty where branch and files are as the commit.

        Raises:
            GitFailed: git cannot write just now; to be done again.
        """
        self.tip = commit
        head, branch = self.repo.resolve("HEAD"), self.repo.branch()
        changed, theirs = self.repo.changed(self.placed, commit), self.repo.changed(self.placed, head)
        is_there = branch != "" and branch == self.branch and self._descends(head)
        if is_there and not {*changed} & {*self.repo.changed(head, commit)}:
            self.at, self.placed = head, commit  # it was cut off after the branch had moved
            return ""
        if not is_there or {*changed} & {*theirs}:
            return f"kept as {commit[:12]}, not on a branch: yours is no longer where the campaign left it"
        new = commit
        if self.repo.parents(commit) != [head]:
            new = self.repo.with_patch(head, self._patch(self.placed, commit), message)
        left = self.repo.move_branch(branch, head, new, changed)
        said = [f"{', '.join(left)} has newer edits, which stay; the kept text is in {new[:12]}"] if left else []
        if head != self.at:
            said.append(f"kept on top of your commits, which trials do not see: {', '.join(theirs)[:300]}")
        self.at, self.placed = new, commit
        return "; ".join(said)

    def _descends(self, head: str) -> bool:
        """Whether a commit is the one where the campaign left the branch, or came of it."""
        return not self.repo.run("rev-list", "-n", "1", self.at, f"^{head}", "--")

    def _patch(self, old: str, new: str) -> str:
        words = ("diff-tree", "-r", "-p", "--binary", "--full-index", "--no-renames", "--no-ext-diff", "--no-textconv")
        return self.repo.run(*words, old, new, "--") + "\n"


def place(name: str, what: str) -> str:
    """A reference of a campaign."""
    return f"refs/autoresearch/search/{name}/{what}"


def owner(repo: Repo, name: str) -> str:
    """The campaign that has run diffs under a name; empty where none has."""
    ref = place(name, "owner")
    return repo.run("cat-file", "blob", ref) if repo.exists(ref) else ""


def taken(repo: Repo, name: str) -> str:
    """What is said of a name that another campaign has."""
    below = place(name, "")
    free = f"git for-each-ref --format='delete %(refname)' {below} | git update-ref --stdin"
    return (
        f"must be one that no other campaign has but {name!r} belongs to one with another store, whose commits in "
        f"{repo.root} would be overwritten; choose another, or give these up with `{free}`"
    )


def aimed(diff: str, mutable: str) -> str:
    """A diff whose headers name the mutable file from the repository's root, where they name the end of its path."""
    return "\n".join(_aimed(line, mutable) for line in diff.split("\n"))


def _aimed(line: str, mutable: str) -> str:
    for start in ("--- ", "+++ "):
        path = line.removeprefix(start).partition("\t")[0]
        bare = path.strip().removeprefix("a/" if start == "--- " else "b/").removeprefix("./")
        if line.startswith(start) and bare and (mutable == bare or mutable.endswith(f"/{bare}")):
            return f"{start}{'a' if start == '--- ' else 'b'}/{mutable}"
    if line.startswith("diff --git ") and len(words := line.split(" ")) == 4:
        bare = words[2].removeprefix("a/").removeprefix("./")
        if mutable == bare or mutable.endswith(f"/{bare}"):
            return f"diff --git a/{mutable} b/{mutable}"
    return line
