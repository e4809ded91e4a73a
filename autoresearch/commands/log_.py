"""log."""

from typing import Annotated

import typer

from autoresearch.attempt import closing, setup
from autoresearch.commands import terminal
from autoresearch.records import Attempt

WIDTH = 70


def main(
    number: Annotated[int, typer.Option("-n", min=1, help="The newest so many.")] = 20,
    as_json: terminal.Json = False,
) -> None:
    """Print the attempts, newest last; rows written by hand are marked and never compared."""
    campaign = terminal.campaign()
    attempts = campaign.attempts()
    known = {(one.commit[:7], str(one.status)) for one in attempts}
    rows = campaign.ledger.rows() if setup.current_tag(campaign.repo.root) == campaign.tag else ()
    by_hand = [row.values for row in rows if (row.values["commit"], row.values["status"]) not in known]
    if as_json:
        terminal.print_json({"attempts": [one.model_dump() for one in attempts[-number:]], "by_hand": by_hand})
        return
    for one in attempts[-number:]:
        print(line(one))
    for values in by_hand[-number:]:
        print(f"by hand  {values['commit']}  {values['status']}  {values.get('description', '')}")


def line(attempt: Attempt) -> str:
    """One attempt in one line."""
    outcome = closing.outcome(attempt)
    shown = outcome if len(outcome) <= WIDTH else f"{outcome[: WIDTH - 1]}…"
    return f"{attempt.name}  {attempt.commit[:7]}  {shown:<{WIDTH}}  {attempt.description}"
