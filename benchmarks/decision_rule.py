"""Simulate whole campaigns of attempts and count how often each keep rule is right, and where it ends.

    uv run benchmarks/decision_rule.py           every table, about three minutes; --quick for few repetitions
    uv run benchmarks/decision_rule.py --tune    the search for the bounds of autoresearch/verdict.py, ten minutes

What is simulated, and what is not, stands in benchmarks/campaigns.py.
"""

import argparse
import itertools
import json
import math
import random
import statistics

from campaigns import PRIOR_SIGMA, Branch, Rule, World, attempt, start

from autoresearch.verdict import Bounds, Terms, decide

EFFECTS = (0.0, 1.0, 2.0, 3.0)
CAMPAIGN_RUNS = 150
WARM_ATTEMPTS = 30  # "later in a campaign" is the ten attempts after so many


def ours(name: str = "ours", terms: Terms | None = None, watches: bool = True) -> Rule:
    def judge(runs: list[float], branch: Branch) -> str:
        branch.judged = decide(runs, branch.champion, branch.noise(runs), terms or Terms(), branch.luck())
        return branch.judged.decision

    return Rule(name, judge, 2, watches)


def judge_any_lower(runs: list[float], branch: Branch) -> str:
    return "keep" if runs[0] < branch.champion[0] else "discard"


def judge_by_mad(runs: list[float], branch: Branch) -> str:
    """Keep a gain over the champion of at least one median absolute deviation of all scores of the campaign."""
    scores = [score for group in [*branch.closed, branch.champion, runs] for score in group]
    middle = statistics.median(scores)
    mad = statistics.median(abs(score - middle) for score in scores) if len(scores) > 2 else 0.0
    gain = branch.champion[0] - runs[0]
    return "keep" if gain > 0 and gain >= mad else "discard"


def judge_by_bootstrap(runs: list[float], branch: Branch) -> str:
    """Reject a first run that is not lower; else take 3 and keep if 95% of the resampled means are lower."""
    if len(runs) == 1 and runs[0] >= statistics.fmean(branch.champion):
        return "discard"
    if len(runs) < 3:
        return "again"
    means, others = ([sum(x) / 3 for x in itertools.product(side, repeat=3)] for side in (runs, branch.champion))
    lower = sum(a < b for a in means for b in others) / (len(means) * len(others))
    return "keep" if lower >= 0.95 else "discard"


def judge_by_oracle(runs: list[float], branch: Branch) -> str:
    """The best three-run rule within the limits that a grid search finds where champion and noise are known for free.

    It keeps 4.5% of changes without effect, 74% of gains of 2 sigma and 95% of 3: what no real rule can beat.
    """
    sigma = PRIOR_SIGMA * branch.world.noise_ratio
    truth = 1 - sigma * (branch.quality + branch.offset)
    gain = (truth - statistics.fmean(runs)) / sigma
    discard, keep = ((1.3, 1.8), (1.1, 1.4), (0.9, 0.9))[len(runs) - 1]
    return "keep" if gain > keep else "discard" if gain <= discard else "again"


RULES = (
    ours(),
    ours("ours, champion never checked", watches=False),
    Rule("upstream: any lower number", judge_any_lower, 1),
    Rule("MAD of the campaign", judge_by_mad, 1),
    Rule("bootstrap of up to 3", judge_by_bootstrap, 3),
    Rule("oracle within our limits", judge_by_oracle, 1),
)
WORLDS = (
    World("noise known", known=True),
    World("noise estimated, prior right"),
    World("noise half the prior's", noise_ratio=0.5),
    World("noise twice the prior's", noise_ratio=2.0),
    World("heavy tails (t3)", shape="t3"),
    World("noise differs by configuration", shape="uneven"),
    World("machine drifts by 5 sigma every 50 runs", runs_between_drifts=50, drift_sigmas=5.0),
    World("ideas spent: 55 of 100 do nothing, 45 are worse", spent=True),
)


def measure_rates(
    world: World, how: Rule, num_branches: int, seed: int, later: bool, effects: tuple[float, ...] = EFFECTS
) -> dict[str, float]:
    """Return the share of changes kept for each true effect, on a new branch or later in a campaign."""
    rng, kept = random.Random(seed), {effect: [0, 0] for effect in effects}
    for _ in range(num_branches):
        branch = start(world, how, rng)
        for _ in range(WARM_ATTEMPTS if later else 0):
            attempt(branch, how, world.draw_effect(rng))
        for _ in range(10 if later else 1):
            for effect, counts in kept.items():
                counts[0] += attempt(branch.fork(), how, effect)
                counts[1] += 1
            attempt(branch, how, world.draw_effect(rng))
    return {f"{effect:+g}": hits / tries for effect, (hits, tries) in kept.items()}


def measure_campaign(world: World, how: Rule, num_branches: int, seed: int, num_runs: int) -> dict[str, float]:
    """Return where campaigns of the mix end after `num_runs` runs, and what they cost and claim."""
    rng, branches = random.Random(seed), []
    for _ in range(num_branches):
        branch = start(world, how, rng)
        while True:
            trial = branch.fork()
            attempt(trial, how, world.draw_effect(rng))
            if trial.num_runs > num_runs:  # an attempt that the budget cuts off decides nothing
                break
            branch = trial
        branches.append(branch)
    keeps = [effect for branch in branches for effect in branch.keeps]
    qualities = [branch.quality for branch in branches]
    return {
        "quality": statistics.fmean(qualities),
        "standard error": statistics.stdev(qualities) / math.sqrt(num_branches),
        "claimed": statistics.fmean(branch.claimed for branch in branches),
        "keeps": len(keeps) / num_branches,
        "useless keeps": sum(effect < 0.5 for effect in keeps) / num_branches,
        "runs per attempt": sum(b.num_runs - how.setup_runs for b in branches) / sum(b.num_attempts for b in branches),
    }


def measure_all(num_branches: int, seed: int) -> dict[str, list[dict]]:
    """Return the rows of the three tables; a new branch is ten times cheaper to simulate than a later one."""
    rates, simpler, ends = [], [], []
    simplify = ours("simpler", Terms(simpler=True, deletes_more=True))
    for world, later in itertools.product(WORLDS, (False, True)):
        row, count = {"world": world.name, "branch": "later" if later else "new"}, num_branches * (1 if later else 10)
        rates.append(row | measure_rates(world, ours(), count, seed, later))
        if world is WORLDS[1]:
            simpler.append(row | measure_rates(world, simplify, count, seed, later, (0.0, -1.0, -2.0, -3.0)))
    for world, how in itertools.product(WORLDS[1:], RULES):
        row = {"world": world.name, "rule": how.name}
        ends.append(row | measure_campaign(world, how, num_branches, seed, CAMPAIGN_RUNS))
    return {"share kept": rates, "simplifications kept": simpler, f"campaigns of {CAMPAIGN_RUNS} runs": ends}


def tune(num_branches: int, seed: int) -> list[dict]:
    """Return the bounds that fall least short of the requirements in three conditions, the cheapest first."""
    grid = itertools.product((0.99, 0.995), (0.94, 0.945), (0.7, 0.73, 0.76), (0.8, 0.85), (0.3, 0.35, 0.4), (3, 4))
    rows: list[dict] = []
    for bounds in itertools.starmap(Bounds, grid):
        how = ours(terms=Terms(bounds=bounds))
        found = [measure_rates(world, how, 10 * num_branches, seed, later=False) for world in WORLDS[:2]]
        found.append(measure_rates(WORLDS[1], how, num_branches, seed, later=True))
        end = measure_campaign(WORLDS[1], how, num_branches, seed, CAMPAIGN_RUNS)
        short = max(0.0, end["runs per attempt"] - 1.5)
        for rate in found:
            short += 4 * max(0.0, rate["+0"] - 0.05) + max(0.0, 0.7 - rate["+2"]) + 2 * max(0.0, 0.95 - rate["+3"])
        power = {"new +0": found[0]["+0"], "later +2": found[2]["+2"], "later +3": found[2]["+3"]}
        rows.append(vars(bounds) | {"short": short} | power | {"runs per attempt": end["runs per attempt"]})
    return sorted(rows, key=lambda row: (round(row["short"], 2), row["runs per attempt"]))[:15]


def print_table(title: str, rows: list[dict]) -> None:
    print(f"\n{title}\n\n| " + " | ".join(rows[0]) + " |\n|" + "---|" * len(rows[0]))
    for row in rows:
        cells = (f"{value:.3f}" if isinstance(value, float) else str(value) for value in row.values())
        print("| " + " | ".join(cells) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="use very few repetitions")
    parser.add_argument("--tune", action="store_true", help="search the boundaries instead")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.add_argument("--seed", type=int, default=1, help="seed of the random numbers")
    given = parser.parse_args()
    num_branches = 3 if given.quick else 60 if given.tune else 400
    found = {"bounds": tune(num_branches, given.seed)} if given.tune else measure_all(num_branches, given.seed)
    if given.json:
        return print(json.dumps(found, indent=1))
    for title, rows in found.items():
        print_table(title, rows)


if __name__ == "__main__":
    main()
