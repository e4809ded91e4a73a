"""When a night ends, and how long to wait before the agent is started again: pure functions of what happened."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from autoresearch import signals
from autoresearch.night.gate import NOT_RUN
from autoresearch.records import Attempt, Status

PLATEAUS = 3  # as many attempts without a gain as this many times the signal's number end a night
FAILURE_WINDOW = 10
FAILURE_FRAC = 0.8
SAME_FAILURES = 5
FRUITLESS_LIVES = 8
FIRST_PAUSE_S = 2.0
LONGEST_PAUSE_S = 1800.0
FIRST_LIMITED_PAUSE_S = 60.0
LONGEST_ASKED_S = 6 * 3600.0
COST_FAILURES = 5
LIMITED = re.compile(
    r"rate.?limit|usage limit|quota|too many requests|overloaded|(?<![\d.])(?:429|529)\b|limit reached|resets? in\b",
    re.IGNORECASE,
)
PART = r"(\d+(?:\.\d+)?)\s*(ms|d(?:ays?)?|h(?:(?:ou)?rs?)?|m(?:in(?:ute)?s?)?|s(?:ec(?:ond)?s?)?)(?![a-z])"
WAIT = re.compile(
    r"(?:retry[-_ ]?(?:after|delay|in)(?![-_]ms)|try again|wait|resets?)[^\n]{0,20}?(?<![\w.])"
    rf"(?:((?:{PART}(?:,|\s|and)*)+)|(\d+(?:\.\d+)?)(?!\w|[.:/-]\d))",
    re.IGNORECASE,
)
UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


@dataclass(frozen=True)
class Limits:
    """What a person allows a night."""

    hours: float = 8.0
    """Since the night first began, restarts included."""
    max_attempts: int | None = None
    """Attempts of this night; None: any number."""
    max_cost: float | None = None
    """What the agent may cost, in the currency of the cost command; None: not watched."""
    stop_on_plateau: bool = False
    patience_s: float = 1800.0
    """How long an agent may run without a new attempt."""


@dataclass(frozen=True)
class Life:
    """One start of the agent, from its first instant to its end."""

    seconds: float
    num_attempts: int
    """Attempts that began meanwhile."""
    exit_code: int | None
    """Negative for a signal; None where the night watch ended it."""
    tail: str
    """The end of what it printed."""

    @property
    def is_limited(self) -> bool:
        """Whether it left because its service would not have it any more, or not for now."""
        is_failure = self.exit_code not in (0, None) or (self.exit_code == 0 and not self.num_attempts)
        return is_failure and LIMITED.search(self.tail) is not None


@dataclass(frozen=True)
class Standing:
    """Where a night stands."""

    elapsed_s: float
    attempts: Sequence[Attempt]
    """Those of this night that are closed, oldest first."""
    noise: float
    """Of one run, in units of the metric; 0 while it is unknown."""
    cost: float | None
    """So far; None: unknown or not watched."""
    num_cost_failures: int
    """How often on end the cost could not be found out."""
    lives: Sequence[Life]
    """Those of this night, oldest first."""


def reason_to_stop(limits: Limits, now: Standing) -> str:
    """Why the night is over, in one line; empty while it is not."""
    return next(filter(None, (rule(limits, now) for rule in RULES)), "")


def over_time(limits: Limits, now: Standing) -> str:
    """The hours are over."""
    return f"time: {limits.hours:g} hours are over" if now.elapsed_s >= 3600 * limits.hours else ""


def enough_attempts(limits: Limits, now: Standing) -> str:
    """As many attempts as were asked for."""
    count = len(judged(now.attempts))
    return f"attempts: {count} are done" if limits.max_attempts is not None and count >= limits.max_attempts else ""


def over_cost(limits: Limits, now: Standing) -> str:
    """The cost is reached; a cost that nobody can find out counts as reached, for it may be."""
    if limits.max_cost is None:
        return ""
    if now.cost is not None and now.cost >= limits.max_cost:
        return f"cost: {now.cost:.2f} of {limits.max_cost:.2f} are spent"
    if now.num_cost_failures >= COST_FAILURES:
        return f"cost: the cost command failed {now.num_cost_failures} times on end, so the cost is unknown"
    return ""


def failing(limits: Limits, now: Standing) -> str:
    """Most of the latest attempts crashed."""
    latest = judged(now.attempts)[-FAILURE_WINDOW:]
    crashed = sum(one.status == Status.CRASH for one in latest)
    if len(latest) < FAILURE_WINDOW or crashed < FAILURE_FRAC * FAILURE_WINDOW:
        return ""
    return f"failures: {crashed} of the last {FAILURE_WINDOW} attempts crashed"


def same_failure(limits: Limits, now: Standing) -> str:
    """The same crash again and again."""
    latest = [cause_of(one) for one in judged(now.attempts)[-SAME_FAILURES:]]
    if len(latest) < SAME_FAILURES or len(set(latest)) > 1 or not latest[0]:
        return ""
    return f"same failure: the last {SAME_FAILURES} attempts all ended with {latest[0]}"


def plateau(limits: Limits, now: Standing) -> str:
    """No gain for very long, where the person asked to stop then."""
    count = signals.num_without_gain(judged(now.attempts), now.noise)
    is_long = count >= PLATEAUS * signals.PLATEAU
    return f"plateau: {count} attempts without a gain" if limits.stop_on_plateau and is_long else ""


def helpless(limits: Limits, now: Standing) -> str:
    """The agent was started again and again and tried nothing."""
    count = num_fruitless(now.lives)
    if count < FRUITLESS_LIVES:
        return ""
    last = now.lives[-1]
    how = "was ended after doing nothing" if last.exit_code is None else f"left with {last.exit_code}"
    words = last.tail.strip().splitlines()[-1:] or ["and said nothing"]
    return f"agent: {count} starts on end without an attempt; the last {how}: {words[0][:200]}"


def not_run(limits: Limits, now: Standing) -> str:
    """The agent cannot be run, and starting it again changes nothing."""
    is_so = bool(now.lives) and now.lives[-1].exit_code == NOT_RUN and not now.lives[-1].num_attempts
    return f"agent: it must be a program that runs, but {now.lives[-1].tail.strip()[-200:]}" if is_so else ""


RULES = (over_time, enough_attempts, over_cost, failing, same_failure, plateau, not_run, helpless)


def judged(attempts: Sequence[Attempt]) -> list[Attempt]:
    """Attempts that tell something: not steps back, not what a person or a kill cut off."""
    return [one for one in attempts if one.status != Status.BACKTRACK and not signals.is_cut_off(one)]


def cause_of(attempt: Attempt) -> str:
    """The crash of an attempt in a few words; empty where it did not crash."""
    crash = next((one.crash for one in attempt.trials if one.crash), None)
    return f"{crash.kind}: {crash.why[:120]}" if crash and attempt.status == Status.CRASH else ""


def num_fruitless(lives: Sequence[Life]) -> int:
    """Lives on end without an attempt, those aside that ended because the service would not have the agent."""
    count = 0
    for life in reversed(lives):
        if life.num_attempts:
            break
        count += not life.is_limited
    return count


def pause_s(lives: Sequence[Life]) -> float:
    """Seconds before the next start: longer each time that nothing came of one, as long as the service asks for."""
    if not lives:
        return 0.0
    last, barren = lives[-1], 0
    if last.num_attempts and not last.is_limited:
        return FIRST_PAUSE_S
    for life in reversed(lives):
        if life.is_limited != last.is_limited or (life.num_attempts and life is not last):
            break
        barren += 1
    first = FIRST_LIMITED_PAUSE_S if last.is_limited else FIRST_PAUSE_S
    return max(min(first * 2 ** (barren - 1), LONGEST_PAUSE_S), asked_pause_s(last.tail) if last.is_limited else 0.0)


def asked_pause_s(text: str) -> float:
    """The wait that a service asked for, in seconds, at most six hours; 0 where it named none."""
    found = [*WAIT.finditer(text)]
    if not found:
        return 0.0
    duration, *_, number = found[-1].groups()
    parts = re.findall(PART, duration or f"{number} s", re.IGNORECASE)
    seconds = (float(count) * UNIT_S["ms" if unit.lower() == "ms" else unit[0].lower()] for count, unit in parts)
    return min(LONGEST_ASKED_S, sum(seconds))
