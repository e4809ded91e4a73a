"""ablate."""

from typing import Annotated, Any

import typer

from autoresearch import remeasure
from autoresearch.commands import background, terminal
from autoresearch.records import Remeasurement


def main(
    runs: Annotated[int, typer.Option(min=1, help="Runs without each change.")] = 1,
    detach: background.Detach = False,
    as_json: terminal.Json = False,
    finish: Annotated[str, typer.Option(hidden=True)] = "",
) -> None:
    """Undo each kept change alone, measure, and name those that do not carry their weight."""
    campaign = terminal.campaign()
    if finish:  # the child of `--detach`: it inherited the locks
        terminal.end_orderly()
        remeasure.ablate(campaign, remeasure.read(campaign, finish), terminal.now)
        return
    with terminal.hold(campaign, "ablate") as locks:
        terminal.heal(campaign)
        found = remeasure.begin_ablate(campaign, runs, terminal.now())
        if detach:
            words = ["ablate", "--finish", found.name]
            background.hand_over(campaign, "ablate", words, campaign.ledger.folder / f"{found.name}.out", locks)
            return
        remeasure.ablate(campaign, found, terminal.now)
    if as_json:
        terminal.print_json(facts(found))
    else:
        report(found)


def facts(found: Remeasurement) -> list[dict[str, Any]]:
    """Each kept change and what it is worth."""
    return [one.model_dump() for one in found.effects]


def report(found: Remeasurement) -> None:
    """A line for each kept change."""
    for one in found.effects:
        worth = one.why if one.effect is None else f"worth {one.effect:+.5f} ± {one.half or 0:.5f} (95%)"
        advice = "" if one.carries or one.effect is None else "; no more than noise, a candidate for removal"
        advice = f"; oversize without it: {one.oversize}" if one.oversize else advice
        print(f"{one.id:04d}  {worth}{advice}  {one.description}")
    if not found.effects:
        print("nothing was kept since the baseline")
