"""Commits made of others, without touching the working tree, its index or a branch."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from autoresearch.errors import Refused
from autoresearch.repo.git import IDENTITY, Git

FALLBACK = {name: "autoresearch" if name.endswith("NAME") else "autoresearch@localhost" for name in IDENTITY}
LONG_AGO = "autoresearch <autoresearch@localhost> 946684800 +0000"
Entry = tuple[str, str]
"""Mode and object name of a file in a commit or in the index; both empty where there is none."""


class Commits(Git):
    """A repository in which commits are made."""

    def entry(self, commit: str, path: str) -> Entry:
        """Mode and object name of a file at a commit."""
        rows = self._paths("ls-tree", "-z", commit, "--", path)
        mode, _, blob = rows[0].partition("\t")[0].split(" ") if rows else ("", "", "")
        return mode, blob

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

    def with_patch(self, tip: str, patch: str, message: str) -> str:
        """A commit on top of `tip` with a unified diff applied; counts of lines in its hunks need not be right.

        Raises:
            GitFailed: it does not apply, or names a file outside.
        """
        with self._empty_index() as env:
            self.run("read-tree", tip, env=env)
            self.run("apply", "--cached", "--recount", "--whitespace=nowarn", "-", stdin=patch, env=env)
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

    @contextmanager
    def _empty_index(self) -> Iterator[dict[str, str]]:
        """Variables that give git an index of its own while the block runs."""
        with tempfile.TemporaryDirectory() as folder:
            yield {"GIT_INDEX_FILE": str(Path(folder) / "index")}
