"""The memory of a campaign: from the rounds that are over, the plan of the next one and the reasons for it.

It is stateless: every answer follows from the rows alone, so a campaign that was killed goes on as if it had not been.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from autoresearch.steer import brief, standing
from autoresearch.steer.choice import Choice, Kind
from autoresearch.steer.config import Config
from autoresearch.steer.credit import ALL, Credit, Frame, Risk
from autoresearch.steer.features import FAR, LEAST_RISE, NEAR, Features, features_of, features_of_plan
from autoresearch.steer.plan import Plan
from autoresearch.steer.regions import Region, regions_of
from autoresearch.steer.rows import Final, Start
from autoresearch.steer.space import Space

FIRST = 5  # rounds that fill the space evenly before the regression is asked
DRAWN, NEARBY, NUM_BEST = 120, 60, 4  # candidates: anywhere, and near each of the best plans
BOLD = 2.0  # standard deviations that may be hoped for
STEPS = (0.05, 0.15, 0.3)  # of a range, around the best plans
RESERVED = 5  # last rounds of a campaign that repeat its best plans until they are confirmed
SETTLING = 3  # rounds before these that try what is expected to be best, and hope for nothing
SAFE = 0.5  # a plan that is likelier lost than this is nothing to improve on
NUM_CHOICES = 3


@dataclass(frozen=True)
class Advice:
    """What the memory says before a round."""

    choices: list[Choice]
    """The first is taken unless a controller chooses another."""
    brief: str
    """At most 150 words."""
    is_plateau: bool
    regions: list[Region]
    credit: Credit | None
    """None without a result."""

    def start(self, number: int = 0, comment: str = "") -> Start:
        """What a round begins with.

        Args:
            number: of the choice; one that is not there is the first.
            comment: of whoever chose.
        """
        number = number if 0 <= number < len(self.choices) else 0
        chosen = self.choices[number]
        facts: dict[str, Any] = {key: value for key, value in vars(chosen).items() if key != "plan"}
        facts |= {"choice": number, "num_choices": len(self.choices), "plateau": self.is_plateau, "comment": comment}
        return Start(plan=chosen.plan, brief=self.brief, memory=facts)


def advise(
    finals: Sequence[Final], space: Space, random: Random, num_left: int | None = None, dims: Sequence[int] = ALL
) -> Advice:
    """Say what to try next.

    Args:
        finals: rounds that are over, oldest first.
        num_left: rounds that are left, this one included; None: no end is set, and nothing is repeated.
        dims: numbers of the dimensions that the regression looks at.
    """
    frame = frame_of(space)
    rounds = [one for final in finals if (one := features_of(final))]
    told = [one for one in rounds if one.result is not None]
    plateau = standing.is_plateau(finals)
    crashed = [one.at_crash for one in rounds]
    risk = Risk(crashed, frame)
    credit = Credit(rounds, frame, standing.sigma_of(finals), dims) if told else None
    if credit is None or len(rounds) < FIRST:
        choices = _first(crashed, space, risk, frame)
        regions = regions_of(rounds, frame, None)
    else:
        is_late = num_left is not None and num_left <= RESERVED + SETTLING
        pool = Pool.of(finals, space, random, credit, risk, is_late)
        regions = regions_of(rounds, frame, credit, [one.coordinates for one in pool.features])
        has_turns = plateau and len(rounds) % 2 == 1 and not is_late  # the other rounds go on improving
        choices = pool.choices(len(rounds) // 2 if has_turns else 0)
        choices = [*_repeats(finals, num_left, credit, risk), *choices][:NUM_CHOICES]
    text = brief.write(rounds, regions, choices, credit, plateau)
    return Advice(choices, text, plateau, regions, credit)


Choose = Callable[[Advice], tuple[int, str]]
"""Which of the choices, by its number, and a comment; whoever chooses sees the brief as well."""


def remember(config: Config, choose: Choose | None = None) -> Callable[[Sequence[Final]], Start]:
    """The memory of a campaign: the first round begins as its configuration says, each later one as the rounds before.

    Args:
        choose: may take another than the first choice; whatever it raises is its caller's.
    """
    space = space_of(config)

    def begin(finals: Sequence[Final]) -> Start:
        if all(one.status == "infra_fail" for one in finals):  # such rounds say nothing
            return Start(plan=config.opening(), memory={"kind": "fill", "why": "the plan of the configuration"})
        random = Random(f"{config.seed} {len(finals)}")  # of the round, so that a repeated call says the same
        advice = advise(finals, space, random, config.rounds - len(finals))
        return advice.start(*choose(advice)) if choose else advice.start()

    return begin


def space_of(config: Config) -> Space:
    """The plans that a configuration allows; without floor and ceiling, from half of `lr_init` to 32 times."""
    opening = config.opening()
    low, high = config.lr_floor or config.lr_init / 2, config.lr_ceil or 32 * max(config.lr_init, config.lr_floor)
    return Space(min(low, high), high, lr_start=min(config.lr_init, high), warmup=opening.warmup)


def frame_of(space: Space) -> Frame:
    """The ranges of the coordinates of a space."""
    rate = math.log(NEAR / FAR)
    slow, fast = space.warmup + space.ramp[1], max(LEAST_RISE, (NEAR - FAR) * space.warmup / 2)
    low = (math.log(space.lr_low), math.log(rate / slow), 1 - space.decay[1], space.final[0])
    return Frame(low, (math.log(space.lr_high), math.log(rate / fast), 1 - space.decay[0], (1 + space.final[1]) / 2))


def _first(rounds: Sequence[Features], space: Space, risk: Risk, frame: Frame) -> list[Choice]:
    """Before there is enough to learn from: fill the space; where all was lost, with half the lowest peak lost."""
    lost = [one.log_peak for one in rounds if one.diverged]
    plans = [space.spread(len(rounds) + number) for number in range(NUM_CHOICES)]
    kind: Kind = "fill"
    why = "the space is filled evenly first"
    if lost and len(lost) == len(rounds):
        top = max(space.lr_low, math.exp(min(lost)) / 2)
        plans = [
            space.plan([space.places(plan.model_copy(update={"lr_peak": top}))[0], *space.places(plan)[1:]])
            for plan in plans
        ]
        kind, why = "retreat", "every round so far diverged: half the lowest peak that did"
    chances = risk.predict([features_of_plan(plan) for plan in plans])
    return [Choice(kind, plan, why, p_diverge=float(p)) for plan, p in zip(plans, chances, strict=True)]


def _repeats(finals: Sequence[Final], num_left: int | None, credit: Credit, risk: Risk) -> list[Choice]:
    """The next repetition that is due, if the end is near enough.

    Ranked as it will be reported, but by the expected mean: a single run that was the best was lucky as well.
    """
    import numpy as np

    known = standing.standings(finals)
    features = [features_of_plan(one.plan) for one in known]
    expected, _ = credit.predict([one.coordinates for one in features])
    gain = np.maximum(0, credit.middle - expected - [one.sd for one in known]) * _through(risk.predict(features))
    ranked = [known[number] for number in np.argsort(-gain, kind="stable")[: standing.NUM_REPORTED]]
    due = [one for one in ranked if not one.is_confirmed]
    needed = sum(standing.REPEATS - one.num_runs for one in due)
    if num_left is None or not due or num_left > max(needed, RESERVED):
        return []
    one = due[0]
    why = f"run {one.num_runs + 1} of {standing.REPEATS} before it may be reported"
    return [Choice("repeat", one.plan, why, one.mean, one.sd / math.sqrt(len(one.results)), one.p_diverge)]


@dataclass(frozen=True)
class Pool:
    """Plans that are ranked, with what is expected of each."""

    plans: list[Plan]
    features: list[Features]
    num_contrasts: int
    """The first ones equal the best plan in all but one dimension."""
    mean: Any
    error: Any
    p_diverge: Any
    worth: Any
    """Expected improvement on the best, times the probability to come through; late in a campaign, expected gain on an
    ordinary round."""

    @staticmethod
    def of(finals: Sequence[Final], space: Space, random: Random, credit: Credit, risk: Risk, is_late: bool) -> "Pool":
        """Draw and rank."""
        import numpy as np

        best = [one.plan for one in standing.standings(finals)[:NUM_BEST]]
        contrasts = _contrasts(best[0], finals, space)
        near = [space.near(plan, random.choice(STEPS), random) for plan in best for _ in range(NEARBY)]
        plans = [*contrasts, *near, *(space.draw(random) for _ in range(DRAWN))]
        features = [features_of_plan(plan) for plan in plans]
        mean, error = credit.predict([one.coordinates for one in features])
        p_diverge = risk.predict(features)
        ran = [one for final in finals if (one := features_of(final)) and one.result is not None]
        sound = credit.predict([one.coordinates for one in ran])[0][risk.predict(ran) < SAFE]
        gain = _improvement(float(sound.min(initial=credit.middle)) - mean, error)
        if is_late:
            gain = np.maximum(0, credit.middle - mean)
        return Pool(plans, features, len(contrasts), mean, error, p_diverge, gain * _through(p_diverge))

    def choices(self, turn: int) -> list[Choice]:
        """The best to improve, to contrast and to explore; a turn, counted from 0, begins with another of them."""
        import numpy as np

        found = [
            self._choice("improve", int(np.argmax(self.worth)), "the largest expected gain, weighed by P(diverge)")
        ]
        if self.num_contrasts:
            place = int(np.argmax(self.worth[: self.num_contrasts]))
            found.append(self._choice("contrast", place, "the best plan, changed in one dimension alone"))
        hope = np.where(self.p_diverge < SAFE, self.mean - BOLD * self.error, np.inf)
        found.append(
            self._choice("explore", int(np.argmin(hope)), "the best that may be hoped for where little is known")
        )
        turn %= len(found)
        return found[turn:] + found[:turn]

    def _choice(self, kind: Kind, place: int, why: str) -> Choice:
        numbers = (float(column[place]) for column in (self.mean, self.error, self.p_diverge))
        return Choice(kind, self.plans[place], why, *numbers)


def _contrasts(best: Plan, finals: Sequence[Final], space: Space) -> list[Plan]:
    """The best plan with one number of another round's: what tells which number earned that round its result."""
    places, tried, found = space.places(best), {one.plan.model_dump_json() for one in finals}, {}
    for one in finals:
        other = space.places(one.plan)
        for turned in range(len(places)):
            plan = space.plan([*places[:turned], other[turned], *places[turned + 1 :]], best.shape)
            if plan.model_dump_json() not in tried:
                found[plan.model_dump_json()] = plan
    return list(found.values())


def _through(p_diverge: Any) -> Any:
    """The probability to come through as often as a plan is repeated."""
    return (1 - p_diverge) ** standing.REPEATS


def _improvement(gain: Any, error: Any) -> Any:
    """Expected improvement for a mean gain and its standard deviation (Jones, Schonlau and Welch 1998)."""
    import numpy as np

    error = np.maximum(error, 1e-12)
    z = gain / error
    below = np.array([0.5 * math.erfc(-one / math.sqrt(2)) for one in z])
    return gain * below + error * np.exp(-z * z / 2) / math.sqrt(2 * math.pi)
