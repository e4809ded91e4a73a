"""Runs git, with an environment and settings of its own; the two kinds of repository are built on it."""

import subprocess
from collections.abc import Mapping
from pathlib import Path

from autoresearch.errors import GitFailed

IDENTITY = ("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL")
PASSED_ON = (*IDENTITY, "GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM")
SETTINGS = (  # what a person's configuration must not do here: run programs, refuse a commit, leave files out
    *("core.hooksPath=/dev/null", "core.fsmonitor=false", "core.safecrlf=false", "core.sparseCheckout=false"),
    *("gc.auto=0", "maintenance.auto=false"),
)


class Git:
    """git in one folder; hooks of the person are never run."""

    settings: tuple[str, ...] = SETTINGS

    def __init__(self, root: Path, variables: Mapping[str, str]):
        self.root = root
        kept = {name: value for name, value in variables.items() if name in PASSED_ON or not name.startswith("GIT_")}
        own = {"LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "GIT_LITERAL_PATHSPECS": "1"}
        self.env = {**kept, **own}

    def run(self, *args: str, stdin: str = "", ok: tuple[int, ...] = (0,), env: Mapping[str, str] | None = None) -> str:
        """Run git and return its output without the last line break; bytes that are no UTF-8 come as surrogates.

        Raises:
            GitFailed: another exit code than `ok`; carries git's own words.
        """
        return self._run(args, stdin, ok, env).removesuffix("\n")

    def command(self, *args: str) -> list[str]:
        """The words that run git with the settings of this class."""
        return ["git", *(part for setting in self.settings for part in ("-c", setting)), *args]

    def _run(self, args: tuple[str, ...], stdin: str, ok: tuple[int, ...], env: Mapping[str, str] | None) -> str:
        given = stdin.encode(errors="surrogateescape")
        try:
            done = subprocess.run(
                self.command(*args), cwd=self.root, env={**(env or {}), **self.env}, input=given, capture_output=True
            )
        except FileNotFoundError as error:
            raise GitFailed(f"git must be installed and {self.root} must be a folder but: {error}") from error
        if done.returncode not in ok:
            words = (done.stderr.strip() or done.stdout.strip()).decode(errors="replace")
            raise GitFailed(f"git {' '.join(args[:3])} failed in {self.root}: {words}")
        return done.stdout.decode(errors="surrogateescape")

    def _paths(self, *args: str) -> list[str]:
        """The output of a command that ends each path with a zero byte."""
        return self.run(*args).split("\0")[:-1]
