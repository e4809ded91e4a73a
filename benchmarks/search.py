"""What the search costs and keeps: every number that it promises, with its bound, as a table.

Usage: python benchmarks/search.py [--only overhead parallel ...] [--seeds 10]

Trials are real processes, campaigns real commands; times are wall times, so run it on a quiet machine. The column
`theirs` is AutoResearch-RL 0.5 on two cores. `learned` is compared with `random` on five functions of the unit cube.
"""

import argparse
import itertools
import math
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import test_search_forecast as curves  # noqa: E402
from searching import FIND_PARAMS, Target, wait_for  # noqa: E402

from autoresearch.search import policies  # noqa: E402
from autoresearch.search.config import Config  # noqa: E402
from autoresearch.search.policies import Context  # noqa: E402
from autoresearch.search.proposal import History, Result, TrialStatus  # noqa: E402

SHOWCASE = (
    FIND_PARAMS
    + """
import math, time
from autoresearch_rl.target.progress import emit_progress
rate, batch = params.get("learning_rate", 1e-3), params.get("batch_size", 32)
distance = abs(math.log10(rate / 3e-3)) + 0.4 * abs(math.log2(batch / 32))
floor, decay = 0.2 + 0.55 * distance, 0.3 + 0.1 * distance
for step in range(1, 31):
    loss = floor + (2 - floor) * math.exp(-decay * step)
    emit_progress(step=step, step_target=30, metrics={"loss": loss})
    time.sleep(0.06)
print(f"loss={loss:.6f}")
"""
)
FLOOD = """
import resource, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from searching import Target
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with Target(Path(sys.argv[2])).opened() as campaign:
    campaign.search()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
TEST_SEEDS = 2  # draws of noise for each curve in tests/test_search_forecast.py


@dataclass(frozen=True)
class Row:
    """One number."""

    what: str
    measured: float
    bound: float
    unit: str = ""
    theirs: str = ""
    is_least: bool = False
    """Whether it must be at least the bound, not at most."""

    def __str__(self) -> str:
        """A row of the table."""
        held = self.measured >= self.bound if self.is_least else self.measured <= self.bound
        sign = "≥" if self.is_least else "≤"
        numbers = f"{self.measured:.4g} {self.unit} | {sign} {self.bound:g} {self.unit}"
        return f"| {self.what} | {numbers} | {self.theirs} | {'yes' if held else '**no**'} |"


def pooled(most: int) -> dict[str, Any]:
    """Settings of so many trials at once."""
    return {"parallel": {"enabled": True, "max_concurrency": most, "resources": {}}}


def timed(target: Target) -> float:
    """Seconds of a `run` command that must succeed."""
    begun = time.perf_counter()
    ended = target.run()
    assert ended.code == 0, ended.err
    return time.perf_counter() - begun


def overhead(folder: Path) -> Row:
    """What an iteration takes besides its trial."""
    words = {"train_cmd": ["sh", "-c", "echo loss: 1"]}
    target = Target(folder).write("", target=words, policy={"params": {"x": list(range(100))}})
    with target.opened() as campaign:
        begun = time.perf_counter()
        campaign.search()
        wall_s = time.perf_counter() - begun
        trials_s = [one.seconds for one in campaign.journal.results()]
    own_ms = 1000 * (wall_s - sum(trials_s)) / len(trials_s)
    return Row("overhead of one serial iteration, beside its trial", own_ms, 20, "ms", "1,030 ms")


def parallel(folder: Path) -> Row:
    """Trials that only wait."""
    words = {"train_cmd": ["sh", "-c", "sleep 2; echo loss: 1"]}
    params = {"params": {"x": list(range(16))}}
    target = Target(folder).write("", target=words, policy=params, controller=pooled(4))
    return Row("16 trials of 2 s, 4 at once, whole command", timed(target), 8.6, "s", "12.8 s")


def grid(folder: Path) -> Row:
    """Every cell better than the one before."""
    target = Target(folder).write(
        FIND_PARAMS + 'print("loss:", -10 * params["x"] - params["y"])\n',
        policy={"params": {"x": [1, 2, 3, 4], "y": [1, 2, 3]}},
    )
    trials = target.run().facts()["trials"]
    return Row("cells run of a grid of 12 in which every one improves", trials, 12, "", "5", is_least=True)


def kill(folder: Path) -> Row:
    """SIGKILL beside a slow first trial, then the same command again."""
    script = FIND_PARAMS + (
        'import time\nopen("ran", "a").write(f"{params[\'x\']} ")\n'
        'while params["x"] == 0 and not os.path.exists("go"):\n    time.sleep(0.01)\nprint("loss:", params["x"])\n'
    )
    target = Target(folder).write(script, policy={"params": {"x": list(range(11))}}, controller=pooled(2))
    search = target.start()
    wait_for(lambda: (folder / "artifacts" / "results.tsv").exists() and len(target.rows()) == 10)
    search.kill()
    search.communicate()
    (folder / "go").touch()
    timed(target)
    ran = (folder / "ran").read_text().split()
    lost = 11 - len(target.rows()) + sum(ran.count(str(x)) - 1 for x in range(1, 11))
    return Row("finished trials lost or repeated by kill -9 beside a slow first one", lost, 0, "", "10 of 10")


def flood(folder: Path) -> Row:
    """Growth of the search's memory while a trial prints a gigabyte."""
    script = 'line = "x" * 999 + "\\n"\nfor _ in range(1000):\n    print(line * 1000, end="")\nprint("loss: 3")\n'
    target = Target(folder).write(script, policy={"params": {"x": [1]}})
    (folder / "flood.py").write_text(FLOOD)
    words = [sys.executable, "flood.py", str(ROOT / "tests"), str(folder)]
    env = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(words, cwd=folder, env=env, capture_output=True, text=True, check=True)
    assert target.rows()[0]["metric_value"] == "3.0"
    return Row("memory that 1 GB of a trial's output takes", int(done.stdout) / 1024, 32, "MB", "4 GB")


def showcase(folder: Path) -> Row:
    """Trials of 30 steps of 0.06 s, of which hopeless ones leave."""
    cancel = {"enabled": True, "min_steps": 3, "poll_interval_s": 0.1, "min_reports_before_decide": 5}
    rates = [1e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2]
    target = Target(folder).write(
        SHOWCASE,
        policy={"type": "random", "seed": 42, "params": {"learning_rate": rates, "batch_size": [8, 16, 32, 64]}},
        controller={"max_iterations": 16, "intra_iteration_cancel": cancel, **pooled(4)},
    )
    seconds = timed(target)
    cancelled = sum(row["status"] == "cancelled" for row in target.rows())
    return Row(f"showcase: 16 trials, 4 at once, {cancelled} cancelled, whole command", seconds, 7, "s", "13.4 s")


def false_cancels(num_seeds: int) -> Row:
    """Trials that would have beaten the best and were given up, over all curves, noises and margins."""
    wrong = total = 0
    for curve, noise in itertools.product(curves.FAMILY.values(), curves.NOISES):
        for seed, margin in itertools.product(range(num_seeds if noise else 1), curves.MARGINS):
            best = curve(curves.STEPS) + margin * curves.height(curve)
            wrong += curves.given_up_at(curves.reports(curve, noise, seed), best, every=2) is not None
            total += 1
    what = f"false cancels among {total} noisy curves that win in the end"
    if num_seeds == TEST_SEEDS:
        return Row(f"{what}, those of the test", wrong, 0)
    return Row(f"{what}, more draws of noise; bound: the chance that the rule gives up", 100 * wrong / total, 5, "%")


MEASURES: dict[str, Callable[[Path], Row]] = {
    **{"overhead": overhead, "parallel": parallel, "grid": grid, "kill": kill},
    **{
        "flood": flood,
        "showcase": showcase,
        "cancels": lambda _: false_cancels(TEST_SEEDS),
        "more cancels": lambda _: false_cancels(10),
    },
}


# --- learned against random

Point = Sequence[float]
BUDGETS = (40, 80)
FUNCTIONS: dict[str, Callable[[Point], float]] = {
    "sphere": lambda x: sum((one - 0.3) ** 2 for one in x),
    "ellipsoid": lambda x: sum(10 ** (3 * place / (len(x) - 1)) * (one - 0.7) ** 2 for place, one in enumerate(x)),
    "Rosenbrock": lambda x: sum(
        100 * (b - a * a) ** 2 + (0.8 - a) ** 2 for a, b in itertools.pairwise(x)
    ),
    "Rastrigin": lambda x: sum(25 * (one - 0.4) ** 2 + 1 - math.cos(6 * math.pi * (one - 0.4)) for one in x),
    "Ackley": lambda x: 20 - 20 * math.exp(-math.sqrt(sum((one - 0.6) ** 2 for one in x) / len(x))),
}  # fmt: skip


def bests(policy: str, function: Callable[[Point], float], dimensions: int, seed: int) -> list[float]:
    """The lowest value after each budget."""
    params = {f"x{place}": {"low": 0.0, "high": 1.0} for place in range(dimensions)}
    raw = {"target": {"train_cmd": "x"}, "policy": {"type": policy, "params": params, "seed": seed}}
    one = policies.make(Context(Config.model_validate(raw)))
    one.restore({}, [], [])
    values: list[float] = []
    for number in range(1, max(BUDGETS) + 1):
        [proposal] = one.propose(1, History())
        values.append(function([float(value) for value in proposal.params.values()]))
        one.tell(Result(number=number, proposal=proposal, status=TrialStatus.OK, metric=values[-1]))
    return [min(values[:budget]) for budget in BUDGETS]


def duel(num_seeds: int) -> str:
    """Share of the campaigns in which `learned` ends lower than `random`, by function and dimensions."""
    dimensions = (2, 4, 6)
    rows = ["| function | " + " | ".join(f"{one} dimensions" for one in dimensions) + " |", "|---" * 4 + "|"]
    shares: list[list[float]] = []
    for name, function in FUNCTIONS.items():
        cells = []
        for size in dimensions:
            pairs = [
                [bests(policy, function, size, seed) for policy in ("learned", "random")] for seed in range(num_seeds)
            ]
            won = [statistics.fmean(a[place] < b[place] for a, b in pairs) for place in range(len(BUDGETS))]
            shares.append(won)
            cells.append(" / ".join(f"{share:.0%}" for share in won))
        rows.append(f"| {name} | {' | '.join(cells)} |")
    means = " / ".join(f"{statistics.fmean(column):.0%}" for column in zip(*shares, strict=True))
    told = f"`learned` ends lower than `random` in {means} of the campaigns after {BUDGETS[0]} / {BUDGETS[1]} trials"
    return f"{told} ({num_seeds} seeds each):\n\n" + "\n".join(rows)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Measure what the search promises.")
    parser.add_argument("--only", nargs="+", choices=[*MEASURES, "learned"], default=[*MEASURES, "learned"])
    parser.add_argument("--seeds", type=int, default=10, help="of each function and dimension, for `learned`")
    options = parser.parse_args()
    print("| what | measured | bound | theirs | held |\n|---|---|---|---|---|")
    for name in (one for one in MEASURES if one in options.only):
        with tempfile.TemporaryDirectory() as folder:
            print(MEASURES[name](Path(folder)), flush=True)
    if "learned" in options.only:
        print(f"\n{duel(options.seeds)}")


if __name__ == "__main__":
    main()
