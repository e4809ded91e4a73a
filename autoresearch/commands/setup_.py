"""setup TAG."""

import contextlib
from typing import Annotated

import typer

from autoresearch import arena
from autoresearch.attempt import judge, setup
from autoresearch.attempt.campaign import Campaign
from autoresearch.commands import background, sharing, terminal
from autoresearch.hub.client import fetch
from autoresearch.records import Attempt

PATIENCE_S = 30.0


def main(
    tag: Annotated[str, typer.Argument(help="Name of the campaign; today's date, say nov20.")],
    baseline_runs: Annotated[
        int, typer.Option(min=1, help="Runs of the unchanged files; two or more measure noise.")
    ] = 2,
    start: Annotated[str, typer.Option("--from", help="Commit to begin from.")] = "HEAD",
    hub: sharing.Hub = False,
    detach: background.Detach = False,
    finish: Annotated[bool, typer.Option("--finish", hidden=True)] = False,
) -> None:
    """Begin a tag."""
    campaign = terminal.campaign(tag)
    partner = sharing.Partner(campaign, PATIENCE_S) if hub else None
    if finish:  # the child of `--detach`: it inherited the locks
        terminal.end_orderly()
        measure(campaign, campaign.ledger.read(1), baseline_runs, partner)
        return
    what = f"setup of {tag}"
    with terminal.hold(campaign, what) as locks:
        with partner.promised(after=0) if partner else contextlib.nullcontext():
            attempt = prepare(campaign, start, hub)
        if detach:
            words = ["setup", tag, "--baseline-runs", str(baseline_runs), "--finish", *["--hub"] * hub]
            background.hand_over(campaign, what, words, campaign.ledger.folder / f"{attempt.name}.out", locks)
        else:
            measure(campaign, attempt, baseline_runs, partner)


def prepare(campaign: Campaign, start: str, hub: bool) -> Attempt:
    """Make the tag; one for a hub, or on code from one, begins at a commit of the shared files alone."""
    repo, foreign = campaign.repo, []
    if campaign.arena.own:
        commit = repo.resolve(start)
        foreign = fetch.origins(repo, commit)
        if (hub or foreign) and not setup.is_shared(campaign, commit):
            start = repo.root_of(commit, [*arena.SHARED], "baseline")
    return setup.prepare_tag(campaign, start, terminal.now(), foreign)


def measure(campaign: Campaign, attempt: Attempt, num_runs: int, partner: sharing.Partner | None) -> None:
    """Measure the baseline and say what to do next; tell a hub if there is one."""
    judge.measure_baseline(campaign, attempt, num_runs, terminal.now)
    noise = campaign.noise(campaign.attempts())
    scores = ", ".join(f"{score:.6f}" for score in attempt.scores())
    print(f"branch {campaign.branch} at {attempt.commit[:7]}, regime {attempt.regime}")
    print(f"baseline {campaign.arena.metric.name}: {scores}; noise of one run {noise.sigma:.5f}")
    for notice in attempt.notices:
        print(f"note: {notice}")
    files = ", ".join(campaign.arena.mutable)
    print(f'next: edit {files}, then `uv run -m autoresearch try -m "what changed" --hypothesis "why"`')
    if partner:
        partner.tell()
