"""What every verb shares of the rim: the campaign of this folder, talk, JSON, the time, the lock of a device."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from autoresearch.attempt.campaign import Campaign
from autoresearch.errors import Busy
from autoresearch.ledger import locked

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def say(text: str) -> None:
    """Talk for the person."""
    print(text, file=sys.stderr, flush=True)


def show(text: str) -> None:
    """Replace the live line; "" ends it."""
    print(f"\r{text:<110}" if text else "", end="" if text else "\n", file=sys.stderr, flush=True)


def now() -> str:
    """UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def campaign(tag: str = "") -> Campaign:
    """The campaign of the checkout around the working folder."""
    opened = Campaign.open(Path.cwd(), os.environ, say, tag)
    return Campaign(opened.repo, opened.arena, opened.tag, os.environ, say, show if sys.stderr.isatty() else None)


def print_json(value: Any) -> None:
    """One JSON value on stdout."""
    print(json.dumps(value, indent=1, default=str))


@contextmanager
def device_lock(current: Campaign, device: str, what: str) -> Iterator[None]:
    """Hold a device while the block runs.

    Raises:
        Busy: another process holds it; says what it is doing.
    """
    path = current.repo.root / "results" / f".lock-{device}"
    with locked(path) as ours:
        if not ours:
            holder = path.read_text().strip() or "another process"
            raise Busy(
                f"{holder} holds device {device!r}; see `uv run -m autoresearch wait`, or give another with --gpu"
            )
        path.write_text(f"{what} (process {os.getpid()})")
        yield
