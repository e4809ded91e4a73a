"""status [CONFIG]."""

from pathlib import Path
from typing import Annotated

import typer

from autoresearch.attempt import closing
from autoresearch.attempt.campaign import measurements
from autoresearch.commands import terminal
from autoresearch.records import State


def main(
    config: Annotated[Path | None, typer.Argument(metavar="[CONFIG]", help="YAML file of a search.")] = None,
    last: Annotated[int, typer.Option(min=0, help="Of a search: trials to list.")] = 10,
    as_json: terminal.Json = False,
) -> None:
    """Print where the campaign stands; of a search, always as JSON."""
    if config is not None:
        from autoresearch.commands import search_status  # of no use to the other campaign, which is to answer at once

        search_status.show(config, last)
        return
    campaign = terminal.campaign()
    attempts = campaign.attempts()
    champion = campaign.champion(attempts)
    measured = measurements(attempts, campaign.pins.regime)
    scores, first = measured.get(champion.commit, []), measured.get(campaign.pins.baseline, [])
    noise = campaign.noise(attempts).sigma if scores else None
    counts = {
        str(status): sum(one.status == status for one in attempts)
        for status in sorted({one.status for one in attempts if one.status})
    }
    open_ones = [one.name for one in attempts if one.state != State.CLOSED]
    directives = closing.directives(campaign, attempts) if scores else []
    facts = {
        "tag": campaign.tag,
        "regime": campaign.pins.regime,
        "metric": campaign.arena.metric.name,
        "attempts": len(attempts),
        "counts": counts,
        "champion": {"id": champion.name, "commit": champion.commit[:7], "scores": scores},
        "baseline": first,
        "noise": noise,
        "open": open_ones,
        "next": directives,
    }
    if as_json:
        terminal.print_json(facts)
        return
    counted = ", ".join(f"{count} {name}" for name, count in counts.items())
    print(f"{campaign.tag}: {closing.count_of(len(attempts), 'attempt')} ({counted}), regime {campaign.pins.regime}")
    print(f"{closing.champion_line(campaign, attempts)}  {champion.description}")
    known = f"{noise:.5f}" if noise else "unknown"
    print(f"baseline {closing.mean_of(first)}; noise of one run {known}")
    for name in open_ones:
        print(f"attempt {name} is open; `uv run -m autoresearch wait`, or the next `try` finishes what was cut off")
    for line in directives:
        print(line)
