"""How fast a hub answers that has been used for a while: a real `hub serve` under load from this process, on loopback.

Usage: python benchmarks/hub.py [--commits 15000] [--seconds 20] [--listeners 1000] [--pushes 100] [--json]

1. `commits?limit=20` and `leaves`, as often as four clients can: answers a second.
2. Reads of every kind, a hundred a second, beside pushes (half of them with the whole history, as the playbook makes
   them) and posts: how long each takes.
3. Listeners that all wait for events while an agent posts: the time from sending a post to each listener's receipt.

The memory is the server's peak, without the git processes that it starts. Client and server share the machine.
"""

import argparse
import asyncio
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parent)]

import hub_data  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
REFERENCE_PER_S = {"commits?limit=20": 279, "leaves": 18}
LIMITS_MS = {"reads": 50, "pushes": 500, "events": 250}
LIMIT_MB = 200
MANY = 10**9
NUM_CLIENTS, READS_PER_S, POSTS_PER_S = 4, 100, 2


@dataclass
class Line:
    """One connection that is kept, and the times that its calls took."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    key: str
    statuses: dict[int, int] = field(default_factory=lambda: defaultdict(int))

    @classmethod
    async def open(cls, port: int, key: str) -> "Line":
        return cls(*await asyncio.open_connection("127.0.0.1", port, limit=1 << 24), key)

    def send(self, method: str, path: str, body: bytes = b"") -> None:
        """Send a request."""
        lines = [f"{method} {path} HTTP/1.1", "Host: localhost", f"Authorization: Bearer {self.key}"]
        self.writer.write("\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body)

    async def ask(self, method: str, path: str, body: bytes = b"") -> float:
        """Send a request and read its answer; returns the milliseconds it took."""
        begun = time.perf_counter()
        self.send(method, path, body)
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode().lower()
        await self.reader.readexactly(int(head.partition("content-length: ")[2].partition("\r\n")[0]))
        self.statuses[int(head.split()[1])] += 1
        return 1000 * (time.perf_counter() - begun)


@asynccontextmanager
async def lines(port: int, keys: list[str], statuses: dict[int, int]) -> AsyncIterator[list[Line]]:
    """Connections, one for each key, until the block ends; what they were answered is counted."""
    found = [await Line.open(port, key) for key in keys]
    try:
        yield found
    finally:
        for one in found:
            one.writer.close()
            for status, count in one.statuses.items():
                statuses[status] += count


@contextmanager
def serving(folder: Path) -> Iterator[tuple[int, int]]:
    """`hub serve` in a process of its own; yields its port and its number."""
    per_hour = ("registrations", "posts", "pushes", "diffs", "results", "claims")
    limits = [word for name in per_hour for word in ("--limit", f"{name}_per_hour={MANY}")]
    command = [sys.executable, "-m", "autoresearch", "hub", "serve", "--data", str(folder), "--port", "0", *limits]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield int(process.stdout.readline().strip(" \n/").rpartition(":")[2]), process.pid
        finally:
            process.terminate()


async def repeat(line: Line, path: str, until: float) -> int:
    """Ask for the same as often as possible; returns how often."""
    count = 0
    while time.perf_counter() < until:
        await line.ask("GET", path)
        count += 1
    return count


async def measure_rates(port: int, keys: list[str], seconds: float, statuses: dict[int, int]) -> list[dict[str, Any]]:
    """Answers a second of the two lists that are known of the reference."""
    found = []
    for name, reference in REFERENCE_PER_S.items():
        async with lines(port, keys[:NUM_CLIENTS], statuses) as open_lines:
            begun = time.perf_counter()
            counts = await asyncio.gather(*(repeat(one, f"/api/git/{name}", begun + seconds) for one in open_lines))
            per_s = sum(counts) / (time.perf_counter() - begun)
        found.append({"what": name, "per_s": per_s, "reference_per_s": reference})
    return found


def reads(filled: hub_data.Filled, rng: random.Random) -> Iterator[str]:
    """Paths of reads of every kind, without end."""
    while True:
        hash_ = rng.choice(filled.commits)
        yield f"/api/git/commits?limit=20&offset={rng.randrange(100)}"
        yield f"/api/git/commits/{hash_[:12]}"
        yield f"/api/git/commits/{hash_}/children"
        yield f"/api/git/commits/{hash_}/lineage"
        yield "/api/git/leaves"
        yield "/api/channels"
        yield f"/api/channels/results/posts?limit=50&offset={rng.randrange(1000)}"
        yield f"/api/posts/{rng.randrange(1, 1000)}/replies"
        yield "/api/results?platform=H100&limit=50"
        yield "/api/leaderboard"
        yield "/api/brief"
        yield "/api/search?q=deeper"


async def pace(per_s: float, seconds: float, act: Callable[[], Awaitable[None]]) -> None:
    """Act at a steady pace, however long each act takes."""
    begun, tasks = time.perf_counter(), []
    for number in range(int(per_s * seconds)):
        await asyncio.sleep(max(0.0, begun + number / per_s - time.perf_counter()))
        tasks.append(asyncio.ensure_future(act()))
    await asyncio.gather(*tasks)


async def measure_mix(
    port: int, filled: hub_data.Filled, bundles: list[bytes], seconds: float, statuses: dict[int, int]
) -> list[dict[str, Any]]:
    """How long reads, pushes and posts take beside each other."""
    times: dict[str, list[float]] = defaultdict(list)
    paths = reads(filled, random.Random(2))
    async with lines(port, [*filled.keys.values()], statuses) as open_lines:
        free: asyncio.Queue[Line] = asyncio.Queue()
        for one in open_lines:
            free.put_nowait(one)

        async def call(kind: str, method: str, path: str, body: bytes = b"") -> None:
            line = await free.get()
            times[kind].append(await line.ask(method, path, body))
            free.put_nowait(line)

        async def push() -> None:
            await call("pushes", "POST", "/api/git/push", bundles.pop())

        post = b'{"content":"deeper and thinner helps"}'
        await asyncio.gather(
            pace(READS_PER_S, seconds, lambda: call("reads", "GET", next(paths))),
            pace(len(bundles) / seconds, seconds, push),
            pace(POSTS_PER_S, seconds, lambda: call("posts", "POST", "/api/channels/discussion/posts", post)),
        )
    return [told(kind, taken, LIMITS_MS.get(kind)) for kind, taken in times.items()]


def told(what: str, times_ms: list[float], limit_ms: float | None) -> dict[str, Any]:
    """A row of what took its time."""
    taken = sorted(times_ms)
    p99 = taken[min(len(taken) - 1, int(0.99 * len(taken)))]
    row = {"what": what, "count": len(taken), "median_ms": statistics.median(taken), "p99_ms": p99, "max_ms": taken[-1]}
    return {**row, "limit_ms": limit_ms}


def make_bundles(folder: Path, filled: hub_data.Filled, number: int) -> list[bytes]:
    """Bundles of one new commit each, on top of recent ones: every other with all that it is built on."""
    git = hub_data.Bare(folder / "git")
    env = {**git.env, **{f"GIT_{who}_{what}": "a" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}}

    def run(*words: str, given: str = "") -> bytes:
        return subprocess.run(["git", *words], cwd=git.root, env=env, input=given.encode(), capture_output=True).stdout

    made = []
    for place in range(number):
        parent = filled.commits[-1 - place % 200]
        blob = run("hash-object", "-w", "--stdin", given=f"# {place}\n" * 1000).decode().strip()
        rows = [row for row in run("ls-tree", parent).decode().splitlines() if not row.endswith("\ttrain.py")]
        tree = run("mktree", given="\n".join([*rows, f"100644 blob {blob}\ttrain.py"]) + "\n").decode().strip()
        commit = run("commit-tree", tree, "-p", parent, "-m", f"idea {place}").decode().strip()
        run("update-ref", "refs/heads/new", commit)
        made.append(run("bundle", "create", "-q", "-", "refs/heads/new", *([f"^{parent}"] if place % 2 else [])))
    run("update-ref", "-d", "refs/heads/new")
    run("prune", "--expire=now")
    return made


async def measure_events(
    port: int, keys: list[str], num_listeners: int, num_posts: int, statuses: dict[int, int]
) -> list[dict[str, Any]]:
    """How long a post takes to reach everybody who listens."""
    sent: dict[str, float] = {}
    times: list[float] = []

    async def listen(line: Line) -> None:
        line.send("GET", "/api/stream")
        ready.release()
        while text := await line.reader.readline():
            if text.startswith(b"data: ") and (word := json.loads(text[6:])["data"].get("content")) in sent:
                times.append(1000 * (time.perf_counter() - sent[word]))

    ready = asyncio.Semaphore(0)
    async with lines(port, [keys[number % len(keys)] for number in range(num_listeners + 1)], statuses) as open_lines:
        agent, *others = open_lines
        listeners = [asyncio.ensure_future(listen(one)) for one in others]
        for _ in others:
            await ready.acquire()
        await asyncio.sleep(1 + num_listeners / 500)
        for number in range(num_posts):
            word = f"news {number} {time.time()}"
            sent[word] = time.perf_counter()
            await agent.ask("POST", "/api/channels/discussion/posts", json.dumps({"content": word}).encode())
            await asyncio.sleep(0.25)
        until = time.perf_counter() + 10
        while len(times) < num_listeners * num_posts and time.perf_counter() < until:
            await asyncio.sleep(0.05)
        for one in listeners:
            one.cancel()
    lost = num_listeners * num_posts - len(times)
    return [{**told("events", times, LIMITS_MS["events"]), "lost": lost, "listeners": num_listeners}]


def peak_mb(pid: int) -> float:
    """The most memory that a process had."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def measure(num_commits: int, seconds: float, num_listeners: int, num_pushes: int) -> dict[str, Any]:
    """All rows, and what the server was answered and took."""
    statuses: dict[int, int] = defaultdict(int)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "hub"
        filled = hub_data.fill(folder, num_commits, num_commits * 4 // 3, num_commits * 4 // 3)
        bundles, keys = make_bundles(folder, filled, num_pushes), [*filled.keys.values()]
        with serving(folder) as (port, pid):

            async def run() -> list[dict[str, Any]]:
                rows = await measure_rates(port, keys, seconds, statuses)
                rows += await measure_mix(port, filled, bundles, seconds, statuses)
                return rows + await measure_events(port, keys, num_listeners, 2 + int(2 * seconds), statuses)

            rows = asyncio.run(run())
            memory = {"what": "memory", "peak_mb": peak_mb(pid), "limit_mb": LIMIT_MB}
    errors = sum(count for status, count in statuses.items() if status >= 500)
    return {"rows": [*rows, memory], "statuses": dict(statuses), "num_5xx": errors, "commits": num_commits}


def table(found: dict[str, Any]) -> str:
    """The rows in Markdown."""
    text = [f"{found['commits']} commits; answers by status: {found['statuses']}.", ""]
    text += ["| what | measured | bound |", "|---|---|---|"]
    for row in found["rows"]:
        if "per_s" in row:
            text.append(f"| `{row['what']}` | {row['per_s']:.0f} a second | more than {row['reference_per_s']} |")
        elif "p99_ms" in row:
            bound = f"p99 below {row['limit_ms']} ms" if row["limit_ms"] else "none"
            shown = f"median {row['median_ms']:.1f}, p99 {row['p99_ms']:.1f}, longest {row['max_ms']:.1f} ms"
            lost = f", {row['lost']} lost" if "lost" in row else ""
            text.append(f"| {row['what']} ({row['count']}{lost}) | {shown} | {bound} |")
        else:
            text.append(f"| {row['what']} | {row['peak_mb']:.0f} MB | below {row['limit_mb']} MB |")
    return "\n".join([*text, f"| answers of 500 and above | {found['num_5xx']} | 0 |"])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Measure a hub that has been used for a while.")
    parser.add_argument("--commits", type=int, default=15_000, help="commits of the hub")
    parser.add_argument("--seconds", type=float, default=20, help="length of each part")
    parser.add_argument("--listeners", type=int, default=1000, help="clients that wait for events")
    parser.add_argument("--pushes", type=int, default=100, help="commits that are pushed")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, options.listeners + 500), hard))
    os.environ["NO_PROXY"] = "127.0.0.1"
    found = measure(options.commits, options.seconds, options.listeners, options.pushes)
    print(json.dumps(found, indent=1) if options.json else table(found))


if __name__ == "__main__":
    main()
