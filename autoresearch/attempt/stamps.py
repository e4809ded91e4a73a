"""When a trial's clock started and ended, by the supervisor's own time, and whether that was within the budget.

A trial could send the two words whenever it likes: what bounds it is start-up and the whole. See docs/referee.md.
"""

import os
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from autoresearch.records import Crash

Name = Literal["start", "done"]
START_UP_S = {"gpu": 240.0}  # by scale
START_UP_DEFAULT_S = 60.0
BASELINE_START_UP_S = 600.0  # nobody edited it, and it compiles into an empty cache
EXCESS_FRAC = 0.02  # of the budget, beside the update under way
STEP_FRAC = 0.1  # of the budget: the longest update that is believed
MACHINE_S = 1.0  # a busy machine's
LEAVING_S = 60.0  # from the end of the clock to the end of the process, which only saves its submission
MOST_BYTES = 64


@dataclass(frozen=True)
class Limits:
    """What the clock of a trial is held to."""

    start_up_s: float
    """From the launch to the start; see `start_up_s`."""
    budget_s: float
    step_s: float
    """Mean seconds of an update, as the trial tells."""


class Stamps:
    """Listens on a pipe that the trial inherits, and notes when each word arrives."""

    def __init__(self) -> None:
        read_end, write_end = os.pipe()
        self.pipe, self.inherited = open(read_end, "rb", buffering=0), open(write_end, "wb", buffering=0)  # noqa: SIM115
        self.times: dict[str, float] = {}
        self.thread = threading.Thread(target=self._listen, daemon=True)

    def listen(self) -> None:
        """To be called when the trial has inherited its end, or has not been started."""
        self.inherited.close()
        self.thread.start()

    def _listen(self) -> None:
        with self.pipe:
            said = b""
            while "done" not in self.times and len(said) < MOST_BYTES and (part := self.pipe.read(MOST_BYTES)):
                said, now = said + part, time.monotonic()
                for word in said.split(b"\n")[:-1]:
                    if word in (b"start", b"done"):
                        self.times.setdefault(word.decode(), now)

    def since(self, begun: float) -> dict[str, float]:
        """Seconds from `begun` (monotonic) to each word."""
        return {name: round(at - begun, 3) for name, at in self.times.copy().items()}

    def close(self) -> None:
        """Wait for what is still in the pipe, when all processes of the trial have ended."""
        self.thread.join(5.0)


def start_up_s(scale: str, baseline_s: float | None) -> float:
    """The longest from the start of the process to the start of the clock.

    Args:
        baseline_s: the longest that a run of the baseline took; a slow machine's may be more than the usual bound.
            None: the baseline is being measured.
    """
    if baseline_s is None:
        return BASELINE_START_UP_S
    return max(START_UP_S.get(scale, START_UP_DEFAULT_S), 2 * baseline_s)


def excess_s(budget_s: float, step_s: float = float("inf")) -> float:
    """What a trial may train beyond its budget: the update under way, two percent, and a busy machine's second."""
    return min(step_s, STEP_FRAC * budget_s) + EXCESS_FRAC * budget_s + MACHINE_S


def judge(stamps: Mapping[str, float], ended_s: float, limits: Limits) -> Crash | None:
    """Refuse a clock that was not used, or a run that went on longer than it may.

    Args:
        stamps: seconds after the launch.
        ended_s: when the process ended, seconds after the launch.
    """
    why, most_s = "", limits.budget_s + excess_s(limits.budget_s, limits.step_s)
    if "start" not in stamps:
        why = "clock.start() must be called before training but never was"
    elif stamps["start"] > limits.start_up_s:
        why = f"clock.start() must come within {limits.start_up_s:.0f} s but came after {stamps['start']:.1f} s"
    elif "done" not in stamps:
        why = "training must go on until clock.done but ended before"
    elif (spent_s := stamps["done"] - stamps["start"]) > most_s:
        why = f"training must end within {most_s:.1f} s of clock.start() but took {spent_s:.1f} s"
    elif (left_s := ended_s - stamps["done"]) > LEAVING_S:
        why = f"a run must end within {LEAVING_S:.0f} s of clock.done but went on for {left_s:.1f} s"
    return Crash(kind="refused", why=f"clock: {why}") if why else None
