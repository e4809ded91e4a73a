"""What the verbs of the search share of the rim: the configuration, its checks, signals, the closing line."""

import gc
import json
import math
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from autoresearch.commands import terminal
from autoresearch.errors import BadConfig, NoGoodTrial
from autoresearch.search import campaign, checks, configfile, machine
from autoresearch.search.campaign import Campaign, Clocks
from autoresearch.search.checks import Surroundings
from autoresearch.search.config import Config
from autoresearch.search.executors import ray_
from autoresearch.search.guards import Stop

SAME_S = 0.3  # within which a signal is the same one
File = Annotated[Path, typer.Argument(metavar="CONFIG", help="YAML file of the campaign.")]


def load(path: Path) -> Config:
    """The configuration, with its notes said."""
    return configfile.load(path, Path.cwd(), terminal.say)


def surroundings() -> Surroundings:
    """This machine and the environment."""
    return Surroundings(machine.find(os.environ), dict(os.environ))


def check(config: Config, around: Surroundings) -> None:
    """Say all problems.

    Raises:
        BadConfig: one of them is blocking.
    """
    problems = checks.run(config, around)
    for problem in problems:
        terminal.say(str(problem))
    if blocking := sum(one.is_blocking for one in problems):
        raise BadConfig(f"{blocking} of the checks failed, nothing was started; they are listed above")


@contextmanager
def opened(path: Path) -> Iterator[Campaign]:
    """The campaign of a file, checked and held."""
    gc.enable()  # the command line turns it off, for verbs that end at once
    config, around = load(path), surroundings()
    check(config, around)
    if config.target.type == "ray":
        os.environ |= ray_.SETTINGS  # which it reads nowhere else
    with campaign.opened(config, around, Clocks(time.time, time.time() - time.monotonic()), terminal.say) as found:
        yield found


def run(found: Campaign, search: Callable[[], Stop]) -> int:
    """Search until it stops, print the closing line, and return the exit code: of a signal 128 and its number.

    Raises:
        NoGoodTrial: no trial of the campaign succeeded.
        Exception: what ended the search; the closing line is printed all the same.
    """
    received: list[int] = []
    heard_s = -math.inf

    def heed(number: int, frame: FrameType | None) -> None:
        nonlocal heard_s
        if number in received and time.monotonic() - heard_s < SAME_S:
            return  # the same one again, of a parent that passed on what the whole group had got
        heard_s = time.monotonic()
        received.append(number)
        if found.engine.is_looping and len(received) == 1:
            name = signal.Signals(number).name
            found.engine.interrupt(Stop(name, "told to stop; `run` again goes on", is_hard=True, is_resumable=True))
            os.write(2, f"{name}: ending what runs; a second signal is immediate\n".encode())  # print is not reentrant
        else:
            raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # nohup
            signal.signal(number, heed)
    try:
        search()
    except KeyboardInterrupt:
        received += [] if received else [signal.SIGINT]
    finally:
        facts = found.closing()
        print(json.dumps(facts, default=str), flush=True)
    if received:
        return 128 + received[0]
    if not facts["counts"].get("ok"):
        raise NoGoodTrial(f"no trial succeeded; see {found.config.telemetry.ledger_path}")
    return 0
