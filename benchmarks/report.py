"""What the morning view costs: wall time of `report` and the size of its page, after few and after many attempts.

Usage: python benchmarks/report.py [--attempts 1000] [--repeats 5] [--json]

The night is simulated by tests/morning.py: real git and real records, with logs and reports of 950 steps for each run.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LIMIT_S, LIMIT_MB = 3.0, 3.0
NUM_REPORTS = 950


def build(folder: Path, num_attempts: int) -> None:
    """A checkout with so many attempts."""
    sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
    import morning

    morning.build(folder, num_attempts, num_reports=NUM_REPORTS)


def verb(folder: Path, *args: str) -> float:
    """Run a verb; returns its wall time in seconds."""
    begun = time.perf_counter()
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-m", "autoresearch", *args], cwd=folder, env=env, check=True, capture_output=True)
    return time.perf_counter() - begun


def measure(num_attempts: int, repeats: int) -> list[dict]:
    """Times of `report` and sizes of what it writes."""
    found = []
    for length in (60, num_attempts):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            build(folder, length)
            times = [verb(folder, "report") for _ in range(repeats)]
            page, picture = (next(folder.glob(f"results/*/{file}")) for file in ("report.html", "progress.png"))
            row = {"attempts": length, "median_s": statistics.median(times), "worst_s": max(times), "limit_s": LIMIT_S}
            sizes = {"page_mb": page.stat().st_size / 1e6, "limit_mb": LIMIT_MB, "png_mb": picture.stat().st_size / 1e6}
            found.append(row | sizes)
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Measure what the morning view costs.")
    parser.add_argument("--attempts", type=int, default=1000, help="length of the long night")
    parser.add_argument("--repeats", type=int, default=5, help="measurements of each")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    found = measure(options.attempts, options.repeats)
    if options.json:
        print(json.dumps(found, indent=1))
        return
    print(
        "| attempts | median s | worst s | limit s | page MB | limit MB | picture MB |\n|---|---|---|---|---|---|---|"
    )
    for row in found:
        print(
            f"| {row['attempts']} | {row['median_s']:.2f} | {row['worst_s']:.2f} | {row['limit_s']:g} "
            f"| {row['page_mb']:.2f} | {row['limit_mb']:g} | {row['png_mb']:.2f} |"
        )


if __name__ == "__main__":
    main()
