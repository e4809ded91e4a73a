"""wait."""

import time
from typing import Annotated

import typer

from autoresearch.attempt import trial
from autoresearch.attempt.campaign import Campaign
from autoresearch.commands import terminal, try_
from autoresearch.records import Attempt, State


def main(
    timeout: Annotated[float, typer.Option(min=0, help="Seconds to wait at most.")] = 100,
    as_json: terminal.Json = False,
) -> None:
    """Print the state of the attempt in flight, or the last verdict; exit 0 both ways."""
    campaign = terminal.campaign()
    until = time.monotonic() + timeout
    lock = terminal.checkout_lock(campaign)
    attempt, is_held = latest(campaign), terminal.is_held(lock)
    while is_held and (not attempt or attempt.state != State.CLOSED) and time.monotonic() < until:
        time.sleep(0.2)
        is_held = terminal.is_held(lock)
        attempt = latest(campaign)
    if as_json:
        terminal.print_json(attempt and attempt.model_dump())
    elif not attempt:
        print("no attempt yet")
    elif attempt.state == State.CLOSED:
        try_.report(campaign, attempt)
    elif not is_held:
        verb = f"setup {campaign.tag}" if attempt.id == 1 else "try"
        print(f"attempt {attempt.name} was cut off at state {attempt.state}; the next `{verb}` finishes it")
        print(last_words(campaign, attempt))
    else:
        run = attempt.trials[-1] if attempt.trials else None
        report = trial.last_report(campaign.repo.root / run.folder / "progress.jsonl") if run else {}
        print(f"attempt {attempt.name} is {attempt.state}, run {len(attempt.trials)}; no verdict yet")
        if report:
            print(trial.describe_progress(report, "so far", 0.0))


def latest(campaign: Campaign) -> Attempt | None:
    """The last attempt."""
    numbers = campaign.ledger.numbers()
    return campaign.ledger.read(numbers[-1]) if numbers else None


def last_words(campaign: Campaign, attempt: Attempt) -> str:
    """The last line that a detached attempt printed."""
    path = campaign.ledger.folder / f"{attempt.name}.out"
    lines = path.read_text(errors="replace").strip().splitlines() if path.exists() else []
    return lines[-1] if lines else ""
