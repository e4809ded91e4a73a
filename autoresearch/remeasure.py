"""Measure again: `confirm` baseline and champion on fresh seeds and sealed text, `ablate` each kept change."""

import math
import statistics
from collections.abc import Callable

from autoresearch import process, referee, verdict
from autoresearch.attempt import trial
from autoresearch.attempt.campaign import Campaign, lineage, measurements, seed_of
from autoresearch.errors import GitFailed, NoGoodTrial
from autoresearch.notes import replace
from autoresearch.records import Attempt, Crash, Noted, Remeasurement, State, Trial


def confirm(campaign: Campaign, num_runs: int, now: Callable[[], str]) -> Remeasurement:
    """Run baseline and champion `num_runs` times each on seeds that nothing was decided on.

    Where there is a sealed split, its score decides the interval and never leaves the record.

    Raises:
        NoGoodTrial: a run gave no score.
    """
    attempts = campaign.ledger.attempts()
    champion = campaign.champion(attempts)
    found = Remeasurement(kind="confirm", tag=campaign.tag, regime=campaign.pins.regime, started=now())
    commits = {"baseline": campaign.pins.baseline, "champion": champion.commit}
    for run in range(num_runs):
        for name, commit in commits.items():
            campaign.say(f"confirm: {name}, run {run + 1} of {num_runs}")
            one = measure(campaign, found, commit, name)
            if one.crash:
                raise NoGoodTrial(f"{name} gave no score: {one.crash.kind}, {one.crash.why}; log: {one.folder}/run.log")
    kept = lineage(attempts, champion)
    found.ratchet = sum(one.verdict.difference for one in kept if one.verdict)
    for split in ("val", "sealed"):
        after, before = (scores_of(found, name, split) for name in ("champion", "baseline"))
        if after and before:
            found.gains[split] = gain(after, before, campaign.noise(attempts))
    found.closed = now()
    save(campaign, found)
    return found


def gain(champion: list[float], baseline: list[float], noise: verdict.Noise) -> tuple[float, float]:
    """Difference of means, and half its 95% interval by the campaign's noise."""
    difference = statistics.fmean(champion) - statistics.fmean(baseline)
    error = noise.sigma * math.sqrt(1 / len(champion) + 1 / len(baseline))
    low, high = 0.0, 100.0
    while high - low > 1e-6:  # the 97.5% quantile of Student's t
        middle = (low + high) / 2
        low, high = (
            (middle, high) if verdict.probability_below(middle, noise.degrees_of_freedom) < 0.975 else (low, middle)
        )
    return difference, high * error


def ablate(campaign: Campaign, num_runs: int, now: Callable[[], str]) -> Remeasurement:
    """Undo each kept change alone on top of the champion and measure what is lost."""
    attempts = campaign.ledger.attempts()
    champion = campaign.champion(attempts)
    found = Remeasurement(kind="ablate", tag=campaign.tag, regime=campaign.pins.regime, started=now())
    scores = measurements(attempts, campaign.pins.regime).get(champion.commit, [])
    for attempt in lineage(attempts, champion)[1:]:
        try:
            commit = campaign.repo.without(champion.commit, attempt.parent, attempt.commit, campaign.arena.mutable)
        except GitFailed:
            found.effects.append(Noted(id=attempt.id, description=attempt.description, why="does not come out alone"))
            continue
        campaign.repo.keep_reachable(f"refs/autoresearch/{campaign.tag}/without-{attempt.name}", commit)
        campaign.say(f"ablate: without {attempt.name}, {attempt.description}")
        for _ in range(num_runs):
            measure(campaign, found, commit, attempt.name)
        without = scores_of(found, attempt.name, "val")
        if not without:
            crashes = [one.crash for one in found.trials[attempt.name] if one.crash]
            why = f"{crashes[0].kind}: {crashes[0].why}" if crashes else ""
            found.effects.append(Noted(id=attempt.id, description=attempt.description, why=why))
            continue
        effect, half = gain(without, scores, campaign.noise(attempts))
        worth = effect if campaign.arena.metric.direction == "min" else -effect
        carries = worth > half
        found.effects.append(
            Noted(id=attempt.id, description=attempt.description, effect=worth, half=half, carries=carries)
        )
    found.closed = now()
    save(campaign, found)
    return found


def measure(campaign: Campaign, found: Remeasurement, commit: str, name: str) -> Trial:
    """One more trial of a commit, scored on both held-out splits where there are two."""
    run = sum(map(len, found.trials.values())) + 1
    folder = f"results/{campaign.tag}/{found.kind}-{found.started.replace(':', '')}/{run}"
    seed = seed_of(f"{campaign.tag} {found.kind} {found.started}", 0, run)
    one = Trial(commit=commit, seed=seed, folder=folder)
    found.trials.setdefault(name, []).append(one)
    carrier = Attempt(
        tag=campaign.tag, id=0, state=State.STARTED, commit=commit, parent=commit, description=found.kind, trials=[one]
    )
    trial.run(campaign, carrier, one, lambda attempt: save(campaign, found))
    if one.score is not None and campaign.arena.own and found.kind == "confirm":
        variables = process.environment(campaign.variables, {}, campaign.arena.sandbox.env)
        sealed = referee.score(campaign.repo.root, campaign.repo.root / folder, variables, "sealed")
        one.sealed_score = None if isinstance(sealed, Crash) else sealed
    trial.remove_weights(campaign.repo.root / folder)
    save(campaign, found)
    return one


def scores_of(found: Remeasurement, name: str, split: str) -> list[float]:
    """Scores of one configuration on one split."""
    trials = found.trials.get(name, [])
    scores = [one.score if split == "val" else one.sealed_score for one in trials]
    return [score for score in scores if score is not None]


def save(campaign: Campaign, found: Remeasurement) -> None:
    """Put the record in its place."""
    path = campaign.ledger.folder / f"{found.kind}-{found.started.replace(':', '')}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    replace(path, found.model_dump_json(indent=1) + "\n")
