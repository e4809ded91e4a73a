"""Measure again: `confirm` baseline and champion on fresh seeds and sealed text, `ablate` each kept change."""

import math
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from autoresearch import knobs, verdict
from autoresearch.attempt import rules, trial
from autoresearch.attempt.campaign import Campaign, lineage, measurements, seed_of
from autoresearch.errors import Damaged, GitFailed, NoGoodTrial, Refused
from autoresearch.ledger import first_problem
from autoresearch.notes import replace
from autoresearch.records import Attempt, Crash, Noted, Remeasurement, State, Trial

Kind = Literal["confirm", "ablate"]
KINDS: tuple[Kind, ...] = ("confirm", "ablate")
CUT_OFF = "cut off"


def begin_confirm(campaign: Campaign, num_runs: int, now: str) -> Remeasurement:
    """Open the record of a `confirm` of `num_runs` runs each.

    Raises:
        Refused: nothing was kept since the baseline, or what `setup` pinned has changed.
    """
    campaign.check_pins()
    if campaign.champion(campaign.attempts()).commit == campaign.pins.baseline:
        raise Refused("the champion must not be the baseline, but nothing was kept since; `try` something")
    return _open(campaign, "confirm", num_runs, 2 * num_runs, now)


def begin_ablate(campaign: Campaign, num_runs: int, now: str) -> Remeasurement:
    """Open the record of an `ablate` of `num_runs` runs without each change.

    Raises:
        Refused: what `setup` pinned has changed.
    """
    campaign.check_pins()
    attempts = campaign.attempts()
    num_changes = len(lineage(attempts, campaign.champion(attempts))) - 1
    return _open(campaign, "ablate", num_runs, num_changes * num_runs, now)


def _open(campaign: Campaign, kind: Kind, num_runs: int, num_planned: int, now: str) -> Remeasurement:
    found = Remeasurement(
        kind=kind,
        tag=campaign.tag,
        regime=campaign.pins.regime,
        started=now,
        num_runs=num_runs,
        num_planned=num_planned,
    )
    save(campaign, found)
    return found


def confirm(campaign: Campaign, found: Remeasurement, now: Callable[[], str]) -> Remeasurement:
    """Run baseline and champion on seeds that nothing was decided on, as often as the open record says.

    Where there is a sealed split, its score decides the interval and never leaves the record. A run of the champion
    over a limit leaves nothing confirmed.

    Raises:
        NoGoodTrial: a run gave no score.
    """
    attempts = campaign.attempts()
    champion = campaign.champion(attempts)
    commits = {"baseline": campaign.pins.baseline, "champion": champion.commit}
    for run in range(found.num_runs):
        for name, commit in commits.items():
            campaign.say(f"confirm: {name}, run {run + 1} of {found.num_runs}")
            one = measure(campaign, found, commit, name)
            if one.crash:
                found.closed = now()
                save(campaign, found)
                raise NoGoodTrial(f"{name} gave no score: {one.crash.kind}, {one.crash.why}; log: {one.folder}/run.log")
    found.oversize = excess_of(campaign, found.trials["champion"])
    kept = lineage(attempts, champion)
    found.ratchet = sum(one.verdict.difference for one in kept if one.verdict)
    for split in ("val", "sealed"):
        after, before = (scores_of(found, name, split) for name in ("champion", "baseline"))
        if after and before:
            found.gains[split] = gain(after, before, campaign.noise(attempts))
    found.closed = now()
    save(campaign, found)
    return found


def excess_of(campaign: Campaign, trials: list[Trial]) -> str:
    """How many runs exceed limits, and how the first of them does; empty when none does."""
    over = [excess for one in trials if (excess := rules.excesses(campaign, [one]))]
    return f"{len(over)} of {len(trials)} runs {'; '.join(over[0])}" if over else ""


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


def ablate(campaign: Campaign, found: Remeasurement, now: Callable[[], str]) -> Remeasurement:
    """Undo each kept change alone on top of the champion and measure what is lost, as often as the open record says."""
    attempts = campaign.attempts()
    champion = campaign.champion(attempts)
    scores = measurements(attempts, campaign.pins.regime).get(champion.commit, [])
    for attempt in lineage(attempts, champion)[1:]:
        noted = Noted(id=attempt.id, description=attempt.description)
        found.effects.append(noted)
        try:
            commit = leave_out(campaign, champion, attempt)
        except (GitFailed, Refused):
            noted.why = "does not come out alone"
            continue
        campaign.say(f"ablate: without {attempt.name}, {attempt.description}")
        for _ in range(found.num_runs):
            measure(campaign, found, commit, attempt.name)
        noted.oversize = excess_of(campaign, found.trials[attempt.name])
        without = scores_of(found, attempt.name, "val")
        if not without or not scores:
            crashes = [one.crash for one in found.trials[attempt.name] if one.crash]
            noted.why = f"{crashes[0].kind}: {crashes[0].why}" if crashes else "the champion has no comparable score"
            continue
        effect, noted.half = gain(without, scores, campaign.noise(attempts))
        noted.effect = effect if campaign.arena.metric.direction == "min" else -effect
        is_always_over = all(rules.excesses(campaign, [one]) for one in found.trials[attempt.name])
        noted.carries = noted.effect > noted.half or is_always_over
    found.closed = now()
    save(campaign, found)
    return found


def leave_out(campaign: Campaign, champion: Attempt, attempt: Attempt) -> str:
    """The champion without one kept change, as a commit that stays reachable and is made once.

    Raises:
        GitFailed, Refused: the change does not come out alone.
    """
    ref = f"refs/autoresearch/{campaign.tag}/without-{attempt.name}-{champion.commit[:12]}"
    if not campaign.repo.exists(ref):
        try:
            commit = campaign.repo.without(champion.commit, attempt.parent, attempt.commit, campaign.arena.mutable)
        except GitFailed:  # neighbouring lines were changed too: fine, as long as it is about constants
            commit = undo_constants(campaign, champion, attempt)
        campaign.repo.keep_reachable(ref, commit)
    return campaign.repo.resolve(ref)


def undo_constants(campaign: Campaign, champion: Attempt, attempt: Attempt) -> str:
    """The champion with the constants that an attempt changed put back, as a commit.

    Raises:
        Refused: the attempt changed more than constants, or they were changed again since.
    """
    paths = set(campaign.repo.changed(attempt.parent, attempt.commit))
    if len(paths) != 1:
        raise Refused(f"attempt {attempt.name} must have changed one file but changed {', '.join(sorted(paths))}")
    path = paths.pop()
    commits = (attempt.parent, attempt.commit, champion.commit)
    before, after, tip = (campaign.repo.show(commit, path) for commit in commits)
    undone = after
    for key in attempt.changed:
        values = [knobs.read(source).get(key) for source in (before, after, tip)]
        old, new, now = (one and repr(one.value) for one in values)
        if not old or not new or new != now:
            raise Refused(f"{key} must be a constant that was not changed since attempt {attempt.name}")
        undone, tip = knobs.edit(undone, key, old), knobs.edit(tip, key, old)
    if knobs.code_digest(undone) != knobs.code_digest(before):
        raise Refused(f"attempt {attempt.name} must have changed constants alone")
    return campaign.repo.with_text(champion.commit, path, tip, f"without {attempt.commit[:7]}")


def measure(campaign: Campaign, found: Remeasurement, commit: str, name: str) -> Trial:
    """One more trial of a commit, scored on both held-out splits where there are two."""
    run = sum(map(len, found.trials.values())) + 1
    own = path_of(campaign, found)
    num_earlier = sum(path != own for path in own.parent.glob(f"{found.kind}-*.json"))
    seed = seed_of(f"{campaign.tag} {found.kind}", num_earlier, run)
    folder = f"results/{campaign.tag}/{found.name}/{run}"
    one = Trial(commit=commit, seed=seed, folder=folder)
    found.trials.setdefault(name, []).append(one)
    carrier = Attempt(
        tag=campaign.tag, id=0, state=State.STARTED, commit=commit, parent=commit, description=found.kind, trials=[one]
    )
    trial.run(campaign, carrier, one, lambda attempt: save(campaign, found))
    if one.score is not None and campaign.arena.own and found.kind == "confirm":
        sealed = trial.score_of(campaign, one, "", "sealed")
        one.sealed_score = None if isinstance(sealed, Crash) else sealed
    trial.remove_weights(campaign.repo.root / folder)
    save(campaign, found)
    return one


def scores_of(found: Remeasurement, name: str, split: str) -> list[float]:
    """Scores of one configuration on one split."""
    trials = found.trials.get(name, [])
    scores = [one.score if split == "val" else one.sealed_score for one in trials]
    return [score for score in scores if score is not None]


def path_of(campaign: Campaign, found: Remeasurement) -> Path:
    """Where the record lies."""
    return campaign.ledger.folder / f"{found.name}.json"


def save(campaign: Campaign, found: Remeasurement) -> None:
    """Put the record in its place."""
    replace(path_of(campaign, found), found.model_dump_json(indent=1) + "\n")


def read(campaign: Campaign, name: str) -> Remeasurement:
    """One record.

    Raises:
        Damaged: it is not what was written.
    """
    path = campaign.ledger.folder / f"{name}.json"
    try:
        return Remeasurement.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise Damaged(f"{path} is damaged: {first_problem(error)}; move it away") from error


def newest(campaign: Campaign) -> Remeasurement | None:
    """The one that began last."""
    return max(_all(campaign), key=lambda found: found.started, default=None)


def is_complete(found: Remeasurement) -> bool:
    """Whether it came to its end and has a result."""
    return found.closed not in ("", CUT_OFF) and (found.kind == "ablate" or "val" in found.gains)


def _all(campaign: Campaign) -> list[Remeasurement]:
    return [read(campaign, path.stem) for kind in KINDS for path in campaign.ledger.folder.glob(f"{kind}-*.json")]


def heal(campaign: Campaign) -> None:
    """End what is left of a `confirm` or `ablate` that was cut off, and close its record."""
    for found in _all(campaign):
        if found.closed:
            continue
        for one in (one for trials in found.trials.values() for one in trials):
            if one.score is None and not one.crash:
                trial.end_remains(campaign, one)
                one.crash = Crash(kind="interrupted", why="the supervisor was ended before the trial was")
                trial.remove_weights(campaign.repo.root / one.folder)
        found.closed = CUT_OFF
        save(campaign, found)
        campaign.say(f"{found.kind} of {found.started} was cut off; its runs so far are in {path_of(campaign, found)}")
