"""try -m DESC."""

import os
import subprocess
import sys
from typing import Annotated

import typer

from autoresearch.attempt import begin, judge
from autoresearch.attempt.campaign import Campaign
from autoresearch.commands import terminal
from autoresearch.errors import Busy, NoGoodTrial
from autoresearch.records import Attempt, Reasoning, Status


def main(
    description: Annotated[str, typer.Option("-m", "--description", help="What changed, one line.")] = "",
    hypothesis: Annotated[str, typer.Option(help="What should happen and why.")] = "",
    evidence: Annotated[str, typer.Option(help="Rows, notes or results that support it.")] = "",
    risk: Annotated[str, typer.Option(help="What could go wrong.")] = "",
    simpler: Annotated[
        bool, typer.Option("--simpler", help="A simplification: kept if not worse by more than the noise.")
    ] = False,
    once: Annotated[bool, typer.Option("--once", help="One run, any lower number is kept.")] = False,
    max_runs: Annotated[int, typer.Option(min=1, max=9, help="Runs of the candidate at most.")] = 3,
    gpu: Annotated[int | None, typer.Option(min=0, help="Device to hold and to run on.")] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Return at once; see `wait`.")] = False,
    finish: Annotated[int, typer.Option(hidden=True)] = 0,
) -> None:
    """Run one attempt."""
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = str(gpu)
    campaign = terminal.campaign()
    device = "default" if gpu is None else f"gpu{gpu}"
    if finish:
        with terminal.device_lock(campaign, device, f"attempt {finish:04d}"):
            report(campaign, judge.advance(campaign, campaign.ledger.read(finish), terminal.now))
        return
    if not description.strip():
        raise typer.BadParameter("-m must say what changed, in one line")
    with terminal.device_lock(campaign, device, "an attempt"):
        heal(campaign)
        reasoning = Reasoning(hypothesis=hypothesis, evidence=evidence, risk=risk)
        idea = begin.Idea(" ".join(description.split()), reasoning, simpler, once, max_runs, device)
        attempt = begin.begin(campaign, idea, terminal.now())
        if not detach:
            report(campaign, judge.advance(campaign, attempt, terminal.now))
            return
    start_detached(campaign, attempt, gpu)


def heal(campaign: Campaign) -> None:
    """Close what an earlier command left open, without training again."""
    for attempt in judge.open_attempts(campaign):
        if attempt.id == 1:
            raise NoGoodTrial(f"the baseline is not measured; run `uv run -m autoresearch setup {campaign.tag}` again")
        judge.advance(campaign, attempt, terminal.now, train=False)
        terminal.say(f"attempt {attempt.name} was cut off: {judge.outcome(attempt)}")


def start_detached(campaign: Campaign, attempt: Attempt, gpu: int | None) -> None:
    """Hand the attempt to a process of its own."""
    folder = campaign.ledger.folder
    command = [sys.executable, "-m", "autoresearch", "try", "--finish", str(attempt.id)]
    command += [] if gpu is None else ["--gpu", str(gpu)]
    with open(folder / f"{attempt.name}.out", "wb") as out:
        subprocess.Popen(
            command, cwd=campaign.repo.root, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
        )
    print(f"attempt {attempt.name} runs in the background; `uv run -m autoresearch wait` tells when it is done")


def report(campaign: Campaign, attempt: Attempt) -> None:
    """At most 12 lines: what happened, and what the history says should come next."""
    print(f"attempt {attempt.name} {attempt.commit[:7]} {attempt.description}")
    print(judge.outcome(attempt))
    last = attempt.trials[-1].metrics if attempt.trials else None
    if last and last.num_steps:
        print(
            f"{last.num_steps} steps, {last.total_tokens_M or 0:.1f}M tokens, {(last.peak_vram_mb or 0) / 1024:.1f} GB"
        )
    crash = next((one.crash for one in attempt.trials if one.crash), None)
    if crash and attempt.status == Status.CRASH:
        print("\n".join(crash.tail.splitlines()[-3:]))
        print(f"the whole of it: `uv run -m autoresearch show {attempt.name}`")
    for notice in attempt.notices[:2]:
        print(f"note: {notice}")
    for line in judge.directives(campaign)[:2]:
        print(line)
    if attempt.status == Status.CANCELLED:
        raise Busy("stopped; the branch and your files are as they were")
