"""The brief of a round: a generated table of at most 150 words for a controller that reads."""

from collections.abc import Sequence

from autoresearch.steer.choice import Choice
from autoresearch.steer.credit import DIMENSIONS, Credit
from autoresearch.steer.features import Features
from autoresearch.steer.regions import DOUBT, Region

MOST_WORDS = 150
MOST_UNTRIED = 4
STEP = 0.25  # of a range: what effects are told for


def write(
    rounds: Sequence[Features],
    regions: Sequence[Region],
    choices: Sequence[Choice],
    credit: Credit | None,
    is_plateau: bool,
) -> str:
    """The text; what matters least is left out first where it would grow too long."""
    told = [one for one in rounds if one.result is not None]
    lost = sum(one.diverged for one in rounds)
    best = min((one.result for one in told if one.result is not None), default=None)
    head = f"rounds {len(rounds)}, diverged {lost}, best {'none' if best is None else f'{best:.5g}'}"
    if credit:
        head += f", sigma {credit.sigma:.2g}{', plateau' if is_plateau else ''}"
    proposals = [
        f"{number}. {choice.kind}: {choice.plan.words}{_expected(choice)}" for number, choice in enumerate(choices)
    ]
    effects = ["effect of +1/4 range on result, 90%:", *_effects(told, credit)] if credit else []
    bad = [f"bad: {one.words}" for one in regions if one.is_bad]
    untried = [one.words for one in regions if not one.num_rounds][:MOST_UNTRIED]
    tried = [f"untried: {'; '.join(untried)}"] if untried else ["untried: none"]
    lines = [head, *effects, *tried, *bad, *proposals]
    spare = [*bad[::-1], *tried]
    while len(" ".join(lines).split()) > MOST_WORDS and spare:
        lines.remove(spare.pop(0))
    return "\n".join(lines)


def _effects(told: Sequence[Features], credit: Credit) -> list[str]:
    """For each dimension, what a step up from the best round does, with its interval."""
    champion = min(told, key=lambda one: one.result or 0.0)
    lines = []
    for dimension in credit.dims:
        low, high = credit.frame.low[dimension], credit.frame.high[dimension]
        here, there = list(champion.coordinates), list(champion.coordinates)
        here[dimension] = min(max(here[dimension], low), high - STEP * (high - low))  # the step ends within the range
        there[dimension] = here[dimension] + STEP * (high - low)
        mean, doubt = credit.difference(tuple(here), tuple(there))  # type: ignore[arg-type]
        least, most = mean - DOUBT * doubt, mean + DOUBT * doubt
        lines.append(f"{DIMENSIONS[dimension]} {mean:+.3g} [{least:+.2g}, {most:+.2g}]")
    return lines


def _expected(choice: Choice) -> str:
    result = f" -> {choice.mean:.4g}±{choice.error or 0:.2g}" if choice.mean is not None else ""
    return f"{result} P(diverge) {choice.p_diverge:.2f}" if choice.p_diverge is not None else result
