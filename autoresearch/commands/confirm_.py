"""confirm."""

from typing import Annotated, Any

import typer

from autoresearch import remeasure
from autoresearch.attempt import closing
from autoresearch.commands import background, terminal
from autoresearch.records import Remeasurement


def main(
    runs: Annotated[int, typer.Option(min=1, help="Fresh runs of each of the two.")] = 3,
    detach: background.Detach = False,
    as_json: terminal.Json = False,
    finish: Annotated[str, typer.Option(hidden=True)] = "",
) -> None:
    """Measure baseline and champion again; the sealed figure stays in the record."""
    campaign = terminal.campaign()
    if finish:  # the child of `--detach`: it inherited the locks
        terminal.end_orderly()
        remeasure.confirm(campaign, remeasure.read(campaign, finish), terminal.now)
        return
    with terminal.hold(campaign, "confirm") as locks:
        terminal.heal(campaign)
        found = remeasure.begin_confirm(campaign, runs, terminal.now())
        if detach:
            words = ["confirm", "--finish", found.name]
            background.hand_over(campaign, "confirm", words, campaign.ledger.folder / f"{found.name}.out", locks)
            return
        remeasure.confirm(campaign, found, terminal.now)
    if as_json:
        terminal.print_json(facts(found))
    else:
        report(found)


def facts(found: Remeasurement) -> dict[str, Any]:
    """What an agent may read of it, which leaves out sealed text."""
    difference, half = found.gains["val"]
    facts = {"gain": difference, "half_interval": half, "ratchet": found.ratchet, "runs": found.num_runs}
    return facts | {"oversize": found.oversize}


def report(found: Remeasurement) -> None:
    """Two lines, and a third where a limit was exceeded."""
    difference, half = found.gains["val"]
    runs = closing.count_of(found.num_runs, "run")
    print(f"champion against baseline on fresh seeds: {difference:+.5f} ± {half:.5f} (95%, {runs} each)")
    print(f"sum of the steps as they were kept: {found.ratchet:+.5f}")
    if found.oversize:
        print(f"oversize: {found.oversize}; this confirms nothing")
