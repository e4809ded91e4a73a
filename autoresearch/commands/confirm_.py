"""confirm."""

from typing import Annotated

import typer

from autoresearch import remeasure
from autoresearch.commands import terminal


def main(
    runs: Annotated[int, typer.Option(min=1, help="Fresh runs of each of the two.")] = 3,
    as_json: terminal.Json = False,
) -> None:
    """Measure baseline and champion again; the sealed figure stays in the record."""
    campaign = terminal.campaign()
    with terminal.hold(campaign, "confirm"):
        terminal.heal(campaign)
        found = remeasure.confirm(campaign, runs, terminal.now)
    difference, half = found.gains["val"]
    if as_json:
        facts = {"gain": difference, "half_interval": half, "ratchet": found.ratchet, "runs": runs}
        terminal.print_json(facts)
        return
    print(f"champion against baseline on fresh seeds: {difference:+.5f} ± {half:.5f} (95%, {runs} runs each)")
    print(f"sum of the steps as they were kept: {found.ratchet:+.5f}")
