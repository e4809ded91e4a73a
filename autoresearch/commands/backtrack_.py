"""backtrack ID|COMMIT."""

import re
from typing import Annotated

import typer

from autoresearch.attempt import closing
from autoresearch.commands import terminal


def main(
    target: Annotated[str, typer.Argument(metavar="ID|COMMIT", help="Up to four digits: an attempt; else a commit.")],
    why: Annotated[str, typer.Option(help="What went wrong.")],
) -> None:
    """Go back to a known good state."""
    campaign = terminal.campaign()
    with terminal.hold(campaign, "backtrack"):
        terminal.heal(campaign)
        is_number = re.fullmatch(r"\d{1,4}", target) is not None
        commit = campaign.ledger.read(int(target)).commit if is_number else campaign.repo.resolve(target)
        attempt = closing.backtrack(campaign, commit, why, terminal.now())
    print(f"attempt {attempt.name}: {attempt.description}")
    for notice in attempt.notices:
        print(f"note: {notice}")
