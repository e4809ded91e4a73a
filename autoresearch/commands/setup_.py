"""setup TAG."""

from typing import Annotated

import typer

from autoresearch.attempt import judge, setup
from autoresearch.commands import terminal


def main(
    tag: Annotated[str, typer.Argument(help="Name of the campaign; today's date, say nov20.")],
    baseline_runs: Annotated[
        int, typer.Option(min=1, help="Runs of the unchanged files; two or more measure noise.")
    ] = 2,
    start: Annotated[str, typer.Option("--from", help="Commit to begin from.")] = "HEAD",
) -> None:
    """Begin a tag."""
    campaign = terminal.campaign(tag)
    with terminal.hold(campaign, f"setup of {tag}"):
        attempt = setup.prepare_tag(campaign, start, terminal.now())
        judge.measure_baseline(campaign, attempt, baseline_runs, terminal.now)
    noise = campaign.noise(campaign.attempts())
    scores = ", ".join(f"{score:.6f}" for score in attempt.scores())
    print(f"branch {campaign.branch} at {attempt.commit[:7]}, regime {attempt.regime}")
    print(f"baseline {campaign.arena.metric.name}: {scores}; noise of one run {noise.sigma:.5f}")
    print('next: edit train.py, then `uv run -m autoresearch try -m "what changed" --hypothesis "why"`')
