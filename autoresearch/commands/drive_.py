"""drive -- AGENT-COMMAND."""

import os
import sys
import time
from typing import Annotated

import typer

from autoresearch import process
from autoresearch.attempt.campaign import Campaign
from autoresearch.commands import terminal
from autoresearch.errors import NoGoodTrial
from autoresearch.night import fleet
from autoresearch.night.rules import Limits
from autoresearch.night.watch import Watch, World
from autoresearch.records import Status


def main(
    agent: Annotated[list[str], typer.Argument(help="Command line of the agent; {prompt} marks the prompt's place.")],
    hours: Annotated[float, typer.Option(min=0, help="Hours that the night may take, restarts included.")] = 8.0,
    max_attempts: Annotated[int | None, typer.Option(min=1, help="Attempts at most.")] = None,
    max_cost: Annotated[float | None, typer.Option(min=0, help="What the agent may cost at most.")] = None,
    cost_command: Annotated[str, typer.Option(help="Prints what was spent so far; needed by --max-cost.")] = "",
    stop_on_plateau: Annotated[bool, typer.Option("--stop-on-plateau", help="Stop after long without a gain.")] = False,
    patience: Annotated[float, typer.Option(min=0.01, help="Minutes without a new attempt before a restart.")] = 30.0,
    confirm: Annotated[bool, typer.Option("--confirm/--no-confirm", help="Measure again at the end.")] = True,
    gpus: Annotated[str, typer.Option(help="Devices, say 0,1,2,3: an agent for each, in a worktree of its own.")] = "",
) -> None:
    """Keep an agent at work."""
    if max_cost is not None and not cost_command:
        raise typer.BadParameter("--max-cost needs --cost-command, which prints what was spent so far")
    campaign = terminal.campaign()
    terminal.end_orderly()
    if gpus:
        words = ["drive", "--hours", str(hours), "--patience", str(patience), "--cost-command", cost_command]
        words += [] if max_attempts is None else ["--max-attempts", str(max_attempts)]
        words += [] if max_cost is None else ["--max-cost", str(max_cost)]
        words += [*["--stop-on-plateau"] * stop_on_plateau, "--confirm" if confirm else "--no-confirm"]
        table = fleet.drive(campaign, fleet.devices_of(gpus), words, agent, terminal.say)
        run_verb(campaign, "report", "--ledger", str(table), "--metric", campaign.arena.metric.name)
        return
    limits = Limits(hours, max_attempts, max_cost, stop_on_plateau, 60 * patience)
    watch = Watch(campaign, agent, limits, cost_command, world_of(campaign))
    with watch.journal.hold(campaign.tag):
        reason = watch.run()
        print(reason, flush=True)
        finish(campaign, confirm)
        watch.close(reason)
    if not any(one.status in (Status.KEEP, Status.DISCARD) for one in watch.attempts()):
        raise NoGoodTrial(f"nothing was measured in this night; see {watch.journal.folder}")


def world_of(campaign: Campaign) -> World:
    """Clock, environment and lock of the real world."""
    lock = terminal.checkout_lock(campaign)
    return World(time.time, time.sleep, os.environ, lambda: terminal.is_held(lock), terminal.say)


def finish(campaign: Campaign, confirm: bool) -> None:
    """Measure baseline and champion again where something was kept, and write the page of the night."""
    if confirm and campaign.champion(campaign.attempts()).commit != campaign.pins.baseline:
        run_verb(campaign, "confirm")
    run_verb(campaign, "report")


def run_verb(campaign: Campaign, verb: str, *words: str) -> None:
    """Run another verb to its end, and print what it prints."""
    log = campaign.ledger.folder / "night" / f"{verb}.log"
    launch = process.Launch([sys.executable, "-m", "autoresearch", verb, *words], campaign.repo.root, os.environ, log)
    is_live = sys.stderr.isatty()
    ended = launch.wait(tick=lambda seconds: terminal.show(f"{verb}, {seconds:.0f} s") if is_live else None)
    if is_live:
        terminal.show("")
    if ended.exit_code:
        terminal.say(f"{verb} ended with {ended.exit_code}; see {log}")
    else:
        print(log.read_text(errors="replace").strip())
