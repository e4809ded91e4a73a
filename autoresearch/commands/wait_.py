"""wait."""

import time
from typing import Annotated

import typer

from autoresearch import remeasure
from autoresearch.attempt import trial
from autoresearch.attempt.campaign import Campaign
from autoresearch.commands import ablate_, background, confirm_, terminal, try_
from autoresearch.records import Attempt, Remeasurement, State, Trial

RESULTS = {"confirm": confirm_, "ablate": ablate_}


def main(
    timeout: Annotated[float, typer.Option(min=0, help="Seconds to wait at most.")] = 100,
    as_json: terminal.Json = False,
) -> None:
    """Print the state of what is under way, or the last verdict; exit 0 both ways."""
    campaign = terminal.campaign()
    until = time.monotonic() + timeout
    lock = terminal.checkout_lock(campaign)
    while (is_held := terminal.is_held(lock)) and time.monotonic() < until:
        time.sleep(0.2)
    found = newest(campaign)
    if isinstance(found, Remeasurement):
        tell_remeasurement(campaign, found, is_held, as_json)
    elif as_json:
        terminal.print_json(found and found.model_dump())
    elif not found:
        print("no attempt yet")
    elif found.state == State.CLOSED:
        try_.report(campaign, found)
    else:
        tell_attempt(campaign, found, is_held)


def newest(campaign: Campaign) -> Attempt | Remeasurement | None:
    """What began last."""
    numbers = campaign.ledger.numbers()
    attempt = campaign.ledger.read(numbers[-1]) if numbers else None
    again = remeasure.newest(campaign)
    return again if again and attempt and again.started >= attempt.started else attempt


def tell_attempt(campaign: Campaign, attempt: Attempt, is_held: bool) -> None:
    """How far an attempt without a verdict has come."""
    if is_held:
        run = f"run {len(attempt.trials) + len(attempt.champion_trials)}"
        print(f"attempt {attempt.name} is {attempt.state}, {run}; no verdict yet")
        tell_progress(campaign, [*attempt.trials, *attempt.champion_trials])
        return
    is_baseline = attempt.id == 1
    verb = f"setup {campaign.tag}" if is_baseline else "try"
    out = campaign.ledger.folder / f"{attempt.name}.out"
    print(f"attempt {attempt.name} was cut off at state {attempt.state}; the next `{verb}` finishes it")
    print(background.last_words(out, 8 if is_baseline else 1))


def tell_remeasurement(campaign: Campaign, found: Remeasurement, is_held: bool, as_json: bool) -> None:
    """The result of a `confirm` or an `ablate`, or how far it has come."""
    runs = [one for trials in found.trials.values() for one in trials]
    is_done = remeasure.is_complete(found)
    if as_json:
        result = RESULTS[found.kind].facts(found) if is_done else None
        terminal.print_json({"kind": found.kind, "num_runs": len(runs), "closed": found.closed, "result": result})
    elif is_done:
        RESULTS[found.kind].report(found)
    elif is_held and not found.closed:
        print(f"{found.kind} is under way, run {len(runs)} of {found.num_planned}; no verdict yet")
        tell_progress(campaign, runs)
    else:
        crash = next((one.crash for one in runs if one.crash), None)
        why = f": {crash.kind}, {crash.why}" if crash else ""
        print(f"{found.kind} ended after {len(runs)} of {found.num_planned} runs{why}; begin it again")
        print(background.last_words(campaign.ledger.folder / f"{found.name}.out"))


def tell_progress(campaign: Campaign, trials: list[Trial]) -> None:
    """What the trial under way last reported, or what it does before and after."""
    latest = trials[-1] if trials else None
    if not latest or latest.pid is None:
        return
    report = trial.last_report(campaign.repo.root / latest.folder / "progress.jsonl")
    if latest.exit_code is not None:
        print("so far: trained, now it is scored")
    elif report:
        print(trial.describe_progress(report, "so far", 0.0))
    else:
        print("so far: starting, which takes a minute or more where the code has to be compiled anew")
