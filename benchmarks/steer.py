"""Does the memory find the best schedules where a high peak failed for another reason? Campaigns on known surfaces.

    uv run --extra search benchmarks/steer.py              # the table, on seeds that nothing was tuned on
    uv run --extra search benchmarks/steer.py --first 0    # on the seeds that the memory was developed with

Every campaign begins with the history that misled the published controller: three low peaks that decayed well, and the
peak of the optimum once, without decay, and failing: with a bad result on even seeds, diverged on odd ones. Then each
memory proposes, one round at a time, up to 30 rounds in all. What counts is the plan that it would report.
"""

import argparse
import json
import random
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from steer_surfaces import FAMILIES, HIGH, LOW, POINTS, SIGMA_REL, Surface, is_in_region, optimum

from autoresearch.steer import memory, standing
from autoresearch.steer.features import features_of_plan
from autoresearch.steer.plan import Plan
from autoresearch.steer.regions import part_of
from autoresearch.steer.rows import Final
from autoresearch.steer.space import Space

ROUNDS = 30
SEARCHED = 400  # schedules among which the true optimum is looked for; then around the best, closer and closer
CLIMBS, CLIMBED = (0.3, 0.2, 0.1, 0.1, 0.05, 0.05, 0.02, 0.02), 60
FRESH = 2000  # the first seed that nothing was tuned on
SPACE = Space(LOW, HIGH, lr_start=3e-4)
PEAK_ALONE = (0,)
Choose = Callable[[Sequence[Final], random.Random, int], memory.Advice | Plan]


@dataclass(frozen=True)
class Truth:
    """What is known of a surface and no memory is told."""

    surface: Surface
    plan: Plan
    score: float


@dataclass(frozen=True)
class Outcome:
    """How a campaign went."""

    in_region: bool
    """The plan that it reports is truly as good as the optimum, within tolerance."""
    first_in_region: int | None
    """The first round that was."""
    regret: float
    """Of the plan reported, as a share of the optimum's score."""
    called_bad: int
    """Rounds before which the part of the peaks that holds the optimum was called bad."""
    num_diverged: int


def curve(plan: Plan) -> np.ndarray:
    """The learning rates of a plan."""
    return np.array([plan.lr(place / POINTS) for place in range(1, POINTS + 1)])


def draw(family: str, seed: int) -> Truth:
    """A surface on which the best peak without decay really is worse than the best of the low peaks that decayed."""
    for attempt in range(100):
        surface = FAMILIES[family](seed + 10_000 * attempt)
        rng = random.Random(seed)
        truth = best_of(surface, [SPACE.draw(rng) for _ in range(SEARCHED)])
        for step in CLIMBS:
            near = [SPACE.near(truth.plan, step, rng) for _ in range(CLIMBED)]
            truth = best_of(surface, [truth.plan, *near])
        *low, failed = (surface.respond(curve(plan))[0] for plan in seed_plans(truth))
        if failed > min(low) * (1 + 2 * SIGMA_REL):
            return truth
    raise ValueError(f"no surface of {family} has the confounding of the published rounds")


def best_of(surface: Surface, plans: Sequence[Plan]) -> Truth:
    """The truly best of many plans."""
    number, score = optimum(surface, [curve(plan) for plan in plans])
    return Truth(surface, plans[number], score)


def seed_plans(truth: Truth) -> list[Plan]:
    """Low peaks with decay, then the best peak without."""
    low = [SPACE.plan([0, 0.2, 0.5, 0.2]).model_copy(update=_peak(truth.plan.lr_peak / by)) for by in (8, 4, 2.5)]
    failing = low[0].model_copy(update={**_peak(truth.plan.lr_peak), "shape": "constant", "final": 0.5})
    return [*low, failing]


def _peak(lr: float) -> dict[str, float]:
    return {"lr_peak": lr, "lr_start": min(SPACE.lr_start, lr)}


def final_of(number: int, plan: Plan, result: float | None, seed: int) -> Final:
    """The row of a round; a diverged one is cut off halfway."""
    lr = [(place / 100, plan.lr(place / 100)) for place in range(1, 101)]
    return Final(
        round=number, arm="none", seed=seed, status="diverged" if result is None else "ok", plan=plan, result=result,
        lr=lr if result is not None else lr[:50],
    )  # fmt: skip


def history(truth: Truth, seed: int, rng: random.Random) -> list[Final]:
    """The rounds that every memory begins with."""
    rows: list[Final] = []
    for number, plan in enumerate(seed_plans(truth), 1):
        score, _ = truth.surface.respond(curve(plan))
        result = None if number == 4 and seed % 2 else score * (1 + SIGMA_REL * rng.gauss(0, 1))
        rows.append(final_of(number, plan, result, seed))
    return rows


def by_memory(dims: Sequence[int] = memory.ALL) -> Choose:
    """The memory, looking at some dimensions."""
    return lambda finals, rng, num_left: memory.advise(finals, SPACE, rng, num_left, dims)


def at_random(finals: Sequence[Final], rng: random.Random, num_left: int) -> memory.Advice | Plan:
    """No memory; the last rounds repeat the best as the memory does, with all that it sees."""
    advice = memory.advise(finals, SPACE, rng, num_left)
    return advice.choices[0].plan if advice.choices[0].kind == "repeat" else SPACE.draw(rng)


WAYS: dict[str, Choose] = {"memory": by_memory(), "peak alone": by_memory(PEAK_ALONE), "random": at_random}


def play(truth: Truth, seed: int, choose: Choose, rounds: int = ROUNDS) -> Outcome:
    """One campaign."""
    rng = random.Random(seed)
    rows = history(truth, seed, rng)
    frame = memory.frame_of(SPACE)
    part = part_of(0, features_of_plan(truth.plan).coordinates, frame)
    called_bad = 0
    while len(rows) < rounds:
        answer = choose(rows, rng, rounds - len(rows))
        if isinstance(answer, memory.Advice):
            peaks = [one for one in answer.regions if one.dimension == 0]
            called_bad += peaks[part].is_bad
        plan = answer if isinstance(answer, Plan) else answer.choices[0].plan
        rows.append(final_of(len(rows) + 1, plan, truth.surface.run(curve(plan), rng), seed))
    found = [number for number, row in enumerate(rows, 1) if is_in_region(truth.surface, curve(row.plan), truth.score)]
    best = (standing.reported(rows) or standing.standings(rows))[0].plan
    regret = truth.surface.respond(curve(best))[0] / truth.score - 1
    inside = is_in_region(truth.surface, curve(best), truth.score)
    return Outcome(inside, found[0] if found else None, regret, called_bad, sum(row.result is None for row in rows))


@dataclass(frozen=True)
class Row:
    """A line of the table."""

    family: str
    way: str
    campaigns: int
    in_region: int
    """Campaigns whose reported plan lies in the optimum's region."""
    ever: int
    """Campaigns in which any round did."""
    first: float | None
    """Median of the first such round."""
    regret: float
    """Median, as a share of the optimum's score."""
    worst: float
    called_bad: int
    """Campaigns in which the optimum's part of the peaks was ever called bad."""
    diverged: float
    """Mean number of rounds."""


def summary(family: str, way: str, outcomes: Sequence[Outcome]) -> Row:
    """Campaigns of one kind."""
    first = [one.first_in_region for one in outcomes if one.first_in_region is not None]
    regrets = [one.regret for one in outcomes]
    return Row(
        family, way, len(outcomes), sum(one.in_region for one in outcomes), len(first),
        statistics.median(first) if first else None, statistics.median(regrets), max(regrets),
        sum(one.called_bad > 0 for one in outcomes), statistics.fmean(one.num_diverged for one in outcomes),
    )  # fmt: skip


def main() -> None:
    """Play and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--first", type=int, default=FRESH, help="first seed")
    parser.add_argument("--seeds", type=int, default=20, help="campaigns of each kind")
    parser.add_argument("--families", default=",".join(FAMILIES), help="of surfaces, with commas")
    parser.add_argument("--ways", default=",".join(WAYS), help="to choose plans, with commas")
    parser.add_argument("--quick", action="store_true", help="two families, the first three seeds, without random")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    families = ["mean", "valley"] if options.quick else options.families.split(",")
    ways = ["memory", "peak alone"] if options.quick else options.ways.split(",")
    seeds = range(3) if options.quick else range(options.first, options.first + options.seeds)
    rows = []
    for family in families:
        truths = {seed: draw(family, seed) for seed in seeds}
        rows += [summary(family, way, [play(truths[seed], seed, WAYS[way]) for seed in seeds]) for way in ways]
    if options.json:
        print(json.dumps([vars(row) for row in rows], indent=1))
        return
    print("| surface | memory | reported in the region | any round in it | first round in it | regret, median | worst "
          "| region called bad | diverged rounds |")  # fmt: skip
    print("|---" * 9 + "|")
    for row in rows:
        print(
            f"| {row.family} | {row.way} | {row.in_region} of {row.campaigns} | {row.ever} | {row.first or '-'} "
            f"| {100 * row.regret:.2f}% | {100 * row.worst:.2f}% | {row.called_bad} | {row.diverged:.1f} |"
        )


if __name__ == "__main__":
    main()
