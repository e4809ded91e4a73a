"""What every verb shares of the rim: the campaign of this folder, talk, JSON, the time, the lock of a device."""

import json
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Annotated, Any

import typer

from autoresearch import remeasure, signals
from autoresearch.attempt import closing, judge, setup
from autoresearch.attempt.campaign import Campaign
from autoresearch.errors import Busy, NoGoodTrial, Terminated
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


def campaign(tag: str = "", gpu: int | None = None) -> Campaign:
    """The campaign of the checkout around the working folder.

    Args:
        gpu: device that trials see; None leaves that to the environment.
    """
    variables: Mapping[str, str] = os.environ if gpu is None else {**os.environ, "CUDA_VISIBLE_DEVICES": str(gpu)}
    opened = Campaign.open(Path.cwd(), variables, say, tag)
    return replace(opened, show=show if sys.stderr.isatty() else None)


def print_json(value: Any) -> None:
    """One JSON value on stdout."""
    print(json.dumps(value, indent=1, default=str))


def device_of(current: Campaign) -> str:
    """The device that trials run on: the first that they see."""
    return (current.variables.get("CUDA_VISIBLE_DEVICES") or "0").partition(",")[0]


@contextmanager
def hold_checkout(current: Campaign, what: str) -> Iterator[IO[str]]:
    """Hold the checkout alone, for what needs no device.

    Raises:
        Busy: another process holds it; says what it is doing.
    """
    advice = "one at a time in a checkout, `git worktree add` makes another"
    with _locked(checkout_lock(current), what, advice) as ours:
        yield ours


@contextmanager
def hold(current: Campaign, what: str) -> Iterator[list[IO[str]]]:
    """Hold checkout and device while the block runs, and end it orderly on SIGTERM and SIGHUP.

    Yields:
        The open locks: a child that inherits them goes on holding.

    Raises:
        Busy: another process holds one of them; says what it is doing.
    """
    device = device_of(current)
    on_device = current.common / f"autoresearch-device-{device}.lock"
    with (
        hold_checkout(current, what) as ours,
        _locked(on_device, what, f"device {device} is taken, give another with --gpu") as device_lock,
    ):
        end_orderly()
        yield [ours, device_lock]


def end_orderly() -> None:
    """Let SIGTERM and SIGHUP end an attempt as Ctrl-C does."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # nohup
            signal.signal(number, _terminate)


def _terminate(number: int, frame: object) -> None:
    raise Terminated


def checkout_lock(current: Campaign) -> Path:
    """What is held while a verb trains or moves the branch."""
    return current.repo.root / "results" / ".lock"


@contextmanager
def _locked(path: Path, what: str, advice: str) -> Iterator[IO[str]]:
    until = time.monotonic() + 1.0  # `wait` looks whether a lock is held by taking it for an instant
    while True:
        with locked(path) as file:
            if file:
                name_holder(file, what)
                yield file
                return
        if time.monotonic() > until:
            holder = path.read_text().strip() or "another process"
            raise Busy(f"{holder} is under way; see `uv run -m autoresearch wait`; {advice}")
        time.sleep(0.05)


def name_holder(lock: IO[str], what: str, process: int = 0) -> None:
    """Write into a held lock what its holder is doing."""
    lock.truncate(0)
    lock.write(f"{what} (process {process or os.getpid()})")
    lock.flush()


def is_held(path: Path) -> bool:
    """Whether some process holds a lock."""
    with locked(path) as file:
        return file is None


def heal(current: Campaign) -> None:
    """Close what an earlier command left open, without training again; to be called under the lock."""
    setup.make_current(current)
    remeasure.heal(current)
    for attempt in judge.open_attempts(current):
        if attempt.id == 1:
            raise NoGoodTrial(f"the baseline is not measured; run `uv run -m autoresearch setup {current.tag}` again")
        judge.advance(current, attempt, now, train=False)
        say(f"attempt {attempt.name} was cut off: {closing.outcome(attempt)}")
        for notice in attempt.notices:
            say(f"note: {notice}")
        if signals.is_cut_off(attempt):
            say(f"its code is in {current.ref(attempt.id)} and may be tried again")
