"""What the pages of a hub cost: time from request to the last byte of each, and its size; and their pictures.

Usage: python benchmarks/hub_pages.py [--commits 15000] [--posts 10000] [--results 15000] [--repeats 9] [--json]
       python benchmarks/hub_pages.py --pictures docs/img

The hub is filled by benchmarks/hub_data.py and served by a process of its own; each request has another address, so
that no page comes from the shelf. Where other work disturbs the machine, look at what a page takes of the processor.
The pictures are of a made-up hub (tests/hub_story.py): nothing on them was measured.
"""

import argparse
import http.client
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks"), str(ROOT / "tests")]
LIMIT_MS = 300
WIDTH, PHONE_WIDTH = 1280, 390
PICTURES: tuple[tuple[str, str, int, int, Literal["light", "dark"]], ...] = (  # name, page, width, height, colours
    ("hub-dashboard", "/", WIDTH, 1000, "light"),
    ("hub-dashboard-dark", "/", WIDTH, 1000, "dark"),
    ("hub-dashboard-phone", "/", PHONE_WIDTH, 844, "light"),
    ("hub-leaderboard", "/platform/H100", WIDTH, 1320, "light"),
    ("hub-graph", "/commits", WIDTH, 1320, "light"),
    ("hub-commit", "/commit/{commit}", WIDTH, 1100, "light"),
)


@contextmanager
def served(folder: Path) -> Iterator[tuple[str, int, int]]:
    """The hub in a folder, in a process of its own: address, port, number of the process."""
    command = [sys.executable, "-m", "autoresearch", "hub", "serve", "--data", str(folder), "--port", "0"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as child:
        assert child.stdout
        try:
            host, port = child.stdout.readline().strip().removeprefix("http://").rstrip("/").split(":")
            yield host, int(port), child.pid
        finally:
            child.send_signal(signal.SIGINT)


def paths(folder: Path) -> dict[str, str]:
    """An address of each page by its name; the commit and the post are those with the most below them."""
    from autoresearch.hub.folder import open_database

    db = open_database(folder)
    head = db.value("SELECT parent_id FROM posts WHERE parent_id IS NOT NULL GROUP BY parent_id ORDER BY count(*) DESC")
    commit = db.value("SELECT hash FROM commits ORDER BY num_children DESC")
    db.close()
    return {
        "dashboard": "/?",
        "platform": "/platform/H100?",
        "graph": "/commits?",
        "graph, further down": "/commits?offset=9000&",
        "commit": f"/commit/{commit}?",
        "results channel": "/channel/results?",
        "discussion": "/channel/discussion?",
        "post": f"/post/{head}?",
        "agent": "/agent/agent1?",
        "results": "/results?",
        "results by words": "/results?q=window&",
        "search": "/search?q=window&",
        "claims": "/claims?",
    }


def ask(connection: http.client.HTTPConnection, path: str) -> tuple[float, int]:
    """Milliseconds and bytes of one page."""
    begun = time.perf_counter()
    connection.request("GET", path)
    answer = connection.getresponse()
    body = answer.read()
    assert answer.status == 200, (path, answer.status)
    return 1000 * (time.perf_counter() - begun), len(body)


def processor_ms(process: int) -> float:
    """What a process has taken of the processor so far; needs Linux, which counts in steps of 10 ms."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return 1000 * (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(folder: Path, repeats: int) -> tuple[list[dict[str, Any]], dict[str, float]]:
    """Each page, several times; and the first one after the start: its time, and what it takes of the processor."""
    found = []
    with served(folder) as (host, port, process):
        connection = http.client.HTTPConnection(host, port, timeout=60)
        begun = processor_ms(process)
        first = {"first_ms": ask(connection, "/")[0], "first_processor_ms": processor_ms(process) - begun}
        for name, path in paths(folder).items():
            begun = processor_ms(process)
            times = [ask(connection, f"{path}turn={turn}")[0] for turn in range(repeats)]
            taken = (processor_ms(process) - begun) / repeats
            kept, size = min(ask(connection, f"{path}turn=0") for _ in range(3))
            row = {"page": name, "median_ms": statistics.median(times), "worst_ms": max(times), "limit_ms": LIMIT_MS}
            found.append(row | {"processor_ms": taken, "kept_ms": kept, "kb": size / 1000})
    return found, first


def take_pictures(folder: Path) -> list[Path]:
    """Have a browser draw the pages of a made-up hub."""
    import browsers
    import hub_story
    from hubs import serving

    folder.mkdir(parents=True, exist_ok=True)
    taken = []
    with tempfile.TemporaryDirectory() as name, browsers.launched() as browser:
        hub_story.tell(Path(name) / "hub")
        with serving(Path(name) / "hub") as live:
            commit = live.hub.db.value(
                "SELECT hash FROM commits WHERE message LIKE 'halve%' ORDER BY num_children DESC"
            )
            for picture, path, width, height, scheme in PICTURES:
                scale = 2 if width == PHONE_WIDTH else 1
                context = browser.new_context(
                    viewport={"width": width, "height": height}, color_scheme=scheme, device_scale_factor=scale
                )
                tab = context.new_page()
                tab.goto(live.url + path.format(commit=commit), wait_until="load")
                tab.wait_for_selector("#pulse:not([hidden])")
                taken.append(folder / f"{picture}.png")
                tab.screenshot(path=taken[-1])
                context.close()
    return taken


def main() -> None:
    """Print the table, or take the pictures."""
    parser = argparse.ArgumentParser(description="Measure what the pages of a hub cost.")
    for name, number in (("commits", 15_000), ("posts", 10_000), ("results", 15_000), ("repeats", 9)):
        parser.add_argument(f"--{name}", type=int, default=number)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--pictures", type=Path, help="folder for pictures; nothing is measured then")
    options = parser.parse_args()
    if options.pictures:
        print(*take_pictures(options.pictures), sep="\n")
        return
    import hub_data

    with tempfile.TemporaryDirectory() as name:
        hub_data.fill(Path(name) / "hub", options.commits, options.posts, options.results)
        found, first = measure(Path(name) / "hub", options.repeats)
    if options.json:
        print(json.dumps({"pages": found, **first}, indent=1))
        return
    print("| page | median ms | worst ms | limit ms | processor ms | from the shelf ms | KB |")
    print("|---|---|---|---|---|---|---|")
    for row in found:
        print(
            f"| {row['page']} | {row['median_ms']:.0f} | {row['worst_ms']:.0f} | {row['limit_ms']} "
            f"| {row['processor_ms']:.0f} | {row['kept_ms']:.1f} | {row['kb']:.0f} |"
        )
    taken = "{first_ms:.0f} ms, {first_processor_ms:.0f} ms of the processor".format(**first)
    print(f"\nThe first page after the start: {taken}.")


if __name__ == "__main__":
    main()
