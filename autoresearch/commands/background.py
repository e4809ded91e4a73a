"""Let a verb go on in a process of its own, which inherits the locks; `wait` tells of it."""

import subprocess
import sys
from pathlib import Path
from typing import IO, Annotated

import typer

from autoresearch.attempt.campaign import Campaign
from autoresearch.commands import terminal

Detach = Annotated[bool, typer.Option("--detach", help="Return at once; see `wait`.")]


def hand_over(campaign: Campaign, what: str, verb: list[str], out: Path, locks: list[IO[str]]) -> None:
    """Start a verb that finishes what was begun, and leave the locks to it.

    Args:
        what: what is under way, for people.
        verb: the words of the command line after `autoresearch`.
        out: takes all that it prints.
        locks: open files, held by this process.
    """
    command = [sys.executable, "-m", "autoresearch", *verb]
    with open(out, "wb") as file:
        child = subprocess.Popen(
            command, cwd=campaign.repo.root, stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True,
            pass_fds=[lock.fileno() for lock in locks],
        )  # fmt: skip
    for lock in locks:
        terminal.name_holder(lock, what, child.pid)
    print(f"{what} runs in the background; `uv run -m autoresearch wait` tells when it is done")


def last_words(out: Path, num_lines: int = 1) -> str:
    """The last lines that such a process printed."""
    lines = out.read_text(errors="replace").strip().splitlines() if out.exists() else []
    return "\n".join(lines[-num_lines:])
