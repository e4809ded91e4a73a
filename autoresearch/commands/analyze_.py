"""analyze."""

from typing import Annotated, Literal

import typer

from autoresearch import notes
from autoresearch.attempt import closing, setup
from autoresearch.commands import terminal
from autoresearch.errors import Refused
from autoresearch.records import Analysis, State


def main(
    result: Annotated[str, typer.Option(help="What was measured.")],
    expected: Annotated[Literal["better", "worse", "same"], typer.Option(help="Against the hypothesis.")],
    why: Annotated[str, typer.Option(help="The best explanation.")],
    lesson: Annotated[str, typer.Option(help="What the next attempts should do differently.")],
) -> None:
    """Write the analysis of the last attempt."""
    campaign = terminal.campaign()
    with terminal.hold_checkout(campaign, "analyze"):
        setup.make_current(campaign)
        numbers = campaign.ledger.numbers()
        attempt = campaign.ledger.read(numbers[-1]) if numbers else None
        if not attempt or attempt.state != State.CLOSED:
            raise Refused("there must be a finished attempt to analyze; run `uv run -m autoresearch wait`")
        attempt.analysis = Analysis(result=result, expected=expected, why=why, lesson=lesson)
        campaign.record(attempt)
        block = {"result": result, "vs expected": expected, "why": why, "lesson": lesson}
        num_bytes = notes.add_analysis(campaign.repo.root, closing.title_of(attempt), block)
    print(f"analysis of attempt {attempt.name} is in its record and in notes.md")
    if problem := closing.over_cap(num_bytes):
        print(f"note: {problem}")
