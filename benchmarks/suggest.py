"""How fast does `suggest` find good numbers? Against random draws and turning one constant at a time.

    uv run --extra search benchmarks/suggest.py --sweep   # real runs of train.py, written to suggest_sweep.json
    uv run --extra search benchmarks/suggest.py           # a table, on a surrogate of that sweep

The surrogate is the mean of a Gaussian process through the sweep, plus the noise of one run as the sweep measured it;
what is compared is its true value, without noise, at the best that each way has kept after so many runs.
"""

import argparse
import json
import os
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from autoresearch import knobs, verdict  # noqa: E402
from autoresearch.advice.dials import Dial, dials_of  # noqa: E402
from autoresearch.advice.history import Sample  # noqa: E402
from autoresearch.advice.model import Model  # noqa: E402
from autoresearch.advice.suggest import suggest, values_at  # noqa: E402

SWEEP = Path(__file__).with_name("suggest_sweep.json")
TURNED = [
    *("EMBEDDING_LR", "UNEMBEDDING_LR", "MATRIX_LR", "WEIGHT_DECAY", "WARMDOWN_RATIO", "FINAL_LR_FRAC"),
    *("INIT_SCALE", "QK_SCALE"),
]
NUM_RUNS, NUM_REPEATS, NUM_STEPS = 72, 6, 120
BUDGET, SEEDS = 30, 20
Way = Callable[[list[Dial], list[Sample], float, random.Random], tuple[float, ...]]


def dials() -> list[Dial]:
    """What is turned, over the ranges of the sweep."""
    source = (ROOT / "train.py").read_text()
    swept = re.sub(r"^(WARMDOWN_RATIO = \S+).*$", r"\1  # range: 0..1", source, flags=re.MULTILINE)
    return dials_of(source, "tiny", TURNED, swept)


def measure(values: dict[str, float], seed: int, folder: Path) -> float | None:
    """One real run; None when it gives no score."""
    source = (ROOT / "train.py").read_text()
    for key, value in values.items():
        source = knobs.edit(source, key, repr(value))
    folder.mkdir()
    (folder / "train.py").write_text(source)
    shutil.copy(ROOT / "prepare.py", folder)
    settings = {"SCALE": "tiny", "MAX_STEPS": str(NUM_STEPS), "SEED": str(seed), "TRIAL_DIR": str(folder / "trial")}
    env = {**os.environ, **{f"AUTORESEARCH_{name}": value for name, value in settings.items()}}
    done = subprocess.run([sys.executable, "train.py"], cwd=folder, env=env, capture_output=True, text=True)
    found = re.findall(r"^val_bpb: (\S+)$", done.stdout, flags=re.MULTILINE)
    return float(found[-1]) if done.returncode == 0 and found else None


def sweep() -> None:
    """Run the default with several seeds, then random combinations; written as it grows."""
    rng, turned, rows = random.Random(0), dials(), []
    with tempfile.TemporaryDirectory() as name:
        for number in range(NUM_REPEATS + NUM_RUNS):
            places = [dial.place(dial.value) for dial in turned]
            if number >= NUM_REPEATS:
                places = [rng.random() for _ in turned]
            values = {dial.key: dial.at(place) for dial, place in zip(turned, places, strict=True)}
            seed = 100 + number if number < NUM_REPEATS else 42
            score = measure(values, seed, Path(name, str(number)))
            rows.append({"values": values, "seed": seed, "val_bpb": score})
            print(number, score, values, flush=True)
            SWEEP.write_text(json.dumps({"steps": NUM_STEPS, "scale": "tiny", "runs": rows}, indent=1) + "\n")


class Surrogate:
    """What a run would score, and its noise."""

    def __init__(self, turned: list[Dial], runs: list[dict]):
        repeats = [run["val_bpb"] for run in runs[:NUM_REPEATS]]
        self.sigma = statistics.stdev(repeats)
        samples = [
            Sample(tuple(dial.place(run["values"][dial.key]) for dial in turned), run["val_bpb"])
            for run in runs
            if run["val_bpb"] is not None
        ]
        self.model = Model(samples, self.sigma)
        self.best_run = min(one.loss or 0.0 for one in samples)

    def true(self, places: tuple[float, ...]) -> float:
        """Without noise."""
        return float(self.model.predict(np.array([places]))[0][0])


def by_suggest(sampler: str) -> Way:
    """The first suggestion."""

    def propose(turned: list[Dial], samples: list[Sample], sigma: float, rng: random.Random) -> tuple[float, ...]:
        found = suggest(turned, samples, sigma, 1, sampler, rng.randrange(2**31)).suggestions[0]  # type: ignore[arg-type]
        return tuple(dial.place(found.values.get(dial.key, dial.value)) for dial in turned)

    return propose


def by_chance(turned: list[Dial], samples: list[Sample], sigma: float, rng: random.Random) -> tuple[float, ...]:
    """A random combination."""
    return tuple(dial.place(dial.at(rng.random())) for dial in turned)


def by_grinding(turned: list[Dial], samples: list[Sample], sigma: float, rng: random.Random) -> tuple[float, ...]:
    """One constant of the best so far, made larger or smaller by a quarter of its range or less."""
    best = min(samples, key=lambda one: one.loss or 0.0).places
    dial = rng.randrange(len(turned))
    step = rng.choice([-1, 1]) * rng.uniform(0.05, 0.25)
    return tuple(min(1.0, max(0.0, place + step * (number == dial))) for number, place in enumerate(best))


def play(way: Way, turned: list[Dial], world: Surrogate, seed: int) -> Iterator[float]:
    """The true score of the champion after each run; a run is kept as the verdict of one run would."""
    rng = random.Random(seed)
    start = tuple(dial.place(dial.value) for dial in turned)
    scores = [world.true(start) + rng.gauss(0, world.sigma) for _ in range(2)]
    samples = [Sample(start, statistics.fmean(scores), 2)]
    level = world.true(start)
    for _ in range(BUDGET):
        places = way(turned, samples, world.sigma, rng)
        places = tuple(dial.place(value) for dial, value in zip(turned, values_at(turned, places), strict=True))
        score = world.true(places) + rng.gauss(0, world.sigma)
        samples.append(Sample(places, score))
        noise = verdict.Noise(world.sigma, 10)
        judged = verdict.decide([score], scores, noise, verdict.Terms(max_runs=1))
        if judged.decision == "keep":
            scores, level = [score], world.true(places)
        yield level


def main() -> None:
    """The table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sweep", action="store_true", help="run train.py instead")
    if parser.parse_args().sweep:
        sweep()
        return
    if not SWEEP.exists():
        sys.exit(f"{SWEEP.name} must be there; `uv run --extra search benchmarks/suggest.py --sweep` makes it")
    turned, found = dials(), json.loads(SWEEP.read_text())
    world = Surrogate(turned, found["runs"])
    start = world.true(tuple(dial.place(dial.value) for dial in turned))
    print(f"{len(found['runs'])} runs; noise of one run {world.sigma:.4f}; best run {world.best_run:.4f}")
    print(f"the start scores {start:.4f}")
    print("\n| way | after 10 runs | after 20 | after 30 | worst of the seeds |\n|---|---|---|---|---|")
    ways = {
        "`suggest --sampler tpe`": by_suggest("tpe"),
        "`suggest --sampler cmaes`": by_suggest("cmaes"),
        "one constant at a time": by_grinding,
        "random": by_chance,
    }
    for name, way in ways.items():
        runs = [list(play(way, turned, world, seed)) for seed in range(SEEDS)]
        cells = [f"{statistics.fmean(run[at - 1] for run in runs):.4f}" for at in (10, 20, 30)]
        print(f"| {name} | {' | '.join(cells)} | {max(run[-1] for run in runs):.4f} |", flush=True)


if __name__ == "__main__":
    main()
