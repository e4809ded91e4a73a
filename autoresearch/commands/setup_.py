"""setup TAG."""

from typing import Annotated

import typer

from autoresearch.attempt import judge, setup
from autoresearch.attempt.campaign import Campaign
from autoresearch.commands import background, terminal
from autoresearch.records import Attempt


def main(
    tag: Annotated[str, typer.Argument(help="Name of the campaign; today's date, say nov20.")],
    baseline_runs: Annotated[
        int, typer.Option(min=1, help="Runs of the unchanged files; two or more measure noise.")
    ] = 2,
    start: Annotated[str, typer.Option("--from", help="Commit to begin from.")] = "HEAD",
    detach: background.Detach = False,
    finish: Annotated[bool, typer.Option("--finish", hidden=True)] = False,
) -> None:
    """Begin a tag."""
    campaign = terminal.campaign(tag)
    if finish:  # the child of `--detach`: it inherited the locks
        terminal.end_orderly()
        measure(campaign, campaign.ledger.read(1), baseline_runs)
        return
    what = f"setup of {tag}"
    with terminal.hold(campaign, what) as locks:
        attempt = setup.prepare_tag(campaign, start, terminal.now())
        if detach:
            words = ["setup", tag, "--baseline-runs", str(baseline_runs), "--finish"]
            background.hand_over(campaign, what, words, campaign.ledger.folder / f"{attempt.name}.out", locks)
        else:
            measure(campaign, attempt, baseline_runs)


def measure(campaign: Campaign, attempt: Attempt, num_runs: int) -> None:
    """Measure the baseline and say what to do next."""
    judge.measure_baseline(campaign, attempt, num_runs, terminal.now)
    noise = campaign.noise(campaign.attempts())
    scores = ", ".join(f"{score:.6f}" for score in attempt.scores())
    print(f"branch {campaign.branch} at {attempt.commit[:7]}, regime {attempt.regime}")
    print(f"baseline {campaign.arena.metric.name}: {scores}; noise of one run {noise.sigma:.5f}")
    for notice in attempt.notices:
        print(f"note: {notice}")
    print('next: edit train.py, then `uv run -m autoresearch try -m "what changed" --hypothesis "why"`')
