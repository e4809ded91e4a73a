"""hub push, fetch, log, leaves, children, lineage, diff."""

import os
import re
from pathlib import Path
from typing import Annotated, Any

import typer

from autoresearch import notes
from autoresearch.attempt.campaign import PREFIX, Campaign
from autoresearch.commands import terminal
from autoresearch.commands.hub import link
from autoresearch.errors import Refused
from autoresearch.hub.client import delivery
from autoresearch.hub.client import fetch as stranger
from autoresearch.hub.client.api import Request
from autoresearch.repo import Repo

HASH = re.compile(r"[0-9a-f]{4,64}")
Hash = Annotated[str, typer.Argument(metavar="HASH", help="Four digits of it or more.")]
Number = Annotated[int, typer.Option("-n", min=1, max=200, help="So many.")]


def push(commit: Annotated[str, typer.Argument(metavar="COMMIT", help="Of this repository.")] = "HEAD") -> None:
    """Push a commit with its history; what was waiting to be told goes first."""
    repo, api = Repo.find(Path.cwd(), os.environ), link.connect_and_send()
    for one in delivery.push(api, repo, repo.resolve(commit)):
        print(f"pushed {link.plain(one)}")


def fetch(commit: Hash) -> None:
    """Fetch somebody's commit as a base for `setup --from`; in a tag, its train.py comes into ours too."""
    repo = Repo.find(Path.cwd(), os.environ)
    tag = begun_tag(repo)
    if tag:
        refuse_edits(repo)
        tag.check_confinement([checked(commit)])
    found, text = stranger.fetch(link.connect_and_send(), repo, checked(commit))
    if not tag:  # what is edited outside of a tag carries no mark
        print(
            f"{found} is here, and no file was touched: `git show {found[:7]}:train.py`, `setup TAG --from {found[:7]}`"
        )
        return
    tag.note_foreign(found)
    refuse_edits(repo)
    notes.replace(repo.root / stranger.TRAIN, text)
    print(f"train.py is that of {found}; read `git diff -- train.py`, then `try` it, or `setup TAG --from {found[:7]}`")


def refuse_edits(repo: Repo) -> None:
    """Refuse to write over unfinished work.

    Raises:
        Refused: train.py has edits.
    """
    if repo.dirty([stranger.TRAIN]):
        raise Refused(
            "train.py must have no unfinished edits, for it is written; `try` them, keep a copy elsewhere, or "
            "`git restore train.py`"
        )


def begun_tag(repo: Repo) -> Campaign | None:
    """The tag that is under work on this branch, if any."""
    if not repo.branch().startswith(PREFIX):
        return None
    campaign = terminal.campaign()
    return campaign if campaign.ledger.is_begun else None


def log(
    agent: Annotated[str, typer.Option(help="Only this one's.")] = "",
    number: Number = 20,
    as_json: terminal.Json = False,
) -> None:
    """List the newest commits."""
    query = {"agent": agent} if agent else {}
    link.show(link.connect_and_send().rows("/api/git/commits", limit=number, **query), as_json, line)


def leaves(number: Number = 20, as_json: terminal.Json = False) -> None:
    """List the commits that nobody has built on yet, newest first."""
    link.show(link.connect_and_send().rows("/api/git/leaves", limit=number)[:number], as_json, line)


def children(commit: Hash, as_json: terminal.Json = False) -> None:
    """List what was built on a commit."""
    link.show(link.connect_and_send().rows(f"/api/git/commits/{checked(commit)}/children"), as_json, line)


def lineage(commit: Hash, as_json: terminal.Json = False) -> None:
    """List what a commit was built on, itself first."""
    link.show(link.connect_and_send().rows(f"/api/git/commits/{checked(commit)}/lineage"), as_json, line)


def diff(old: Hash, new: Hash) -> None:
    """Print the difference of two commits."""
    content = link.connect_and_send().call(Request("GET", f"/api/git/diff/{checked(old)}/{checked(new)}"))
    print(link.plain(content.decode(errors="replace")), end="")


def checked(commit: str) -> str:
    """A hash as it was given.

    Raises:
        BadParameter: it is none.
    """
    if not HASH.fullmatch(commit):
        raise typer.BadParameter(f"HASH must be 4 to 64 hex digits but got {commit!r}")
    return commit


def line(commit: dict[str, Any]) -> str:
    """One commit in one line."""
    words = [str(commit.get(name, "?")) for name in ("hash", "agent_id", "created_at", "message")]
    return "  ".join([words[0][:7], *words[1:]])
