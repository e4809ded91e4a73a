"""A working tree and its repository: plumbing that touches nothing but what it is told to."""

import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from autoresearch.errors import GitFailed, Refused
from autoresearch.repo.git import IDENTITY, Git

FALLBACK = {name: "autoresearch" if name.endswith("NAME") else "autoresearch@localhost" for name in IDENTITY}
PLAIN_DIFF = ("--no-color", "--no-ext-diff", "--no-textconv", "--src-prefix=a/", "--dst-prefix=b/")
HASH = re.compile(r"[0-9a-f]{40,64}")
LONG_AGO = "autoresearch <autoresearch@localhost> 946684800 +0000"
Entry = tuple[str, str]
"""Mode and object name of a file in a commit or in the index; both empty where there is none."""


class Repo(Git):
    """A working tree and its repository."""

    @classmethod
    def find(cls, start: Path, variables: Mapping[str, str]) -> "Repo":
        """The repository around a folder.

        Raises:
            Refused: there is none, or git does not trust it; in its words.
        """
        try:
            return cls(Path(cls(start, variables).run("rev-parse", "--show-toplevel")), variables)
        except GitFailed as error:
            what = f"{start} must lie in the working tree of a git repository; run `git init` or go to your checkout"
            raise Refused(f"{what}: {error}") from error

    def resolve(self, name: str) -> str:
        """Full hash of a commit.

        Raises:
            Refused: no such commit.
        """
        try:
            return self.run("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
        except GitFailed as error:
            raise Refused(f"no commit {name!r} in this repository; see `git log --all --oneline`") from error

    def branch(self) -> str:
        """Name of the branch that is checked out; empty when the head is detached."""
        return self.run("symbolic-ref", "--quiet", "HEAD", ok=(0, 1)).removeprefix("refs/heads/")

    def exists(self, ref: str) -> bool:
        """Whether a full reference name exists."""
        return ref in self.refs(ref)

    def refs(self, prefix: str) -> dict[str, str]:
        """Full names below a prefix, with what they point to."""
        rows = self.run("for-each-ref", "--format=%(refname) %(objectname)", prefix).splitlines()
        return {name: commit for name, _, commit in (row.rpartition(" ") for row in rows)}

    def dirty(self, paths: list[str] | None = None) -> list[str]:
        """Tracked files that differ from the head, in the index or in the tree; those in `paths` tracked or not."""
        found = self._paths("diff", "--name-only", "-z", "--no-renames", "--no-ext-diff", "HEAD", "--", *(paths or []))
        untracked = self._paths("ls-files", "-z", "--others", "--", *paths) if paths else []
        return sorted({*found, *untracked})

    def untracked(self) -> list[str]:
        """Files that git neither tracks nor ignores."""
        return self._paths("ls-files", "-z", "--others", "--exclude-standard")

    def staged_alone(self) -> list[str]:
        """Files whose staged version is neither that of the head nor that of the tree: a reset would lose it."""
        staged = self._paths("diff", "--cached", "--name-only", "-z", "--no-renames", "HEAD", "--")
        return sorted({*staged} & {*self._paths("diff", "--name-only", "-z", "--no-renames", "--")})

    def changed(self, old: str, new: str) -> list[str]:
        """Files that differ between two commits."""
        return self._paths("diff-tree", "-r", "--name-only", "-z", "--no-renames", old, new, "--")

    def files(self, commit: str) -> list[str]:
        """Paths of a commit's files."""
        return self._paths("ls-tree", "-r", "-z", "--name-only", commit)

    def parents(self, commit: str) -> list[str]:
        """Full hashes of a commit's parents."""
        return self.run("rev-list", "--parents", "-n", "1", commit, "--").split()[1:]

    def diff(self, old: str, new: str, paths: list[str] | None = None) -> str:
        """The difference of two commits, to be read by people."""
        text = self.run("diff", *PLAIN_DIFF, old, new, "--", *(paths or []))
        return text.encode(errors="surrogateescape").decode(errors="replace")

    def diffs(self, pairs: list[tuple[str, str]]) -> list[str]:
        """The difference of each pair of commits, by two processes for all; empty where git knows one of them not."""
        names = sorted({name for pair in pairs for name in pair if HASH.fullmatch(name)})
        rows = self.run("cat-file", "--batch-check=%(objectname) %(objecttype)", stdin="\n".join(names) + "\n")
        known = {name for name, _, kind in (row.partition(" ") for row in rows.splitlines()) if kind == "commit"}
        wanted = [place for place, pair in enumerate(pairs) if known.issuperset(pair)]
        given = "".join(f"{pairs[place][1]} {pairs[place][0]}\n" for place in wanted)
        text = self.run("diff-tree", "--stdin", "--always", "-r", "-p", "--no-renames", *PLAIN_DIFF, stdin=given)
        pieces = re.split(r"^[0-9a-f]{40,64}$\n?", text, flags=re.MULTILINE)[1:]
        found = [""] * len(pairs)
        for place, piece in zip(wanted, pieces, strict=True):
            found[place] = piece.strip("\n").encode(errors="surrogateescape").decode(errors="replace")
        return found

    def num_lines(self, old: str, new: str) -> tuple[int, int]:
        """Lines added and deleted between two commits."""
        rows = self._paths("diff-tree", "-r", "--numstat", "-z", "--no-renames", old, new, "--")
        counts = [(int(a), int(d)) for a, d, _ in (row.split("\t", 2) for row in rows) if a.isdigit() and d.isdigit()]
        return sum(a for a, _ in counts), sum(d for _, d in counts)

    def show(self, commit: str, path: str) -> str:
        """A file of a commit; `.encode(errors="surrogateescape")` gives its exact bytes.

        Raises:
            GitFailed: it is not there.
        """
        return self._run(("cat-file", "blob", f"{commit}:{path}"), "", (0,), None)

    def export(self, commit: str, paths: list[str], folder: Path) -> None:
        """Write a commit's files, or some of them, into a folder, as a checkout would.

        Raises:
            GitFailed: one of `paths` is not there.
        """
        with self._empty_index() as env:
            self.run("read-tree", commit, env=env)
            target = f"--prefix={folder.absolute()}{os.sep}"
            self.run("checkout-index", "--quiet", "--force", target, *(["--", *paths] if paths else ["--all"]), env=env)

    def entry(self, commit: str, path: str) -> Entry:
        """Mode and object name of a file at a commit."""
        rows = self._paths("ls-tree", "-z", commit, "--", path)
        mode, _, blob = rows[0].partition("\t")[0].split(" ") if rows else ("", "", "")
        return mode, blob

    def commit(self, paths: list[str], message: str) -> str:
        """Commit these files alone, whatever else is staged; returns the full hash."""
        present = [path for path in paths if os.path.lexists(self.root / path)]
        known = [path for path in paths if path in present or self.entry("HEAD", path)[1]]
        self.run("update-index", "--add", "--", *present)
        named = all(self.run("config", f"user.{name}", ok=(0, 1)) for name in ("name", "email"))
        quiet = ("--quiet", "--no-verify", "--no-gpg-sign", "--cleanup=whitespace")
        self.run("commit", *quiet, "--only", "-m", message, "--", *known, env={} if named else FALLBACK)
        return self.resolve("HEAD")

    def keep_reachable(self, ref: str, commit: str) -> None:
        """Create a reference once; it is never moved.

        Raises:
            GitFailed: it exists and names another commit.
        """
        if self.refs(ref).get(ref) != commit:
            self.run("update-ref", ref, commit, "")  # "" must not exist yet

    def move_branch(self, branch: str, old: str, new: str, mutable: list[str], restore: bool = True) -> list[str]:
        """Move a branch from one commit to another and bring the mutable files along.

        A file is rewritten only while it still is what `old` holds; newer edits stay, and so does everything else.
        The branch moves last: cut off before that, the same call does it again.

        Args:
            restore: False leaves the files as they are, so that they show as edits.

        Returns:
            Files that were left because they had newer edits.

        Raises:
            GitFailed: the branch is not at `old`.
        """
        name = f"refs/heads/{branch}"
        if (found := self.refs(name).get(name, "nothing")) != old:
            raise GitFailed(f"{branch} must be at {old[:7]} to be moved but is at {found[:7]}")
        left: list[str] = []
        if self.branch() == branch:
            left = [path for path in mutable if not self._bring(path, old, new, restore)]
        self.run("update-ref", "-m", f"autoresearch: from {old[:7]} to {new[:7]}", name, new, old)
        return left

    def stand_on(self, branch: str, mutable: list[str]) -> None:
        """Check out a branch that holds fewer files: the others stay where they lie, unknown to git from now on.

        A mutable file is rewritten only while it is what the head holds. Cut off anywhere, the same call does the rest.
        """
        name = f"refs/heads/{branch}"
        for path in mutable:
            self._bring(path, "HEAD", name, restore=True)
        self.run("symbolic-ref", "-m", f"autoresearch: to {branch}", "HEAD", name)
        self.run("reset", "--quiet")

    def differing(self, commit: str, paths: list[str]) -> list[str]:
        """Files that lie here otherwise than in a commit."""
        return [path for path in paths if self._content(path) != self.entry(commit, path)[1]]

    def _bring(self, path: str, old: str, new: str, restore: bool) -> bool:
        """Bring a file and its place in the index from one commit to another; False: it had newer edits, which stay."""
        before, after = self.entry(old, path), self.entry(new, path)
        if before == after:
            return True
        if self._staged(path) not in (before, after):
            return not restore
        if after[1]:
            self.run("update-index", "--add", "--cacheinfo", f"{after[0]},{after[1]},{path}")
        else:
            self.run("update-index", "--force-remove", "--", path)
        content = self._content(path)
        if not restore or content == after[1]:
            return True
        if content != before[1]:
            return False
        if after[1]:
            self.run("checkout-index", "--force", "--", path)
        else:
            (self.root / path).unlink(missing_ok=True)
        return True

    def _staged(self, path: str) -> Entry:
        """Mode and object name of a file in the index; a conflict is neither old nor new."""
        rows = [row.partition("\t")[0].split(" ") for row in self._paths("ls-files", "--stage", "-z", "--", path)]
        if not rows:
            return "", ""
        return (rows[0][0], rows[0][1]) if len(rows) == 1 else ("conflict", "")

    def _content(self, path: str) -> str:
        """Object name that a file of the working tree would have; empty where there is no file."""
        if not (self.root / path).is_file():
            return "no file" if os.path.lexists(self.root / path) else ""
        return self.run("hash-object", f"--path={path}", "--", path)

    def without(self, tip: str, old: str, new: str, paths: list[str]) -> str:
        """A commit on top of `tip` that takes the change from `old` to `new` back in some files.

        Raises:
            GitFailed: it does not come out cleanly.
        """
        patch = self._run(("diff-tree", "-r", "-p", "--binary", "--full-index", old, new, "--", *paths), "", (0,), None)
        with self._empty_index() as env:
            self.run("read-tree", tip, env=env)
            self.run("apply", "--cached", "--reverse", "--3way", "--whitespace=nowarn", "-", stdin=patch, env=env)
            tree = self.run("write-tree", env=env)
        return self.run("commit-tree", tree, "-p", tip, "-m", f"without {new[:7]}", env=FALLBACK)

    def with_text(self, tip: str, path: str, text: str, message: str) -> str:
        """A commit on top of `tip` in which one of its files holds another text."""
        mode, _ = self.entry(tip, path)
        blob = self.run("hash-object", "-w", "--stdin", stdin=text)
        with self._empty_index() as env:
            self.run("read-tree", tip, env=env)
            self.run("update-index", "--cacheinfo", f"{mode},{blob},{path}", env=env)
            tree = self.run("write-tree", env=env)
        return self.run("commit-tree", tree, "-p", tip, "-m", message, env=FALLBACK)

    def root_of(self, commit: str, paths: list[str], message: str) -> str:
        """A commit without parents that holds these files of another: the same files give the same commit everywhere.

        Raises:
            Refused: one of the files is not there.
        """
        if missing := [path for path in paths if not self.entry(commit, path)[1]]:
            raise Refused(f"{', '.join(missing)} must be in commit {commit[:7]}; `git add` and commit it")
        tree = self.run("mktree", "-z", stdin=self.run("ls-tree", "-z", commit, "--", *paths))
        text = f"tree {tree}\nauthor {LONG_AGO}\ncommitter {LONG_AGO}\n\n{message}\n"
        return self.run("hash-object", "-t", "commit", "-w", "--stdin", stdin=text)

    def bundle(self, commit: str, known: list[str]) -> bytes:
        """A bundle of a commit and of its history beyond commits that the receiver has."""
        header = "".join(("# v2 git bundle\n", *(f"-{one}\n" for one in known), f"{commit} HEAD\n\n"))
        words = ("pack-objects", "--revs", "--stdout", "--thin", "--delta-base-offset", "--quiet")
        pack = self._run(words, "".join(f"{one}\n" for one in (commit, *(f"^{one}" for one in known))), (0,), None)
        return header.encode() + pack.encode(errors="surrogateescape")

    def touched(self, commit: str, known: list[str]) -> set[str]:
        """All files that a commit or its history, beyond some known commits, ever changed."""
        words = ("log", "-m", "--format=", "--name-only", "-z", "--no-renames", commit, *(f"^{one}" for one in known))
        return set(self._paths("-c", "log.showRoot=true", *words, "--")) - {""}

    def versions(self, path: str, commits: list[str], known: list[str] | None = None) -> set[str]:
        """Object names of all that a file was at some commits and in their history, beyond that of known ones."""
        given = "".join(f"{one}\n" for one in (*commits, *(f"^{one}" for one in known or ()), "--", path))
        rows = self.run("rev-list", "--objects", "--stdin", stdin=given).splitlines()
        return {name for name, _, found in (row.partition(" ") for row in rows) if found == path}

    @contextmanager
    def _empty_index(self) -> Iterator[dict[str, str]]:
        """Variables that give git an index of its own while the block runs."""
        with tempfile.TemporaryDirectory() as folder:
            yield {"GIT_INDEX_FILE": str(Path(folder) / "index")}
