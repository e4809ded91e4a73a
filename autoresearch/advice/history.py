"""What the attempts of a tag tell of the dials.

An attempt that changed more than numbers tells nothing of them; what a change of structure did to the best numbers
cannot be known.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from autoresearch import knobs
from autoresearch.advice.dials import Dial
from autoresearch.attempt.campaign import Campaign, lineage, measurements
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
    """What was measured: the champion first, then what it stands on, and every attempt that changed numbers alone.

    An attempt counts by what it did against its own parent, added to what that parent would score on the champion's
    code; so numbers that were tried before a change of structure still tell something.
    """
    attempts = [one for one in campaign.attempts() if one.state == State.CLOSED]
    champion = campaign.champion(attempts)
    sign = 1 if campaign.arena.metric.direction == "min" else -1
    best = measurements(attempts, campaign.pins.regime).get(champion.commit, [])
    if not best:
        raise Refused(f"champion {champion.name} has no score on the machine as it is now; `try` measures it")
    level = sign * sum(best) / len(best)
    base = frames(attempts, champion, {dial.key for dial in dials}, level, sign)
    found = [Sample(tuple(dial.place(dial.value) for dial in dials), level, len(best))]
    for attempt in attempts:
        if attempt.commit != champion.commit and (sample := _sample(campaign, attempt, dials, base, sign)):
            found.append(sample)
    return found


def frames(attempts: Sequence[Attempt], champion: Attempt, keys: set[str], level: float, sign: int) -> dict[str, float]:
    """Loss of each commit that the champion stands on, as if on the champion's code: steps of structure count as none.

    Args:
        keys: of the dials.
        level: loss of the champion.
    """
    found, loss = {champion.commit: level}, level
    for one in reversed(lineage(list(attempts), champion)):
        if one.id == 1:
            continue
        if one.verdict and one.changed and keys.issuperset(one.changed):
            loss -= sign * one.verdict.difference
        found[one.parent] = loss
    return found


def _sample(
    campaign: Campaign, attempt: Attempt, dials: Sequence[Dial], base: dict[str, float], sign: int
) -> Sample | None:
    """What an attempt tells of the dials; None when it changed more than them, or failed for another reason."""
    is_baseline = attempt.id == 1
    keys = {dial.key for dial in dials}
    frame = base.get(attempt.commit if is_baseline else attempt.parent)
    if frame is None or attempt.status not in (Status.KEEP, Status.DISCARD, Status.CRASH):
        return None
    if not is_baseline and (not attempt.changed or not keys.issuperset(attempt.changed)):
        return None
    places = _places(campaign, attempt, dials)
    crash = next((one.crash for one in attempt.trials if one.crash), None)
    if places is None:
        return None
    if crash and attempt.status == Status.CRASH:
        return Sample(places, None) if crash.kind in TELLING_CRASHES else None
    if is_baseline:
        return Sample(places, frame, len(attempt.scores())) if attempt.scores() else None
    if not attempt.verdict or not attempt.scores():
        return None
    return Sample(places, frame + sign * attempt.verdict.difference, len(attempt.scores()))


def _places(campaign: Campaign, attempt: Attempt, dials: Sequence[Dial]) -> tuple[float, ...] | None:
    """Where an attempt's own values lie; None when one is missing or beyond its range, where no place would be true."""
    try:
        values = knobs.read(campaign.repo.show(attempt.commit, campaign.arena.mutable[0]))
    except (GitFailed, Refused):
        return None
    places = []
    for dial in dials:
        value = values[dial.key].value if dial.key in values else dial.value
        if isinstance(value, bool) or not isinstance(value, int | float) or not dial.low <= value <= dial.high:
            return None
        places.append(dial.place(float(value)))
    return tuple(places)
