"""try -m DESC."""

import contextlib
import statistics
import sys
from typing import Annotated

import typer

from autoresearch.attempt import begin, closing, judge
from autoresearch.attempt.campaign import Campaign
from autoresearch.commands import background, sharing, terminal
from autoresearch.errors import Interrupted
from autoresearch.records import Attempt, Reasoning, State, Status
from autoresearch.signals import UNEVEN_FRAC

WIDTH = 200


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
    no_sandbox: Annotated[
        bool, typer.Option("--no-sandbox", help="Run unconfined; the record says `sealed: open`.")
    ] = False,
    hub: sharing.Hub = False,
    anyway: sharing.Anyway = False,
    detach: background.Detach = False,
    finish: Annotated[int, typer.Option(hidden=True)] = 0,
) -> None:
    """Run one attempt."""
    campaign = terminal.campaign(gpu=gpu, sandboxed=not no_sandbox)
    partner = sharing.Partner(campaign) if hub else None
    if finish:  # the child of `--detach`: it inherited the locks
        terminal.end_orderly()
        end(campaign, campaign.ledger.read(finish), partner)
        return
    if not description.strip():
        raise typer.BadParameter("-m must say what changed, in one line")
    reasoning = Reasoning(hypothesis=hypothesis, evidence=evidence, risk=risk)
    device = terminal.device_of(campaign)
    idea = begin.Idea(" ".join(description.split()), reasoning, simpler, once, max_runs, device)
    with terminal.hold(campaign, "an attempt") as locks:
        terminal.heal(campaign)
        with partner.around_start(idea, anyway) if partner else contextlib.nullcontext():
            attempt = begin.begin(campaign, idea, terminal.now())
        for lock in locks:
            terminal.name_holder(lock, f"attempt {attempt.name}")
        if detach:
            words = ["try", "--finish", str(attempt.id), *([] if gpu is None else ["--gpu", str(gpu)])]
            words += [*["--no-sandbox"] * no_sandbox, *["--hub"] * hub]
            out = campaign.ledger.folder / f"{attempt.name}.out"
            background.hand_over(campaign, f"attempt {attempt.name}", words, out, locks)
        else:
            end(campaign, attempt, partner)


def end(campaign: Campaign, attempt: Attempt, partner: sharing.Partner | None) -> None:
    """Bring an attempt to its end and tell about it, at a hub too if there is one.

    Raises:
        Interrupted: the person stopped it.
    """
    if attempt.state != State.CLOSED:
        judge.advance(campaign, attempt, terminal.now)
    report(campaign, attempt)
    if partner:
        sys.stdout.flush()
        partner.tell()
    if attempt.status == Status.CANCELLED:
        raise Interrupted("stopped; the branch is at the champion, your edit is still in the files")


def usual_steps(campaign: Campaign, attempt: Attempt) -> float:
    """Median updates of the champion's runs that the attempt was compared with; 0 where there are none."""
    runs = [
        one for past in campaign.attempts() if past.id <= attempt.id for one in (*past.trials, *past.champion_trials)
    ]
    steps = [one.metrics.num_steps for one in runs if one.commit == attempt.parent and one.metrics.num_steps]
    return statistics.median(steps) if steps and attempt.id > 1 else 0.0


def report(campaign: Campaign, attempt: Attempt) -> None:
    """At most 12 lines: what happened, where train.py stands, and what the history says should come next."""
    lines = [f"attempt {attempt.name} {attempt.commit[:7]} {attempt.description}", closing.outcome(attempt)]
    trained = sorted(
        (one.metrics for one in attempt.trials if one.metrics.num_steps), key=lambda one: one.num_steps or 0
    )
    typical = trained[len(trained) // 2] if trained else None  # of several runs, the one with the median updates
    crash = next((one.crash for one in attempt.trials if one.crash), None)
    if crash and attempt.status == Status.CRASH:
        lines += crash.tail.splitlines()[-3:]
        lines.append(f"the whole of it: `uv run -m autoresearch show {attempt.name}`")
    elif typical and typical.num_steps:
        tokens = f", {typical.total_tokens_M:.1f}M tokens" if typical.total_tokens_M else ""
        usual = usual_steps(campaign, attempt)
        pace = f" (champion {usual:.0f})" if usual and abs(typical.num_steps / usual - 1) > UNEVEN_FRAC else ""
        lines.append(f"{typical.num_steps} steps{pace}{tokens}, {(typical.peak_vram_mb or 0) / 1024:.1f} GB")
    lines += closing.whereabouts(campaign, attempt)
    lines += [f"note: {' '.join(notice.split())}" for notice in attempt.notices[:2]]
    lines += closing.directives(campaign, campaign.attempts())[:2]
    print("\n".join(line[:WIDTH] for line in lines))
