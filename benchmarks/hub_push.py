"""What a push costs a hub with 15,000 commits: wall time as the client sees it, one by one and several at once.

Usage: python benchmarks/hub_push.py [--commits 15000] [--pushes 300] [--at-once 4] [--json]

Each push is a thin bundle of one commit with a train.py of its own, on a commit of the hub; every tenth is repeated.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "benchmarks")]

import hostile  # noqa: E402
import hub_data  # noqa: E402
import requests  # noqa: E402

from autoresearch.repo.bare import Bare  # noqa: E402

LIMIT_MS = 500


def bundles(bare: Bare, hashes: list[str], num: int) -> list[bytes]:
    """Thin bundles of one commit each."""
    source = (ROOT / "train.py").read_bytes()
    made = []
    for number in range(num):
        parent = hashes[-1 - number * 7 % len(hashes)]
        kept = [line.split(maxsplit=3) for line in bare.run("ls-tree", parent).splitlines()]
        pack = hostile.Pack()
        blob = pack.blob(source + b"# pushed %d\n" % number)
        entries = [(mode, name.encode(), blob if name == "train.py" else one) for mode, _, one, name in kept]
        head = pack.commit(pack.tree(*entries), parent, message=b"push %d\n" % number)
        made.append(hostile.bundle([head], pack.done(), [parent]))
    return [one for place, one in enumerate(made) for _ in range(2 if place % 10 == 0 else 1)][:num]


def timed(url: str, key: str, data: bytes) -> float:
    """Milliseconds of one push."""
    begun = time.perf_counter()
    done = requests.post(f"{url}/api/git/push", data=data, headers={"Authorization": f"Bearer {key}"}, timeout=60)
    assert done.status_code == 201, done.text
    return 1000 * (time.perf_counter() - begun)


def peak_mb(pid: int) -> float:
    """Most memory that a process ever had."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def measure(num_commits: int, num_pushes: int, at_once: int) -> dict[str, float]:
    """Fill a hub, serve it, push to it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "hub"
        filled = hub_data.fill(folder, num_commits)
        made = bundles(Bare(folder / "git"), filled.commits, 2 * num_pushes)
        command = [sys.executable, "-m", "autoresearch", "hub", "serve", "--data", str(folder), "--port", "0"]
        command += ["--limit", f"pushes_per_hour={10 * num_pushes}"]
        with subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ) as server:
            assert server.stdout
            url = "http://" + urlsplit(server.stdout.readline().strip()).netloc
            keys = [*filled.keys.values()]
            try:
                alone = [timed(url, keys[0], one) for one in made[:num_pushes]]
                with ThreadPoolExecutor(at_once) as threads:
                    jobs = [threads.submit(timed, url, keys[n % 9], one) for n, one in enumerate(made[num_pushes:])]
                    together = [job.result() for job in jobs]
                memory = peak_mb(server.pid)
            finally:
                server.terminate()
        row: dict[str, float] = {"commits": num_commits, "pushes": num_pushes, "at_once": at_once, "peak_mb": memory}
        for what, times in (("alone", alone), ("together", together)):
            row |= {
                f"{what}_p50_ms": statistics.median(times),
                f"{what}_p99_ms": statistics.quantiles(times, n=100)[98],
            }
        return row | {"limit_p99_ms": LIMIT_MS}


def main() -> None:
    """Print what was measured."""
    parser = argparse.ArgumentParser(description="Measure what a push costs.")
    for name, number in (("commits", 15_000), ("pushes", 300), ("at-once", 4)):
        parser.add_argument(f"--{name}", type=int, default=number)
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    row = measure(options.commits, options.pushes, options.at_once)
    print(json.dumps(row) if options.json else "\n".join(f"{name:16} {value:.0f}" for name, value in row.items()))


if __name__ == "__main__":
    main()
