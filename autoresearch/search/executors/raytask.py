"""What runs elsewhere in a Ray cluster: the task of a trial, and the actor that keeps letters to trials.

Ray is sent these functions themselves, so that its workers import nothing of the package.
"""

import contextlib
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

START_NODE = (  # the repository last on the path: a json.py that lies there is not json
    "import sys; sys.path.append(sys.argv[1]); from autoresearch.search.executors import node; node.main()"
)
LISTEN_S = 0.5


class Mailbox:
    """An actor that keeps what running trials are to be told; they ask."""

    def __init__(self) -> None:
        self.lines: dict[str, list[str]] = {}

    def put(self, key: str, line: str) -> None:
        """Leave a line."""
        self.lines.setdefault(key, []).append(line)

    def take(self, key: str) -> list[str]:
        """What was left since the last time."""
        return self.lines.pop(key, [])


def run_there(root: str, order: str, key: str, mailbox: Any) -> Iterator[tuple[dict[str, Any], bytes]]:
    """The task: starts the program on its node and hands on what it says, frame by frame.

    Args:
        root: folder of this repository.
        order: what the program is told, a line of JSON.
        key: by which the trial finds its letters.
    """
    import ray

    child = subprocess.Popen(
        [sys.executable, "-P", "-c", START_NODE, root], cwd=root, start_new_session=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert child.stdin and child.stdout and child.stderr
    over = threading.Event()

    def tell(line: str) -> None:
        assert child.stdin
        with contextlib.suppress(OSError, ValueError):
            child.stdin.write(f"{line}\n".encode())
            child.stdin.flush()

    def listen() -> None:
        assert child.stdin
        try:
            while not over.wait(LISTEN_S):
                for line in ray.get(mailbox.take.remote(key)):
                    tell(line)
        except ray.exceptions.RayError:  # nobody is there any more
            child.stdin.close()

    listener = threading.Thread(target=listen, daemon=True)
    try:
        yield {}, b""
        tell(order)
        listener.start()
        while line := child.stdout.readline():
            header = json.loads(line)
            yield header, child.stdout.read(header["size"])
        if 0 < (code := child.wait()) < 128:  # else a signal ended it: it is lost with its node
            raise RuntimeError(f"exit code {code}: {child.stderr.read().decode(errors='replace')}")
    finally:
        over.set()
        child.stdin.close()
