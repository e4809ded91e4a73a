"""Guarded rounds against plain cosine at a peak where plain cosine diverges: real training, the same seeds and budget.

    uv run --extra search python benchmarks/steer_campaign.py --peak 80 --seeds 10 --steps 300

Every run is one of the verbs' own: `steer baseline --plain` without the guard, `steer baseline` and `steer` with it.
The table goes to stdout; the campaigns lie in `--out` and go on where they were cut off.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent


def run(config: Path, words: list[str]) -> None:
    """One verb of `steer`; a campaign without a good round is a result too."""
    command = [sys.executable, "-m", "autoresearch", "steer", *words, str(config)]
    environment = {"AUTORESEARCH_SCALE": "tiny", **os.environ, "PYTHONPATH": str(ROOT)}
    code = subprocess.run(command, cwd=config.parent, env=environment).returncode
    if code not in (0, 3):
        sys.exit(f"`{' '.join(command)}` ended with {code}")


def write(path: Path, options: argparse.Namespace, controller: str) -> None:
    """The configuration of one campaign."""
    settings = {
        "tag": controller,
        "rounds": options.seeds,
        "repeats": options.seeds,
        "k": options.k,
        "warmup_steps": options.warmup_steps,
        "lr_init": options.peak,
        "plan": {"shape": "cosine", "decay": 1 - options.warmup_steps / options.steps, "final": 0.1},
        "peaks": [options.peak],
        "controller": controller,
        "memory": False,
        "workdir": str(ROOT),
        "total_steps": options.steps,
    }
    path.write_text(yaml.safe_dump(settings | ({"budget_s": options.budget_s} if options.budget_s else {})))


def rows(out: Path) -> dict[str, dict[int, dict]]:
    """Final rows by arm and seed."""
    found: dict[str, dict[int, dict]] = {}
    for log in sorted(out.glob("results/steer/*/final_results_log.jsonl")):
        for line in log.read_text().splitlines():
            row = json.loads(line)
            found.setdefault(row["arm"], {})[row["seed"]] = row
    return found


def cell(row: dict | None) -> str:
    """A run in the table."""
    if row is None:
        return "-"
    result = "no result" if row["result"] is None else f"{row['result']:.4f}"
    return f"{result} ({row['status']}, {row['num_rollbacks']} rollbacks)"


def is_won(row: dict | None, plain: dict | None) -> bool:
    """Whether a round ended well with a finite result that is better than plain cosine's."""
    if not row or row["status"] != "ok" or row["result"] is None:
        return False
    return not plain or plain["result"] is None or row["result"] < plain["result"]


def main() -> None:
    """Run what is missing, and print the table."""
    parser = argparse.ArgumentParser(description="Guarded rounds against plain cosine, seed by seed.")
    parser.add_argument("--peak", type=float, default=80.0, help="in multiples of the rates of train.py")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--steps", type=int, default=300, help="updates of a round")
    parser.add_argument("--budget-s", type=float, help="training seconds as well, whichever ends first")
    parser.add_argument("--k", type=int, default=15, help="updates between decisions")
    parser.add_argument("--warmup-steps", type=int, default=0)
    parser.add_argument("--controllers", default="rule", help="of none, rule, random, llm: with commas")
    parser.add_argument("--out", type=Path, default=Path("results/steer-campaign"))
    options = parser.parse_args()
    out = options.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    controllers = options.controllers.split(",")
    for controller in controllers:
        write(out / f"{controller}.yaml", options, controller)
    run(out / f"{controllers[0]}.yaml", ["baseline", "--plain", "--only", "cosine10"])
    run(out / f"{controllers[0]}.yaml", ["baseline", "--only", "cosine10"])
    for controller in controllers:
        run(out / f"{controller}.yaml", [])
    found = rows(out)
    arms = ["plain:cosine10", "baseline:cosine10", *controllers]
    print("| seed | " + " | ".join(arms) + " |\n|" + "---|" * (1 + len(arms)))
    plain = found.get(arms[0], {})
    for seed in sorted(plain):
        print(f"| {seed} | " + " | ".join(cell(found.get(arm, {}).get(seed)) for arm in arms) + " |")
    for arm in arms[1:]:
        won = sum(is_won(found.get(arm, {}).get(seed), row) for seed, row in plain.items())
        print(f"{arm}: finite and better than plain cosine in {won} of {len(plain)} seeds")
    lost = sum(row["status"] == "diverged" for row in plain.values())
    print(f"plain cosine at peak {options.peak:g} diverged in {lost} of {len(plain)} seeds")


if __name__ == "__main__":
    main()
