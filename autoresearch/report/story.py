"""From what was read to what is told: how far it came, what was kept, what was in vain, where the time went."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from autoresearch import verdict
from autoresearch.attempt.campaign import epochs, lineage
from autoresearch.attempt.closing import outcome
from autoresearch.records import Remeasurement
from autoresearch.report import text
from autoresearch.report.entries import Entry, collect, is_sane, set_levels_by_records, set_levels_by_rows
from autoresearch.report.sources import Found
from autoresearch.verdict import Noise

NUM_DIRECTIONS = 12


@dataclass(frozen=True)
class Kept:
    """One change that the champion stands on."""

    entry: Entry
    gain: str
    """As it was when it was kept."""
    p_better: float | None
    why: str
    """Hypothesis, in one line."""
    lesson: str
    again: str
    """What is lost without it, measured again; empty: not measured."""
    carries: bool | None


@dataclass(frozen=True)
class Direction:
    """What several attempts were about that was never kept."""

    name: str
    tries: int
    best: str
    """The smallest loss of all, in words."""
    entries: list[Entry]
    lesson: str


@dataclass
class Story:
    """Everything that the page tells."""

    found: Found
    entries: list[Entry]
    noise: Noise | None
    """Of one run; None where nothing was measured twice."""
    champion: Entry | None
    baseline: Entry | None
    kept: list[Kept]
    directions: list[Direction]
    crashes: Counter[str]
    counts: Counter[str]
    hours: float | None
    """From the first start to the last end."""
    training_frac: float | None
    """Share of that time spent training."""
    is_alive: bool
    """Whether some process was at it."""

    @property
    def sign(self) -> int:
        """1 where lower is better, else -1."""
        return 1 if self.found.source.direction == "min" else -1


def tell(found: Found, is_alive: bool) -> Story:
    """Order and interpret what was read.

    Args:
        is_alive: whether some process is at it; an attempt without a verdict is `cut off` otherwise.
    """
    entries = collect(found, is_alive)
    regime = found.pins.regime if found.pins else found.attempts[-1].regime if found.attempts else ""
    noise = _noise(found, entries, regime)
    sign = 1 if found.source.direction == "min" else -1
    champion = set_levels_by_records(entries) if found.attempts else set_levels_by_rows(entries, sign)
    scored = [entry for entry in entries if entry.kind == "keep" and entry.score is not None]
    hours, frac = _times(found)
    return Story(
        found=found,
        entries=entries,
        noise=noise,
        champion=champion,
        baseline=scored[0] if scored else None,
        kept=_kept(found, entries, champion, sign),
        directions=_directions(entries, sign),
        crashes=Counter(filter(None, map(_crash_of, entries))),
        counts=Counter(entry.kind for entry in entries),
        hours=hours,
        training_frac=frac,
        is_alive=is_alive,
    )


def _noise(found: Found, entries: list[Entry], regime: str) -> Noise | None:
    """What a change of seed moves the score by; None where nothing was measured twice."""
    measured = [scores for epoch in epochs(found.attempts, regime) for scores in epoch.values()]
    groups = [[score for score in scores if is_sane(score)] for scores in measured]
    if not found.attempts:
        by_commit: dict[str, list[float]] = {}
        for entry in entries:
            if entry.score is not None and entry.commit and entry.kind in ("keep", "discard"):
                by_commit.setdefault(entry.commit, []).append(entry.score)
        groups = list(by_commit.values())
    return verdict.estimate_noise(groups) if any(len(group) > 1 for group in groups) else None


# --- what was kept, and what was in vain


def _kept(found: Found, entries: list[Entry], champion: Entry | None, sign: int) -> list[Kept]:
    if not found.attempts:
        return _kept_rows(entries, sign)
    if not champion or not champion.attempt:
        return []
    ablation = newest(found, "ablate")
    effects = {one.id: one for one in ablation.effects} if ablation else {}
    by_commit = {one.attempt.commit: one for one in entries if one.attempt and one.kind == "keep"}
    told = []
    for attempt in lineage(found.attempts, champion.attempt)[1:]:
        if attempt.commit not in by_commit:
            continue
        effect, again = effects.get(attempt.id), ""
        if effect and effect.effect is not None:
            half = effect.half or 0.0
            again = f"{verdict.signed(-sign * effect.effect, half)} ± {verdict.plain(half, half)}"
        elif effect:
            again = text.line(effect.why)
        if effect and effect.oversize:
            again += f"; oversize without it: {text.line(effect.oversize)}"
        lesson = attempt.analysis.lesson if attempt.analysis else ""
        told.append(
            Kept(
                entry=by_commit[attempt.commit],
                gain=by_commit[attempt.commit].change,
                p_better=attempt.verdict.p_better if attempt.verdict else None,
                why=text.line(attempt.reasoning.hypothesis, 400),
                lesson=text.line(lesson, 400),
                again=again,
                carries=effect.carries if effect else None,
            )
        )
    return told


def _kept_rows(entries: list[Entry], sign: int) -> list[Kept]:
    """Rows that were kept, each against the best before it."""
    told, level = [], None
    for entry in entries:
        if entry.kind == "keep" and entry.score is not None:
            if level is not None:
                gain = verdict.signed(entry.score - level, 1e-4 * abs(level))
                told.append(Kept(entry, gain, None, text.line(entry.reasoning, 400), "", "", None))
            level = entry.level
    return told


def newest(found: Found, kind: str) -> Remeasurement | None:
    """The last `confirm` or `ablate` that came to its end."""
    done = [one for one in found.again if one.kind == kind and one.closed and (one.gains or one.effects)]
    return done[-1] if done else None


def _directions(entries: Sequence[Entry], sign: int) -> list[Direction]:
    """Constants and parts of the code that attempts changed and no keep ever did, the most tried first."""
    tried: dict[str, list[Entry]] = {}
    won: set[str] = set()
    for entry in entries:
        for part in entry.attempt.changed if entry.attempt else ():
            if entry.kind == "keep":
                won.add(part)
            elif entry.kind in ("discard", "crash"):
                tried.setdefault(part, []).append(entry)
    told = []
    for part, lost in tried.items():
        if part in won:
            continue
        judged = [(sign * found.difference, one) for one in lost if (found := one.attempt and one.attempt.verdict)]
        nearest = min(judged, key=lambda pair: pair[0])[1] if judged else None
        lessons = [one.attempt.analysis.lesson for one in lost if one.attempt and one.attempt.analysis]
        best = nearest.change if nearest else "no score"
        told.append(Direction(text.line(part, 60), len(lost), best, lost, text.line(lessons[-1]) if lessons else ""))
    return sorted(told, key=lambda one: (-one.tries, one.name))[:NUM_DIRECTIONS]


def _crash_of(entry: Entry) -> str:
    """Which kind of crash ended an attempt; empty where none did."""
    crashes = [one.crash.kind for one in entry.attempt.trials if one.crash] if entry.attempt else []
    return crashes[0] if crashes and entry.kind == "crash" else ""


def outcome_of(entry: Entry) -> str:
    """The verdict, the crash or the damage in one line."""
    return entry.damage or (text.line(outcome(entry.attempt), 400) if entry.attempt else entry.word)


# --- time


def _times(found: Found) -> tuple[float | None, float | None]:
    """Hours from the first start to the last end, and the share of them spent training."""
    times = [moment(stamp) for one in found.attempts for stamp in (one.started, one.closed)]
    known = [time for time in times if time]
    span_s = (max(known) - min(known)).total_seconds() if known else 0.0
    if span_s <= 0:
        return None, None
    trials = [one for attempt in found.attempts for one in (*attempt.trials, *attempt.champion_trials)]
    trained_s = sum(one.metrics.training_seconds or 0.0 for one in trials)
    return span_s / 3600, min(1.0, trained_s / span_s) if trained_s else None


def moment(stamp: str) -> datetime | None:
    """A time of a record, in UTC; None for what is none."""
    try:
        time = datetime.fromisoformat(stamp)
        return time.astimezone(UTC) if time.tzinfo else None
    except (ValueError, OverflowError):
        return None
