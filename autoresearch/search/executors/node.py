"""A program: runs one trial where its executor is not, told and heard through its standard streams.

The first line of the input says what to run; each later one becomes control.json, or asks to end the trial. The end of
the input ends it at once: whoever wrote there is gone. The output is frames: a line of JSON with `name` and `size`, and
as many bytes, to be appended to that file of the trial; the last one holds the outcome instead.
"""

import contextlib
import json
import os
import queue
import sys
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

from autoresearch import process
from autoresearch.sandbox import files
from autoresearch.search.config import Config
from autoresearch.search.executors import CONTROL, PROGRESS, Order, Outcome, variables_at
from autoresearch.search.executors.command import CommandExecutor
from autoresearch.search.spans import Spans

TICK_S = 0.1
PART_BYTES = 1 << 20
STOP = "stop"
Inbox = queue.SimpleQueue[str | Outcome]
KEPT = (PROGRESS, CONTROL, "manifest.json")
"""Files that are sent otherwise, or that the engine writes."""


@dataclass
class Outbox:
    """Where frames are written."""

    out: BinaryIO
    folder: Path
    """Of the trial here."""
    sent: int = 0
    """Bytes of progress.jsonl."""

    def put(self, header: Mapping[str, Any], data: bytes = b"") -> None:
        """Write one frame."""
        self.out.write(json.dumps({**header, "size": len(data)}).encode() + b"\n" + data)
        self.out.flush()

    def send_progress(self) -> None:
        """Send what was reported since the last time."""
        self.sent += self.send(self.folder / PROGRESS, self.sent)

    def send(self, path: Path, start: int = 0) -> int:
        """Send a plain file from a place on, in parts; returns the number of bytes."""
        name, num_bytes = str(path.relative_to(self.folder)), 0
        with contextlib.suppress(OSError), open(os.open(path, os.O_RDONLY | files.SAFE), "rb") as file:
            file.seek(start)
            while data := file.read(PART_BYTES):
                self.put({"name": name, "start": start + num_bytes}, data)
                num_bytes += len(data)
        return num_bytes

    def send_rest(self) -> None:
        """Send all that the trial left."""
        self.send_progress()
        for path in sorted(self.folder.rglob("*")):
            if path.is_file() and not path.is_symlink() and str(path.relative_to(self.folder)) not in KEPT:
                self.send(path)


def order_at(told: Mapping[str, Any], folder: Path, environ: Mapping[str, str]) -> Order:
    """The order as it is carried out here."""
    variables = variables_at(told["variables"], told["folder"], str(folder))
    return Order(
        number=told["number"],
        folder=folder,
        cwd=Path(told["cwd"]),
        commands=tuple(tuple(command) for command in told["commands"]),
        env=process.environment(environ, variables),
        variables=variables,
        params={},
        timeout_s=told["timeout_s"],
    )


def main() -> None:
    """Run the trial that the input describes."""
    if child := os.fork():  # so that whoever kills its children, as a worker of Ray does, leaves the trial to us
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        sys.exit(code if code >= 0 else 128 - code)
    folder = Path(tempfile.mkdtemp(prefix="autoresearch-"))
    outbox, inbox = Outbox(sys.stdout.buffer, folder), Inbox()
    order = order_at(json.loads(sys.stdin.readline()), folder, os.environ)
    Path(order.env["AR_MODEL_DIR"]).mkdir()
    executor = CommandExecutor(Config.model_validate({"target": {"train_cmd": order.commands[0]}}), Spans(), {})
    try:
        executor.submit(order, lambda number, outcome: inbox.put(outcome))
        threading.Thread(target=listen, args=(inbox,), daemon=True).start()
        outcome = follow(order, executor, inbox, outbox)
        outbox.send_rest()
        outbox.put({"outcome": asdict(outcome)})
    finally:
        executor.stop(order.number, hard=True)
        files.remove(folder)


def listen(inbox: Inbox) -> None:
    """Hand on each line; an empty one is the end."""
    while line := sys.stdin.readline():
        inbox.put(line)
    inbox.put("")


def follow(order: Order, executor: CommandExecutor, inbox: Inbox, outbox: Outbox) -> Outcome:
    """Send reports and heed orders until the trial is over."""
    while True:
        try:
            message = inbox.get(timeout=TICK_S)
        except queue.Empty:
            outbox.send_progress()
            continue
        if isinstance(message, Outcome):
            return message
        if message.strip() in ("", STOP):
            executor.stop(order.number, hard=not message)
        else:
            aside = order.folder / f".{CONTROL}"
            files.write(aside, message)
            aside.replace(order.folder / CONTROL)
