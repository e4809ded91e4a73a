"""How a training process ended, as far as the learning rate is concerned."""

from typing import Literal, NamedTuple

from autoresearch import summary

CANCELLED = 42


class Turn(NamedTuple):
    """Why a trainer is followed no longer."""

    kind: Literal["done", "numeric", "infra", "aborted", "budget", "disobeys"]
    why: str = ""


def classify(text: str, exit_code: int | None) -> Turn:
    """What the end of a process means.

    Only a loss that was lost is numeric; where a signal ended it, the last line alone may say so. Signals, want of
    memory, lost devices and errors of the code are not the learning rate's fault.

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
    return Turn("numeric" if crash.kind == "diverged" else "infra", f"{crash.kind}: {crash.why}")


def unseen(text: str) -> Turn:
    """What the end of a process means whose supervisor was ended before it: what it wrote until then may tell."""
    turn = classify(text, None)
    return turn if turn.kind == "numeric" else Turn("infra", "the supervisor was ended")
