"""The only caller of git: plumbing that touches nothing but what it is told to."""

import os
import subprocess
import tempfile
from pathlib import Path
from typing import IO

from autoresearch.errors import GitFailed, Refused

FALLBACK = {"GIT_AUTHOR_NAME": "autoresearch", "GIT_AUTHOR_EMAIL": "autoresearch@localhost"}
FALLBACK |= {name.replace("AUTHOR", "COMMITTER"): value for name, value in FALLBACK.items()}
ZERO = "0" * 40


class Repo:
    """A working tree and its repository; hooks of the person are never run."""

    def __init__(self, root: Path):
        self.root = root
        kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        self.env = {**kept, "LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0"}

    def run(self, *args: str, stdin: str | None = None, ok: tuple[int, ...] = (0,)) -> str:
        """Run git and return its output without the last line break.

        Raises:
            GitFailed: another exit code than `ok`; carries git's own words.
        """
        command = ["git", "-c", "core.hooksPath=/dev/null", "-c", "core.quotePath=false", "-c", "gc.auto=0", *args]
        done = subprocess.run(command, cwd=self.root, env=self.env, input=stdin, capture_output=True, text=True)
        if done.returncode not in ok:
            words = done.stderr.strip() or done.stdout.strip()
            raise GitFailed(f"git {' '.join(args[:3])} failed in {self.root}: {words}")
        return done.stdout.removesuffix("\n")

    @classmethod
    def find(cls, start: Path) -> "Repo":
        """The repository around a folder."""
        try:
            return cls(Path(cls(start).run("rev-parse", "--show-toplevel")))
        except GitFailed as error:
            raise Refused(f"{start} must lie in a git repository; run `git init` or go to your checkout") from error

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
        return self.run("symbolic-ref", "--quiet", "--short", "HEAD", ok=(0, 1))

    def exists(self, ref: str) -> bool:
        """Whether a full reference name exists."""
        return bool(self.run("rev-parse", "--verify", "--quiet", ref, ok=(0, 1)))

    def refs(self, prefix: str) -> dict[str, str]:
        """Full names below a prefix, with what they point to."""
        rows = self.run("for-each-ref", "--format=%(refname) %(objectname)", prefix).splitlines()
        return dict(row.split(" ", 1) for row in rows)

    def dirty(self, paths: list[str] | None = None) -> list[str]:
        """Tracked files that differ from the head, in the index or in the tree."""
        rows = self.run("diff", "--name-only", "HEAD", "--", *(paths or []))
        return rows.splitlines()

    def changed(self, old: str, new: str) -> list[str]:
        """Files that differ between two commits."""
        return self.run("diff", "--name-only", "--no-renames", old, new, "--").splitlines()

    def parents(self, commit: str) -> list[str]:
        """Full hashes of a commit's parents."""
        return self.run("rev-list", "--parents", "-n", "1", commit).split()[1:]

    def diff(self, old: str, new: str, paths: list[str] | None = None) -> str:
        """The difference of two commits as text."""
        return self.run("diff", "--no-color", "--no-ext-diff", old, new, "--", *(paths or []))

    def num_lines(self, old: str, new: str) -> tuple[int, int]:
        """Lines added and deleted between two commits."""
        rows = [row.split("\t")[:2] for row in self.run("diff", "--numstat", old, new, "--").splitlines()]
        counts = [(int(a), int(d)) for a, d in rows if a.isdigit() and d.isdigit()]
        return sum(a for a, _ in counts), sum(d for _, d in counts)

    def show(self, commit: str, path: str) -> str:
        """Text of a file at a commit.

        Raises:
            GitFailed: it is not there.
        """
        return self.run("show", f"{commit}:{path}") + "\n"

    def archive(self, commit: str, paths: list[str], file: IO[bytes]) -> None:
        """Write a tar of a commit's files, or of some of them, into an open file."""
        command = ["git", "archive", "--format=tar", commit, "--", *paths]
        done = subprocess.run(command, cwd=self.root, env=self.env, stdout=file, stderr=subprocess.PIPE, text=True)
        if done.returncode:
            raise GitFailed(f"git archive of {commit[:7]} failed: {done.stderr.strip()}")

    def blob(self, commit: str, path: str) -> str:
        """Object name of a file at a commit; empty when it is not there."""
        return self.run("rev-parse", "--verify", "--quiet", f"{commit}:{path}", ok=(0, 1))

    def commit(self, paths: list[str], message: str) -> str:
        """Commit these files alone, whatever else is staged; returns the full hash."""
        named = self.run("config", "user.email", ok=(0, 1)) and self.run("config", "user.name", ok=(0, 1))
        self.env = self.env if named else {**FALLBACK, **self.env}
        self.run("commit", "--quiet", "--no-verify", "--no-gpg-sign", "--only", "-m", message, "--", *paths)
        return self.resolve("HEAD")

    def keep_reachable(self, ref: str, commit: str) -> None:
        """Create a reference once; it is never moved."""
        if self.run("rev-parse", "--verify", "--quiet", ref, ok=(0, 1)) != commit:
            self.run("update-ref", ref, commit, ZERO)

    def move_branch(self, branch: str, old: str, new: str, mutable: list[str]) -> list[str]:
        """Move a branch from one commit to another and bring the mutable files along.

        A file is rewritten only while it still is what `old` holds; newer edits stay, and so does everything else.

        Returns:
            Files that were left because they had newer edits.
        """
        here = self.branch() == branch
        untouched = [path for path in mutable if here and self._is_at(path, old)]
        self.run("update-ref", f"refs/heads/{branch}", new, old)
        if not here:
            return []
        for path in mutable:
            blob = self.blob(new, path)
            if blob:
                mode = self.run("ls-tree", new, "--", path).split(" ", 1)[0]
                self.run("update-index", "--add", "--cacheinfo", f"{mode},{blob},{path}")
            else:
                self.run("update-index", "--force-remove", "--", path)
            if path in untouched and blob:
                self.run("checkout-index", "--force", "--", path)
            elif path in untouched:
                (self.root / path).unlink(missing_ok=True)
        return [path for path in mutable if path not in untouched]

    def without(self, tip: str, old: str, new: str, paths: list[str]) -> str:
        """A commit on top of `tip` that takes the change from `old` to `new` back in some files.

        Raises:
            GitFailed: it does not come out cleanly.
        """
        with tempfile.TemporaryDirectory() as folder:
            aside = Repo(self.root)
            aside.env = {**FALLBACK, **self.env, "GIT_INDEX_FILE": str(Path(folder) / "index")}
            aside.run("read-tree", tip)
            patch = self.run("diff", "--no-color", "--no-ext-diff", "--full-index", old, new, "--", *paths) + "\n"
            aside.run("apply", "--cached", "--reverse", "--3way", "-", stdin=patch)
            tree = aside.run("write-tree")
            return aside.run("commit-tree", tree, "-p", tip, "-m", f"without {new[:7]}")

    def _is_at(self, path: str, commit: str) -> bool:
        """Whether a file of the working tree is what a commit holds."""
        blob, file = self.blob(commit, path), self.root / path
        if not blob or not file.exists():
            return not blob and not file.exists()
        return self.run("hash-object", "--path", path, "--", path) == blob
