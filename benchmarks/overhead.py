"""What the tooling costs: `status` over a long history, and an attempt outside its training and scoring.

Usage: python benchmarks/overhead.py [--attempts 1000] [--repeats 5] [--json]

The attempt runs a trainer that only prints a number; what is left is interpreter start, git, records and notes.
"""

import argparse
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LIMITS_S = {"status": 0.5, "attempt": 1.0}
FILES = {
    "autoresearch.toml": 'command = ["{python}", "train.py"]\nfrozen = []\n',
    "train.py": 'LR = 1.0\nprint("---")\nprint(f"val_bpb: {1.0 + LR / 10}")\n',
    ".gitignore": "results/\nresults.tsv\nnotes*.md\n",
}


def verb(folder: Path, *args: str) -> float:
    """Run a verb; returns its wall time in seconds."""
    begun = time.perf_counter()
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-m", "autoresearch", *args], cwd=folder, env=env, check=True, capture_output=True)
    return time.perf_counter() - begun


def git(folder: Path, *args: str) -> None:
    """Run git."""
    named = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run(["git", *named, *args], cwd=folder, check=True, capture_output=True)


def build(folder: Path) -> None:
    """A repository after `setup`."""
    for name, text in FILES.items():
        (folder / name).write_text(text)
    git(folder, "init", "-q", "-b", "main", ".")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "base")
    verb(folder, "setup", "long")


def lengthen(folder: Path, num_attempts: int) -> None:
    """Records of discarded attempts up to a number, and their rows, without running them."""
    records = folder / "results" / "long"
    before = (records / "0001.json").read_text()
    verdict = {"decision": "discard", "difference": 0.1, "sigma": 5e-4, "standard_error": 7e-4, "num_runs": 1}
    verdict |= {"num_champion_runs": 2, "p_better": 0.001, "rule": "noise", "why": "P(better) is below 0.7"}
    rows = []
    for number in range(2, num_attempts + 1):
        record = json.loads((records / "0001.json").read_text())
        commit = hashlib.sha1(str(number).encode()).hexdigest()
        trial = {**record["trials"][0], "commit": commit, "score": 1.2, "folder": f"results/long/{number:04d}/1"}
        record |= {"id": number, "parent": record["commit"], "commit": commit, "status": "discard", "trials": [trial]}
        record |= {"code": commit, "verdict": verdict, "description": f"idea {number}", "changed": ["LR"]}
        record["previous"] = hashlib.sha256(before.encode()).hexdigest()
        before = json.dumps(record, indent=1)
        (records / f"{number:04d}.json").write_text(before)
        rows.append(f"{commit[:7]}\t1.200000\t0.0\tdiscard\tidea {number}\t\n")
    with open(folder / "results.tsv", "a") as table:
        table.writelines(rows)


def time_attempt(folder: Path, value: float) -> float:
    """Wall time of a `try` less that of its trials."""
    path = folder / "train.py"
    path.write_text(path.read_text().replace(path.read_text().split("\n")[0], f"LR = {value}"))
    wall_s = verb(folder, "try", "-m", f"LR {value}")
    newest = sorted((folder / "results" / "long").glob("[0-9]*.json"))[-1]
    record = json.loads(newest.read_text())
    return wall_s - sum(trial["seconds"] for trial in record["trials"] + record["champion_trials"])


def measure(num_attempts: int, repeats: int) -> list[dict]:
    """Median and worst time of `status` and of an attempt, after few and after many attempts."""
    found = []
    for length in (1, num_attempts):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            build(folder)
            lengthen(folder, length)
            times = {"status": [verb(folder, "status") for _ in range(repeats)]}
            times["attempt"] = [time_attempt(folder, 2.0 + number) for number in range(repeats)]
        for what, seconds in times.items():
            row = {"what": what, "attempts": length, "median_s": statistics.median(seconds), "worst_s": max(seconds)}
            found.append(row | {"limit_s": LIMITS_S[what]})
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Measure what the tooling itself costs.")
    parser.add_argument("--attempts", type=int, default=1000, help="length of the long history")
    parser.add_argument("--repeats", type=int, default=5, help="measurements of each")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    found = measure(options.attempts, options.repeats)
    if options.json:
        print(json.dumps(found, indent=1))
        return
    print("| what | attempts before | median s | worst s | limit s |\n|---|---|---|---|---|")
    for row in found:
        print(
            f"| {row['what']} | {row['attempts']} | {row['median_s']:.2f} | {row['worst_s']:.2f} | {row['limit_s']} |"
        )


if __name__ == "__main__":
    main()
