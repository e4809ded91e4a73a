"""Compare train.py with a naive port of the GPU setting: same data, tokens, clock, evaluation and machine.

    uv run benchmarks/cpu_baseline.py [BUDGET_S] [--seeds 42 43] [--json FILE]

Runs one after the other, each in a fresh process, so that neither slows the other; leave the machine alone meanwhile.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = {"naive": ROOT / "benchmarks" / "naive_train.py", "train.py": ROOT / "train.py"}
COLUMNS = ("val_bpb", "num_steps", "total_tokens_M", "training_seconds", "total_seconds")


def run(script: Path, budget_s: float, seed: int) -> dict[str, float]:
    """Train once; returns the numbers of the summary."""
    with tempfile.TemporaryDirectory() as trial:
        environment = os.environ | {
            "AUTORESEARCH_SCALE": "cpu",
            "AUTORESEARCH_TIME_BUDGET": str(budget_s),
            "AUTORESEARCH_SEED": str(seed),
            "AUTORESEARCH_TRIAL_DIR": trial,
            "PYTHONPATH": str(ROOT),
        }
        done = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{script.name} must exit 0 but exited {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    lines = done.stdout.rpartition("\n---\n")[2].splitlines()
    summary = dict(line.split(": ", 1) for line in lines if ": " in line)
    return {key: float(summary[key]) for key in COLUMNS if key in summary}


def main() -> None:
    """Run all, print the table as it grows, and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "budget_s", nargs="?", type=float, default=300, metavar="BUDGET_S", help="training seconds (300)"
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[42], help="one run of each script per seed")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all numbers here as well")
    options = parser.parse_args()

    runs: dict[str, list[dict[str, float]]] = {name: [] for name in SCRIPTS}
    print(f"{'':10} {'seed':>5} " + " ".join(f"{column:>16}" for column in COLUMNS), flush=True)
    for seed in options.seeds:
        for name, script in SCRIPTS.items():
            numbers = run(script, options.budget_s, seed)
            runs[name].append({"seed": seed, **numbers})
            cells = (f"{numbers[column]:16.4f}" if column in numbers else f"{'-':>16}" for column in COLUMNS)
            print(f"{name:10} {seed:5} " + " ".join(cells), flush=True)
    means = {name: statistics.mean(each["val_bpb"] for each in rows) for name, rows in runs.items()}
    below = 100 * (1 - means["train.py"] / means["naive"])
    print(f"train.py is {below:.1f}% below the naive port ({means['train.py']:.4f} against {means['naive']:.4f} bpb)")
    if options.json:
        result = {"budget_s": options.budget_s, "percent_below": below, "runs": runs}
        options.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
