"""backtrack ID|COMMIT."""

import re
from typing import Annotated

import typer

from autoresearch.attempt import closing
from autoresearch.commands import terminal


def main(
    target: Annotated[str, typer.Argument(metavar="ID|COMMIT", help="Four digits are an attempt, else a commit.")],
    why: Annotated[str, typer.Option(help="What went wrong.")],
) -> None:
    """Go back to a known good state."""
    campaign = terminal.campaign()
    with terminal.hold(campaign, "backtrack"):
        terminal.heal(campaign)
        is_number = re.fullmatch(r"\d{4}", target) is not None
        commit = campaign.ledger.read(int(target)).commit if is_number else campaign.repo.resolve(target)
        attempt = closing.backtrack(campaign, commit, why, terminal.now())
    print(f"back from {attempt.parent[:7]} to {attempt.commit[:7]} as attempt {attempt.name}")
    for notice in attempt.notices:
        print(f"note: {notice}")
