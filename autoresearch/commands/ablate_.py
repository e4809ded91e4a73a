"""ablate."""

from typing import Annotated

import typer

from autoresearch import remeasure
from autoresearch.commands import terminal


def main(
    runs: Annotated[int, typer.Option(min=1, help="Runs without each change.")] = 1,
    as_json: terminal.Json = False,
) -> None:
    """Undo each kept change alone, measure, and name those that do not carry their weight."""
    campaign = terminal.campaign()
    with terminal.hold(campaign, "ablate"):
        terminal.heal(campaign)
        found = remeasure.ablate(campaign, runs, terminal.now)
    if as_json:
        terminal.print_json([one.model_dump() for one in found.effects])
        return
    for one in found.effects:
        worth = one.why if one.effect is None else f"worth {one.effect:+.5f} ± {one.half or 0:.5f}"
        advice = "" if one.carries or one.effect is None else "; no more than noise, a candidate for removal"
        print(f"{one.id:04d}  {worth}{advice}  {one.description}")
    if not found.effects:
        print("nothing was kept since the baseline")
