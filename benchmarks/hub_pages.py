"""What the pages of a hub cost: time from request to the last byte of each, and its size; and their pictures.

Usage: python benchmarks/hub_pages.py [--commits 15000] [--posts 10000] [--results 15000] [--repeats 9] [--json]
       python benchmarks/hub_pages.py --pictures docs/img

The hub is filled by benchmarks/hub_data.py and served by a process of its own; each request has another address, so
that no page comes from the shelf. The first request after the start makes the leaderboards too.
The pictures are of a made-up hub (tests/hub_story.py): nothing on them was measured.
"""

import argparse
import http.client
import json
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
WIDE, PHONE = (1280, 900), (390, 844)
PICTURES: tuple[
    tuple[str, str, tuple[int, int], Literal["dark", "light"]], ...
] = (  # name, page, size of the window, colours
    ("hub-dashboard", "/", WIDE, "light"),
    ("hub-dashboard-dark", "/", WIDE, "dark"),
    ("hub-dashboard-phone", "/", PHONE, "light"),
    ("hub-leaderboard", "/platform/H100", WIDE, "light"),
    ("hub-graph", "/commits", WIDE, "light"),
    ("hub-commit", "/commit/{commit}", WIDE, "light"),
)


@contextmanager
def served(folder: Path) -> Iterator[tuple[str, int]]:
    """The hub in a folder, in a process of its own: address and port."""
    command = [sys.executable, "-m", "autoresearch", "hub", "serve", "--data", str(folder), "--port", "0"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as child:
        assert child.stdout
        try:
            host, port = child.stdout.readline().strip().removeprefix("http://").rstrip("/").split(":")
            yield host, int(port)
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


def measure(folder: Path, repeats: int) -> tuple[list[dict[str, Any]], float]:
    """Each page, several times; and the first one after the start."""
    found = []
    with served(folder) as (host, port):
        connection = http.client.HTTPConnection(host, port, timeout=60)
        first, _ = ask(connection, "/")
        for name, path in paths(folder).items():
            times = [ask(connection, f"{path}turn={turn}")[0] for turn in range(repeats)]
            kept, size = min(ask(connection, f"{path}turn=0") for _ in range(3))
            row = {"page": name, "median_ms": statistics.median(times), "worst_ms": max(times), "limit_ms": LIMIT_MS}
            found.append(row | {"kept_ms": kept, "kb": size / 1000})
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
            for picture, path, (width, height), scheme in PICTURES:
                scale = 2 if width < 600 else 1
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
        print(json.dumps({"pages": found, "first_ms": first}, indent=1))
        return
    print("| page | median ms | worst ms | limit ms | from the shelf ms | KB |\n|---|---|---|---|---|---|")
    for row in found:
        print(
            f"| {row['page']} | {row['median_ms']:.0f} | {row['worst_ms']:.0f} | {row['limit_ms']} "
            f"| {row['kept_ms']:.1f} | {row['kb']:.0f} |"
        )
    print(f"\nThe first page after the start, with the leaderboards: {first:.0f} ms.")


if __name__ == "__main__":
    main()
