"""What the attempts of a tag tell of the dials.

An attempt that changed more than numbers tells nothing of them; what a change of structure did to the best numbers
cannot be known.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from autoresearch import knobs
from autoresearch.advice.dials import Dial
from autoresearch.attempt.campaign import Campaign, measurements
from autoresearch.errors import GitFailed, Refused
from autoresearch.records import Attempt, State, Status

TELLING_CRASHES = ("out of memory", "diverged", "timeout", "error")


@dataclass(frozen=True)
class Sample:
    """One measured combination."""

    places: tuple[float, ...]
    """0 to 1, in the order of the dials."""
    loss: float | None
    """Score, turned so that lower is better, as if measured on the champion's code; None: it did not run."""
    num_runs: int = 1


def samples_of(campaign: Campaign, dials: Sequence[Dial]) -> list[Sample]:
    """What was measured: the champion, and every attempt that changed numbers alone.

    An attempt counts by what it did against its own parent, added to the champion's score, so that numbers tried
    before a change of structure still tell something.
    """
    attempts = [one for one in campaign.attempts() if one.state == State.CLOSED]
    champion = campaign.champion(attempts)
    sign = 1 if campaign.arena.metric.direction == "min" else -1
    scores = measurements(attempts, campaign.pins.regime)
    best = scores.get(champion.commit, [])
    if not best:
        raise Refused(f"champion {champion.name} has no score on the machine as it is now; `try` measures it")
    level = sign * sum(best) / len(best)
    found = [Sample(tuple(dial.place(dial.value) for dial in dials), level, len(best))]
    for attempt in attempts:
        if sample := _sample(campaign, attempt, dials, level, sign):
            found.append(sample)
    return found


def _sample(campaign: Campaign, attempt: Attempt, dials: Sequence[Dial], level: float, sign: int) -> Sample | None:
    """What an attempt tells of the dials; None when it changed more than them, or failed for another reason."""
    if attempt.id == 1 or attempt.status not in (Status.KEEP, Status.DISCARD, Status.CRASH):
        return None
    keys = {dial.key for dial in dials}
    if not attempt.changed or not keys.issuperset(attempt.changed):
        return None
    try:
        values = knobs.read(campaign.repo.show(attempt.commit, campaign.arena.mutable[0]))
    except (GitFailed, Refused):
        return None
    places = []
    for dial in dials:
        value = values[dial.key].value if dial.key in attempt.changed and dial.key in values else dial.value
        places.append(dial.place(float(value)) if isinstance(value, int | float) else dial.place(dial.value))
    crash = next((one.crash for one in attempt.trials if one.crash), None)
    if crash and attempt.status == Status.CRASH:
        infeasible = crash.kind in ("out of memory", "diverged", "timeout", "error")
        return Sample(tuple(places), None) if infeasible else None
    if not attempt.verdict or not attempt.scores():
        return None
    return Sample(tuple(places), level + sign * attempt.verdict.difference, len(attempt.scores()))
