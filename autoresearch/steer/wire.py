"""The supervisor's side of the control plane: commands out, reports and acknowledgements in.

Each command carries the whole plan, so that a lost one leaves nothing half changed.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from autoresearch.sandbox import files
from autoresearch.steer.plan import Plan

MOST_BYTES = 8 << 20  # read at once
CONTROL, PROGRESS, ACKS = "control.json", "progress.jsonl", "acks.jsonl"


class Row(NamedTuple):
    """A report: step `step` comes next, and the rest is about the one before it."""

    step: int
    progress: float
    elapsed_s: float
    lr: float | None
    """Of the optimizer's first group; None where it was not said."""
    updates: int
    """Made so far; equal to `step` until something is undone."""
    metrics: dict[str, float | None]
    """None: not finite."""


class Ack(NamedTuple):
    """A command that took effect."""

    seq: int
    branch: str
    step: int
    lr: float


@dataclass
class Tail:
    """The lines of a growing file, each read once."""

    path: Path
    offset: int = 0
    """End of the last line that was taken."""

    def read(self) -> Iterator[dict[str, Any]]:
        """Objects of the whole lines that are there now; each is taken once the next one is asked for."""
        try:
            with open(os.open(self.path, os.O_RDONLY | files.SAFE), "rb") as file:
                file.seek(self.offset)
                data = file.read(MOST_BYTES)
        except OSError:
            data = b""
        return self._take(data.split(b"\n")[:-1])

    def _take(self, lines: list[bytes]) -> Iterator[dict[str, Any]]:
        for line in lines:
            if (row := _object(line)) is not None:
                yield row
            self.offset += len(line) + 1


def _object(line: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


@dataclass
class Wire:
    """Speaks with one trial through its folder."""

    folder: Path
    reports: Tail = field(init=False)
    acks: Tail = field(init=False)
    acked: list[Ack] = field(default_factory=list)
    """Read, and not yet taken by anyone."""

    def __post_init__(self) -> None:
        self.reports, self.acks = Tail(self.folder / PROGRESS), Tail(self.folder / ACKS)

    def skip(self) -> None:
        """Pass over all that is there: it belongs to a process that is gone."""
        for tail in (self.reports, self.acks):
            tail.offset = _end_of_lines(tail.path)
        self.acked = []

    def read(self) -> Iterator[Row]:
        """The new reports; every command that was obeyed before one of them is in `acked` by then."""
        rows = self.reports.read()
        self.acked += [ack for one in self.acks.read() if (ack := _ack(one))]
        return (row for one in rows if (row := _row(one)))

    def send(self, command: dict[str, Any]) -> None:
        """Put a command in the place of the one before."""
        files.replace(self.folder / CONTROL, json.dumps(command) + "\n")


def _end_of_lines(path: Path) -> int:
    """Where the next line will begin: a line that was cut off is ended, so that it spoils no other."""
    text = files.read(path)
    if text and not text.endswith(b"\n"):
        files.append(path, "\n")
        return len(text) + 1
    return len(text)


def command(plan: Plan, lr_unit: float, **identity: Any) -> dict[str, Any]:
    """The content of control.json.

    Args:
        lr_unit: learning rate that the trainer calls scale 1.
        identity: seq, run_id, branch_id, issued_step, effective_step.
    """
    return {**identity, "cancel": False, "lr_scale": 1.0, "plan": plan.schedule(lr_unit)}


def _row(raw: dict[str, Any]) -> Row | None:
    step, metrics = raw.get("step"), raw.get("metrics")
    if not isinstance(step, int) or not isinstance(metrics, dict):
        return None
    numbers = {str(name): _number(value) for name, value in metrics.items()}
    progress, elapsed_s = _number(raw.get("progress")) or 0.0, _number(raw.get("elapsed_s")) or 0.0
    updates = raw.get("num_steps")
    return Row(
        step, progress, elapsed_s, _number(raw.get("lr")), updates if isinstance(updates, int) else step, numbers
    )


def _ack(raw: dict[str, Any]) -> Ack | None:
    seq, step, lr = raw.get("seq"), raw.get("applied_step"), _number(raw.get("lr"))
    if not isinstance(seq, int) or not isinstance(step, int) or lr is None:
        return None
    return Ack(seq, str(raw.get("branch_id")), step, lr)


def _number(value: Any) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < float("inf")
    return float(value) if is_number else None
