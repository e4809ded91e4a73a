"""How a training process ended, as far as the learning rate is concerned; and when one that lives must be ended."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from autoresearch import summary
from autoresearch.errors import BadConfig
from autoresearch.steer.state import State

CANCELLED = 42
KINDS: dict[str, Literal["numeric", "broken"]] = {"diverged": "numeric", "syntax": "broken", "refused": "broken"}
UNREADABLE = "cannot be resumed from"  # what a trainer says of a checkpoint, be it torn or its device lost
# Of these, what another process may do without: a checkpoint, a driver's library.
PASSING = re.compile(UNREADABLE + r"|^ImportError: \S+\.so\b\S*: ")
HUNG_STEPS = 20  # times the usual wait for a report
ENDING = 0.05  # of the budget, at least the last two updates: what comes after the last report may take its time


class Turn(NamedTuple):
    """Why a trainer is followed no longer."""

    kind: Literal["done", "numeric", "infra", "broken", "aborted", "budget", "disobeys"]
    why: str = ""


@dataclass
class Pulse:
    """Notices a trainer that lives and does nothing: a lost device, a deadlock."""

    hung_s: float
    """Least wait for a report that counts as too long."""
    start_s: float
    """The same until the second report, for what is compiled and warmed up, and near the end, for an evaluation."""
    offset: int
    """Of the reports; it moves where something was said."""
    times: int = 0
    first_s: float = 0.0
    last_s: float = 0.0
    """How often, and since the launch when first and last, it moved."""

    def check(self, now: State, offset: int, age_s: float) -> Turn | None:
        """Why the trainer must be ended, if it must; `age_s` are seconds since its launch."""
        if offset != self.offset:
            self.first_s = self.first_s if self.times else age_s
            self.offset, self.times, self.last_s = offset, self.times + 1, age_s
        usual_s = (self.last_s - self.first_s) / max(1, self.times - 1)
        is_ending = 1 - now.progress <= max(ENDING, 2 * now.progress / max(1, now.updates - now.spent_steps))
        limit_s = self.start_s if self.times < 2 or is_ending else max(self.hung_s, HUNG_STEPS * usual_s)
        if age_s - self.last_s <= limit_s:
            return None
        return Turn("infra", f"hung: it reported nothing for {limit_s:.3g} s")


def classify(text: str, exit_code: int | None) -> Turn:
    """What the end of a process means.

    Only a loss that was lost is numeric; where a signal ended it, the last line alone may say so. Code that does not
    load and settings that are refused are broken: they would end every further process too. Signals, want of memory,
    lost devices, checkpoints and shared libraries that cannot be loaded, and all other errors are not the learning
    rate's fault.

    Args:
        text: log of the process.
        exit_code: negative for a signal; None where nobody saw it.
    """
    if exit_code == 0:
        return Turn("done")
    if exit_code == CANCELLED:
        return Turn("aborted", "cancelled on request")
    is_killed = exit_code is not None and exit_code < 0
    crash = summary.explain(text.rstrip().rpartition("\n")[2] if is_killed else text, exit_code)
    is_passing = PASSING.search(crash.why)
    return Turn("infra" if is_passing else KINDS.get(crash.kind, "infra"), f"{crash.kind}: {crash.why}")


def refusal(turn: Turn, folder: Path) -> BadConfig:
    """What a campaign ends with whose trainer is broken; the round in `folder` keeps its copy of the code."""
    mend = f"mend it, then `rm -r {folder}` and the same command begin the round anew"
    return BadConfig(f"the trainer must run but ended with {turn.why}; {mend}")


def unseen(text: str) -> Turn:
    """What the end of a process means whose supervisor was ended before it: what it wrote until then may tell."""
    turn = classify(text, None)
    return turn if turn.kind == "numeric" else Turn("infra", "the supervisor was ended")
