"""wait."""

import time
from typing import Annotated

import typer

from autoresearch.attempt import trial
from autoresearch.commands import terminal, try_
from autoresearch.ledger import locked
from autoresearch.records import State


def main(
    timeout: Annotated[float, typer.Option(min=0, help="Seconds to wait at most.")] = 100,
    as_json: terminal.Json = False,
) -> None:
    """Print the state of the attempt in flight, or the last verdict; exit 0 both ways."""
    campaign = terminal.campaign()
    numbers = campaign.ledger.numbers()
    if not numbers:
        print("no attempt yet")
        return
    until = time.monotonic() + timeout
    attempt = campaign.ledger.read(numbers[-1])
    while attempt.state != State.CLOSED and time.monotonic() < until and held(campaign.repo.root, attempt.device):
        time.sleep(0.2)
        attempt = campaign.ledger.read(attempt.id)
    if as_json:
        terminal.print_json(attempt.model_dump())
    elif attempt.state == State.CLOSED:
        try_.report(campaign, attempt)
    elif not held(campaign.repo.root, attempt.device):
        print(f"attempt {attempt.name} was cut off at state {attempt.state}; the next `try` finishes it")
    else:
        one = attempt.trials[-1] if attempt.trials else None
        progress = trial.last_report(campaign.repo.root / one.folder / "progress.jsonl") if one else {}
        share = f"{100 * (progress.get('progress') or 0):.0f}% of run {len(attempt.trials)}" if one else "starting"
        print(f"attempt {attempt.name} is {attempt.state}: {share}; no verdict yet")


def held(root, device: str) -> bool:
    """Whether some process holds the device."""
    with locked(root / "results" / f".lock-{device or 'default'}") as ours:
        return not ours
