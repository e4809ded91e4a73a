"""Best-so-far curves of the search's policies on this repository's train.py at scale `tiny`.

Usage: python benchmarks/search_curves.py [--trials 24] [--seeds 3] [--steps 100] [--policies random tpe cmaes centaur]
    [--file results/search_curves.json] [--picture docs/img/search-curves.png] [--warm]

A training ends after a fixed number of steps, so that its score depends on parameters and seed alone and not on what
else the machine does. Scores are remembered in the file by parameters and code: cut off, the same command goes on.
The baseline, train.py as it stands, is drawn as a line and is not among the trials of a curve.
With `--warm` one process that imported torch once forks for every training and takes the score as a run by hand does,
at a third of the time; otherwise every trial is one of the search's own, scored by the referee.
The language model of `centaur` is played by a rule (`Rule`) behind a real endpoint on loopback.
"""

import argparse
import hashlib
import itertools
import json
import math
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import chat_stub  # noqa: E402
from chat_stub import Answer, Request  # noqa: E402

from autoresearch.search import campaign  # noqa: E402
from autoresearch.search.campaign import Clocks  # noqa: E402
from autoresearch.search.checks import Surroundings  # noqa: E402
from autoresearch.search.config import Config  # noqa: E402
from autoresearch.search.executors import Done, Order, Outcome  # noqa: E402
from autoresearch.search.executors.command import CommandExecutor  # noqa: E402
from autoresearch.search.machine import Machine  # noqa: E402
from autoresearch.search.spans import Spans  # noqa: E402

POLICIES = ("random", "tpe", "cmaes", "centaur")
FILES = ("train.py", "prepare.py")
DEFAULTS = {"MATRIX_LR": 0.04, "EMBEDDING_LR": 0.8, "UNEMBEDDING_LR": 0.006, "INIT_SCALE": 0.68, "WARMDOWN_RATIO": 0.7}
"""Of train.py, which the rule knows as a model that has read the file would."""
SPACE = {
    "MATRIX_LR": {"low": 0.001, "high": 1.0, "log": True},
    "EMBEDDING_LR": {"low": 0.01, "high": 10.0, "log": True},
    "UNEMBEDDING_LR": {"low": 0.0001, "high": 0.1, "log": True},
    "INIT_SCALE": {"low": 0.05, "high": 2.0, "log": True},
    "WARMDOWN_RATIO": {"low": 0.0, "high": 1.0},
}
TRIAL_SEED = 42  # of all trainings: what differs is the choice of parameters
COLORS = {"random": "#888888", "tpe": "#1f77b4", "cmaes": "#d55e00", "centaur": "#117733"}


class Memory:
    """Scores that were measured, in a file that is whole at any time."""

    def __init__(self, path: Path, num_steps: int):
        """Read the file."""
        code = hashlib.sha256(b"".join((ROOT / name).read_bytes() for name in FILES)).hexdigest()
        self.path, self.kind = path, f"{code} {num_steps} {TRIAL_SEED}"
        self.limits = {"AUTORESEARCH_SCALE": "tiny", "AUTORESEARCH_MAX_STEPS": str(num_steps)}
        self.limits |= {"AUTORESEARCH_TIME_BUDGET": "600", "OPENAI_API_KEY": "none"}
        self.known: dict[str, Any] = json.loads(path.read_text())["trainings"] if path.exists() else {}
        self.curves: dict[str, list[list[float]]] = {}
        self.baseline: float | None = None

    def key(self, params: Mapping[str, Any]) -> str:
        """Name of a training."""
        return hashlib.sha256(json.dumps([self.kind, dict(params)], sort_keys=True).encode()).hexdigest()[:16]

    def put(self, params: Mapping[str, Any], outcome: Outcome) -> None:
        """Remember a training that came to its end."""
        if outcome.end != "exited":
            return
        score = (outcome.metrics or {}).get("val_bpb")
        fact = {"params": dict(params), "val_bpb": score, "exit_code": outcome.exit_code, "why": outcome.why}
        self.known[self.key(params)] = {**fact, "seconds": round(outcome.seconds, 2)}
        self.write()

    def write(self) -> None:
        """Replace the file."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        aside = self.path.with_name(f".{self.path.name}")
        aside.write_text(
            json.dumps({"baseline": self.baseline, "curves": self.curves, "trainings": self.known}, indent=1) + "\n"
        )
        aside.replace(self.path)


class Warm:
    """One process that trains again and again."""

    def __init__(self, limits: Mapping[str, str]):
        """Start it."""
        variables = {**os.environ, **limits, "AUTORESEARCH_SEED": str(TRIAL_SEED)}
        command = [sys.executable, str(Path(__file__).with_name("warm_trainer.py"))]
        self.process = subprocess.Popen(
            command, env=variables, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )

    def train(self, params: Mapping[str, Any]) -> Outcome:
        """Train once."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(json.dumps({"params": dict(params)}) + "\n")
        answer = json.loads(self.process.stdout.readline())
        metrics = {} if answer["val_bpb"] is None else {"val_bpb": answer["val_bpb"]}
        return Outcome("exited", answer["exit_code"], answer["seconds"], "", metrics)


class Remembering(CommandExecutor):
    """Trains what is not known yet."""

    def __init__(self, config: Config, memory: Memory, warm: Warm | None):
        super().__init__(config, Spans(), {})
        self.memory, self.warm = memory, warm

    def submit(self, order: Order, done: Done) -> dict[str, Any]:
        """Answer from memory, or begin a trial."""
        known = self.memory.known.get(self.memory.key(order.params))
        if known:
            metrics = {} if known["val_bpb"] is None else {"val_bpb": known["val_bpb"]}
            done(order.number, Outcome("exited", known["exit_code"], known["seconds"], known["why"], metrics))
            return {}

        def remember(number: int, outcome: Outcome) -> None:
            self.memory.put(order.params, outcome)
            print(".", end="", file=sys.stderr, flush=True)
            done(number, outcome)

        if self.warm:
            remember(order.number, self.warm.train(order.params))
            return {}
        return super().submit(order, remember)


class Rule:
    """Plays the language model: the best trial so far with one constant changed, larger steps first.

    It sees what a model sees, the text of the request, and nothing else.
    """

    factors = (3.0, 1 / 3, 1.7, 1 / 1.7, 1.3, 1 / 1.3)

    def __call__(self, request: Request) -> Answer:
        """One proposal."""
        trials = [json.loads(line) for line in request.text.splitlines() if line.startswith('{"trial": ')]
        tried = [one["params"] for one in trials if isinstance(one["params"], dict)]
        good = [one for one in trials if "val_bpb" in one]
        best = min(good, key=lambda one: one["val_bpb"], default={"params": None})["params"]
        start = best if isinstance(best, dict) else DEFAULTS
        params, why = self.next(start, tried)
        return Answer(json.dumps({"proposals": [{"rationale": why, "params": params}]}))

    def next(self, start: Mapping[str, float], tried: Sequence[Mapping[str, float]]) -> tuple[dict[str, float], str]:
        """The first change that was not tried."""
        for factor in self.factors:
            for name, domain in SPACE.items():
                value = min(domain["high"], max(domain["low"], float(f"{start[name] * factor:.6g}")))
                new = {**start, name: value}
                if not any(alike(new, one) for one in tried):
                    return new, f"{name} times {factor:.2f}"
        return dict(start), "nothing is left"


def alike(one: Mapping[str, float], other: Mapping[str, float]) -> bool:
    """Whether two points are the same."""
    return all(math.isclose(one[name], other[name], rel_tol=1e-4) for name in SPACE)


def search(
    folder: Path, policy: dict[str, Any], num_trials: int, memory: Memory, warm: Warm | None
) -> list[float | None]:
    """Run one campaign in an empty folder; returns the scores in order, the baseline's first, None where it failed."""
    for name in FILES:
        shutil.copyfile(ROOT / name, folder / name)
    config = Config.model_validate(
        {
            "name": "curves",
            "target": {"train_cmd": [sys.executable, "train.py"], "workdir": folder, "timeout_s": 600},
            "policy": {"params": SPACE, **policy},
            "controller": {
                "seed": TRIAL_SEED,
                "max_iterations": num_trials + 1,
                "checkpoint_path": folder / "checkpoint.json",
            },
            "telemetry": {
                "trace_path": folder / "events.jsonl",
                "ledger_path": folder / "results.tsv",
                "artifacts_dir": folder / "runs",
                "versions_dir": folder / "versions",
                "timeline_path": None,
            },
        }
    )
    around = Surroundings(Machine((), "0" * 12), {**os.environ, **memory.limits})
    clocks = Clocks(time.time, time.time() - time.monotonic())
    with campaign.opened(config, around, clocks, lambda text: None) as found:
        assert found.engine.trials.bench.is_own, "the referee must score"
        found.engine.trials.executor = Remembering(config, memory, warm)
        found.search()
        results = found.journal.results()
    fallen = [one.proposal.source for one in results if "fallback" in one.proposal.source]
    assert not fallen, "the endpoint must answer"
    return [one.metric for one in results]


def best_so_far(scores: Sequence[float | None]) -> list[float]:
    """The lowest up to each trial."""
    return list(itertools.accumulate((math.inf if one is None else one for one in scores), min))


def measure(options: argparse.Namespace, memory: Memory) -> dict[str, list[list[float]]]:
    """Curves of all policies, one for each seed; all policies of one seed come before the next."""
    found: dict[str, list[list[float]]] = {policy: [] for policy in options.policies}
    warm = Warm(memory.limits) if options.warm else None
    with chat_stub.serve() as stub:
        stub.always = Rule()
        for seed, policy in itertools.product(range(1, options.seeds + 1), options.policies):
            settings: dict[str, Any] = {"type": policy, "seed": seed}
            if policy == "centaur":
                settings |= {"llm_api_url": stub.url, "llm_model": "rule"}
            print(f"seed {seed}, {policy} ", end="", file=sys.stderr, flush=True)
            with tempfile.TemporaryDirectory() as name:
                scores = search(Path(name), settings, options.trials, memory, warm)
            found[policy].append(best_so_far(scores[1:]))
            memory.baseline = scores[0]
            memory.curves = found
            memory.write()
            print(f" {found[policy][-1][-1]:.4f}", file=sys.stderr)
    return found


def table(curves: Mapping[str, list[list[float]]]) -> str:
    """Mean, lowest and highest of the seeds after a third, two thirds and all of the trials."""
    num_trials = len(next(iter(curves.values()))[0])
    places = sorted({max(1, num_trials // 3), max(1, 2 * num_trials // 3), num_trials})
    rows = [f"| policy | {' | '.join(f'after {one} trials' for one in places)} |", "|---" * (len(places) + 1) + "|"]
    for policy, lines in curves.items():
        cells = []
        for place in places:
            values = [line[place - 1] for line in lines]
            cells.append(f"{statistics.fmean(values):.4f} ({min(values):.4f} to {max(values):.4f})")
        rows.append(f"| {policy} | {' | '.join(cells)} |")
    return "\n".join(rows)


def draw(curves: Mapping[str, list[list[float]]], baseline: float | None, path: Path) -> None:
    """A line of the mean for each policy, in a band from the best to the worst seed."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 4.5), dpi=150)
    for policy, lines in curves.items():
        trials = range(1, len(lines[0]) + 1)
        columns = list(zip(*lines, strict=True))
        mean = [statistics.fmean(column) for column in columns]
        axes.step(trials, mean, where="post", label=policy, color=COLORS[policy], linewidth=2)
        low, high = [min(column) for column in columns], [max(column) for column in columns]
        axes.fill_between(trials, low, high, step="post", color=COLORS[policy], alpha=0.15, linewidth=0)
    if baseline is not None:
        axes.axhline(baseline, color="black", linewidth=1, linestyle="--", label="train.py as it stands")
    axes.set(xlabel="trials", ylabel="best val_bpb so far")
    axes.set_title(f"train.py at scale tiny, {len(SPACE)} constants; mean and range of {len(lines)} seeds", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def main() -> None:
    """Measure, print the table, draw the picture."""
    parser = argparse.ArgumentParser(description="Compare the policies of the search on train.py.")
    parser.add_argument("--trials", type=int, default=24, help="of one campaign, besides the baseline")
    parser.add_argument("--seeds", type=int, default=3, help="campaigns of one policy")
    parser.add_argument("--steps", type=int, default=100, help="updates of one training")
    parser.add_argument("--policies", nargs="+", choices=POLICIES, default=list(POLICIES))
    parser.add_argument("--file", type=Path, default=ROOT / "results" / "search_curves.json", help="what is remembered")
    parser.add_argument("--picture", type=Path, help="where to draw the curves")
    parser.add_argument("--warm", action="store_true", help="fork from one process, without the referee")
    options = parser.parse_args()
    memory = Memory(options.file, options.steps)
    curves = measure(options, memory)
    print(f"train.py as it stands: {memory.baseline:.4f}\n")
    print(table(curves))
    seconds = [one["seconds"] for one in memory.known.values()]
    print(f"\n{len(seconds)} trainings of {options.steps} steps, {statistics.median(seconds):.1f} s each (median).")
    if options.picture:
        draw(curves, memory.baseline, options.picture)


if __name__ == "__main__":
    main()
