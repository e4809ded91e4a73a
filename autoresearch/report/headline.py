"""The one sentence of the morning: from where to where, how sure, and on what that rests."""

import statistics
from dataclasses import dataclass

from autoresearch import remeasure, verdict
from autoresearch.attempt.closing import count_of
from autoresearch.records import Attempt, Remeasurement
from autoresearch.report.entries import is_sane
from autoresearch.report.story import Story, newest


@dataclass(frozen=True)
class Headline:
    """Baseline and champion, and what lies between them."""

    baseline: str
    champion: str
    change: str
    """Difference with its sign; empty where there is none."""
    half: str
    """Half the 95% interval; empty where nothing was measured twice."""
    percent: str
    state: str
    """`confirmed`, `refuted`, `decided`, `written` or `nothing`: how much it rests on."""
    why: str
    """One or two sentences: where the numbers come from, and what would make them surer."""


def of_story(story: Story) -> Headline | None:
    """The headline; None before the first score."""
    baseline, champion = story.baseline, story.champion
    if not baseline or not champion or baseline.score is None or champion.level is None:
        return None
    if champion is baseline:
        score = f"{champion.level:.4f}"
        why = "Nothing was kept since the baseline: the code is where it was."
        return Headline(score, score, "", "", "", "nothing", why)
    if not champion.attempt or not baseline.attempt:
        change = champion.level - baseline.score
        why = "As the table says; it has no records, so how sure this is was not measured."
        return _headline(baseline.score, change, None, "written", why)
    if found := confirmation(story):
        return _confirmed(story, found)
    runs = [[one for entry in story.entries if entry.attempt for one in _scores(entry.attempt, commit)]
            for commit in (champion.attempt.commit, baseline.attempt.commit)]  # fmt: skip
    if not story.noise or not all(runs):
        return _headline(baseline.score, champion.level - baseline.score, None, "decided", "One run each.")
    change, half = remeasure.gain(runs[0], runs[1], story.noise)
    why = (
        f"From the runs that decided ({len(runs[1])} of the baseline, {len(runs[0])} of the champion): what was chosen "
        f"for measuring well measures too well.{_drift_of(story)} `uv run -m autoresearch confirm` measures both on "
        "fresh seeds."
    )
    return _headline(statistics.fmean(runs[1]), change, half, "decided", why)


def _drift_of(story: Story) -> str:
    """A sentence about the machine, where it did not stay the same between the first run and the last."""
    names = [entry.attempt.name for entry in story.entries if entry.attempt and entry.attempt.drift]
    return f" The machine drifted at {', '.join(names)}, so these runs do not all compare." if names else ""


def confirmation(story: Story) -> Remeasurement | None:
    """The last `confirm` of this very champion."""
    found = newest(story.found, "confirm")
    champion = story.champion.attempt if story.champion else None
    trials = found.trials.get("champion") if found else None
    return found if trials and champion and trials[0].commit == champion.commit else None


def _scores(attempt: Attempt, commit: str) -> list[float]:
    trials = (*attempt.trials, *attempt.champion_trials)
    return [one.score for one in trials if one.commit == commit and one.score is not None and is_sane(one.score)]


def _confirmed(story: Story, found: Remeasurement) -> Headline:
    split = "sealed" if "sealed" in found.gains else "val"
    change, half = found.gains[split]
    baseline = statistics.fmean(remeasure.scores_of(found, "baseline", split))
    stands = story.sign * change + half < 0 and not found.oversize
    text = "on text that no decision ever saw (the chart is of the validation text)"
    text = text if split == "sealed" else "on the validation text"
    ratchet = ""
    if found.ratchet is not None:
        ratchet = f" The steps as they were kept add up to {verdict.signed(found.ratchet, half)}."
    counts = [len(remeasure.scores_of(found, name, split)) for name in ("baseline", "champion")]
    failing = (
        f"Oversize, so nothing is settled: {found.oversize}."
        if found.oversize
        else "The interval includes no gain at all."
    )
    missing = ""
    if set(counts) != {found.num_runs}:
        missing = f" Scores are missing: the baseline has {counts[0]}, the champion {counts[1]}."
    opening = "It stands up: measured" if stands else "Measured" if found.oversize else "It does not stand up. Measured"
    why = (
        f"{opening} again on fresh seeds, "
        f"{count_of(found.num_runs, 'run')} each, {text}.{'' if stands else f' {failing}'}"
        f"{missing}{ratchet}"
    )
    return _headline(baseline, change, half, "confirmed" if stands else "refuted", why)


def _headline(baseline: float, change: float, half: float | None, state: str, why: str) -> Headline:
    scale = half or abs(change) / 30
    return Headline(
        baseline=verdict.plain(baseline, scale),
        champion=verdict.plain(baseline + change, scale),
        change=verdict.signed(change, scale),
        half="" if half is None else verdict.plain(half, half),
        percent=f"{100 * change / abs(baseline):+.1f}%".replace("-", "−") if baseline else "",
        state=state,
        why=why,
    )
