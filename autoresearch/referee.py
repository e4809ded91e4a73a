"""Has a submission scored by two processes: a player that has the candidate's model, a referee that has the answers.

The player is confined and sees neither data nor the repository; the referee is the repository's own prepare.py. The
number comes from the referee over a pipe. What the candidate's code does to its own process changes only its logits.
Not covered: docs/referee.md.
"""

import json
import math
import os
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from autoresearch import process, sandbox, summary
from autoresearch.arena import Metric
from autoresearch.process import Deadline, Ended, Launch
from autoresearch.records import Crash, CrashKind
from autoresearch.sandbox import Confinement, View, files

SCORING_S = 600.0
SUBMISSION = ("submission/weights.pt", "submission/config.json")
RESULT_BYTES = 1 << 16
KINDS: dict[str, CrashKind] = {"NonFinite": "diverged"}  # of refusals; the others are `refused`
PLAYER_FAILED = "PlayerFailed"
PLAYER_ENDED = "the player must answer every batch but ended"  # its log says why, not the referee
LEAVING_S = 5.0  # for a player whose referee has hung up


@dataclass(frozen=True)
class Seat:
    """Where the player sits."""

    confinement: Confinement
    view: View
    """Shows the trial's code and submission, and nothing of the cache."""


@dataclass(frozen=True)
class Wires:
    """What the two processes inherit; each end is closed here once they have it."""

    referee: socket.socket
    player: socket.socket
    memory: IO[bytes]
    result: IO[bytes]
    """Read here."""
    result_in: IO[bytes]

    @classmethod
    @contextmanager
    def laid(cls) -> Iterator["Wires"]:
        """Open all; at the end all are closed."""
        with ExitStack() as stack:
            here, there = map(stack.enter_context, socket.socketpair())
            memory = stack.enter_context(_memory())
            result, result_in = (stack.enter_context(open(*end)) for end in zip(os.pipe(), ("rb", "wb"), strict=True))
            yield cls(here, there, memory, result, result_in)

    def of_referee(self) -> list[int]:
        """In the order of prepare.py's --descriptors."""
        return [self.referee.fileno(), self.memory.fileno(), self.result_in.fileno()]

    def of_player(self) -> list[int]:
        """In the order of prepare.py's --descriptors."""
        return [self.player.fileno(), self.memory.fileno()]

    def let_go(self) -> None:
        """Close what only the processes hold from now on, so that the end of one is seen by the other."""
        for end in (self.referee, self.player, self.result_in):
            end.close()


def _memory() -> IO[bytes]:
    """A file in memory: one that can be sealed against resizing, where there are such."""
    if hasattr(os, "memfd_create"):
        return open(os.memfd_create("logits", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING), "r+b", buffering=0)
    return tempfile.TemporaryFile(buffering=0)


def score(
    root: Path,
    folder: Path,
    variables: Mapping[str, str],
    seat_in: Callable[[Path], Seat] | None = None,
    split: str = "val",
    deadline_s: float = SCORING_S,
) -> float | Crash:
    """Score the submission in a trial's folder with the pristine prepare.py of the repository.

    Args:
        root: the repository.
        variables: environment of the referee, without secrets.
        seat_in: gives the player its seat, with a folder of its own that nobody reads; None: it is not confined.
        deadline_s: of one try; a process that somebody killed is given a second one.

    Returns:
        Bits per byte; or why there is none.
    """
    for name in SUBMISSION:
        if problem := _no_plain_file(folder / name):
            return Crash(kind="refused", why=f"{name} must be a plain file but {problem}")
    found: float | Crash = _score_once(root, folder, variables, seat_in, split, deadline_s)
    if isinstance(found, Crash) and found.kind == "killed":
        found = _score_once(root, folder, variables, seat_in, split, deadline_s)
    return found


def mark_of(folder: Path) -> str:
    """By which the referee of a trial is found; it is not of the player's family, which has the folder itself."""
    return str(folder / "referee")


def _no_plain_file(path: Path) -> str:
    """What is wrong with a file of a submission: a link could lead anywhere."""
    try:
        is_plain = stat.S_ISREG(path.lstat().st_mode) and not path.parent.is_symlink()
    except OSError:
        return "is missing"
    return "" if is_plain else "is none"


def _score_once(
    root: Path,
    folder: Path,
    variables: Mapping[str, str],
    seat_in: Callable[[Path], Seat] | None,
    split: str,
    deadline_s: float,
) -> float | Crash:
    own = {"AUTORESEARCH_SUPERVISED": "1", process.MARK: str(folder)}
    aside = tempfile.TemporaryDirectory(prefix="player-", dir=folder.parent, ignore_cleanup_errors=True)
    with aside as name, Wires.laid() as wires:
        seat = seat_in(Path(name)) if seat_in else None
        play = _command(folder / "code", ["--play", folder], wires.of_player())
        judge = _command(root, ["--referee", "--split", split], wires.of_referee())
        if seat:
            play = sandbox.command(seat.confinement, seat.view, play)
        judging = {**variables, **own, process.MARK: mark_of(folder)}
        playing = {**(seat.view.env if seat else variables), **own}
        try:
            player = Launch(play, folder / "code", playing, folder / "play.log", wires.of_player())
            try:
                referee = Launch(judge, root, judging, folder / "score.log", wires.of_referee())
                wires.let_go()
                ended = referee.wait([Deadline("scoring", deadline_s)])
                played = player.wait([Deadline("the player", player.age_s() + LEAVING_S)])
            finally:
                player.stop()
        except (OSError, subprocess.SubprocessError) as error:
            return Crash(kind="error", why=f"scoring could not be started: {error}")
        answer = wires.result.read(RESULT_BYTES)
    return _read_answer(answer, f"{split}_bpb", folder, ended, played)


def _command(code: Path, words: list[object], descriptors: list[int]) -> list[str]:
    """-P: no module that lies beside prepare.py takes the place of another."""
    return [*map(str, (sys.executable, "-P", code / "prepare.py", *words, "--descriptors", *descriptors))]


def _read_answer(answer: bytes, name: str, folder: Path, ended: Ended, played: Ended) -> float | Crash:
    """The number that the referee sent; or why there is none, in the words of whoever failed."""
    try:
        found = json.loads(answer)
    except ValueError:
        return _explain(folder / "score.log", ended)
    if isinstance(value := found.get(name), float) and math.isfinite(value):
        return value
    refusal, why = str(found.get("refused")), str(found.get("why"))
    if refusal != PLAYER_FAILED:
        tail = summary.tail(files.read_text(folder / "score.log"))
        return Crash(kind=KINDS.get(refusal, "refused"), why=f"{refusal}: {why}"[:300], tail=tail)
    if not why.startswith(PLAYER_ENDED) or played.exit_code == 0 or played.timeout:  # it has nothing to say
        return Crash(
            kind="refused", why=f"{refusal}: {why}"[:300], tail=summary.tail(files.read_text(folder / "play.log"))
        )
    crash = _explain(folder / "play.log", played)
    return crash.model_copy(update={"why": crash.why.replace("scoring: ", "scoring: the player failed: ", 1)})


def _explain(log: Path, ended: Ended, is_remote: bool = False) -> Crash:
    crash = summary.explain(files.read_text(log), ended.exit_code, ended.timeout, is_remote)
    return crash.model_copy(update={"why": f"scoring: {crash.why}"})


def run_scorer(
    command: Sequence[str],
    folder: Path,
    variables: Mapping[str, str],
    metric: Metric,
    is_remote: bool = False,
    deadline_s: float = SCORING_S,
) -> float | Crash:
    """Run a command of another arena that prints the metric in a trial's code, its output in score.log of the folder.

    Args:
        is_remote: it is the client of another machine.
    """
    log = folder / "score.log"
    env = {**variables, "AUTORESEARCH_SUPERVISED": "", process.MARK: str(folder)}
    try:
        launch = Launch(command, folder / "code", env, log)
        launch.grace_s = process.REMOTE_GRACE_S if is_remote else process.GRACE_S
        ended = launch.wait([Deadline("scoring", deadline_s)])
    except (OSError, subprocess.SubprocessError) as error:
        return Crash(kind="error", why=f"{command[0]}: {error}")
    value = metric.find(files.read_text(log))
    if ended.exit_code == 0 and value is not None and math.isfinite(value):
        return value
    return _explain(log, ended, is_remote)
