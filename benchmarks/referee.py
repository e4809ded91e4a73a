"""What the referee's two processes cost: throughput beside scoring in one process, and the fixed seconds.

    uv run benchmarks/referee.py TRIAL_DIR [--repeats 3] [--json FILE]

TRIAL_DIR holds `submission/` and `code/`, as a run by hand leaves them in results/manual. The two take turns, each in
fresh processes; leave the machine alone meanwhile. Exits 1 when a limit is missed.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LEAST_THROUGHPUT, MOST_FIXED_S, MOST_DIFFERENCE = 0.85, 6.0, 1e-6
IN_PROCESS = """
import sys, prepare
from pathlib import Path
model = prepare.load_submission(Path(sys.argv[1]))
bpb = prepare.bits_per_byte(model, prepare.Tokens.load("val").ids, prepare.Tokenizer.from_directory(), 64)
prepare.write_json(Path(sys.argv[1]) / "score.json", {"val_bpb": bpb})
"""


def measure(words: list[str], folder: Path) -> dict[str, float]:
    """Run a scorer; returns its score, seconds of scoring, and all the other seconds."""
    begun = time.perf_counter()
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, *words], cwd=ROOT, env=environment, capture_output=True, text=True)
    wall_s = time.perf_counter() - begun
    found = re.search(r"^scored ([\d,]+) tokens in (\S+) s$", done.stdout, re.MULTILINE)
    if done.returncode or not found:
        sys.exit(f"scoring must succeed but exited {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    scoring_s = float(found[2])
    return {
        **json.loads((folder / "score.json").read_bytes()),
        "tokens": float(found[1].replace(",", "")),
        "scoring_s": scoring_s,
        "fixed_s": wall_s - scoring_s,
    }


def compare(folder: Path, repeats: int) -> dict[str, dict[str, float]]:
    """Medians of both ways."""
    ways = {"one process": ["-c", IN_PROCESS, str(folder)], "two processes": ["prepare.py", "--score", str(folder)]}
    runs: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
    for _ in range(repeats):
        for way, words in ways.items():
            runs[way].append(measure(words, folder))
    return {way: {key: statistics.median(run[key] for run in found) for key in found[0]} for way, found in runs.items()}


def main() -> None:
    """Print the table and judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trial", type=Path, metavar="TRIAL_DIR", help="a folder with submission/ and code/")
    parser.add_argument("--repeats", type=int, default=3, help="measurements of each; the medians count")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all numbers here as well")
    options = parser.parse_args()
    found = compare(options.trial.resolve(), options.repeats)
    one, two = found.values()
    print("| | val_bpb | tokens/s | scoring s | fixed s |\n|---|---|---|---|---|")
    for way, row in found.items():
        pace = row["tokens"] / row["scoring_s"]
        print(f"| {way} | {row['val_bpb']:.6f} | {pace:,.0f} | {row['scoring_s']:.1f} | {row['fixed_s']:.1f} |")
    throughput, difference = one["scoring_s"] / two["scoring_s"], abs(one["val_bpb"] - two["val_bpb"])
    print(f"throughput {throughput:.2f} of one process (at least {LEAST_THROUGHPUT}), difference {difference:.1e} bpb")
    if options.json:
        options.json.write_text(json.dumps({"throughput": throughput, "difference": difference, **found}) + "\n")
    if throughput < LEAST_THROUGHPUT or two["fixed_s"] > MOST_FIXED_S or difference > MOST_DIFFERENCE:
        sys.exit(f"must be at least {LEAST_THROUGHPUT}, {MOST_FIXED_S} s at most and {MOST_DIFFERENCE} at most")


if __name__ == "__main__":
    main()
