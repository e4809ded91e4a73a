"""A program within bounds on time, memory and disk; when one is passed, its whole process group ends.

The bounds on memory, processor and file size need Linux. They are set from outside right after the start, because a
fork that runs Python first is not safe beside other threads; the deadline holds everywhere.
"""

import errno
import io
import os
import resource
import select
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from autoresearch.errors import GitFailed

MOST_WORDS = 2000
NO_SPACE = b"No space left on device"
STOPPED = {
    -signal.SIGKILL: "it was killed",
    -signal.SIGXCPU: "it took too much of the processor",
    -signal.SIGXFSZ: "it wrote too much",
}


@dataclass(frozen=True)
class Bounds:
    """What one process may take."""

    seconds: float = 30
    """Wall time."""
    cpu_s: int = 20
    """Time of the processor."""
    memory_bytes: int = 512 << 20
    """Address space; what is used is far less."""
    file_bytes: int = 1 << 30
    """Size of a file that it writes."""

    def impose(self, pid: int) -> None:
        """Bind a process that has just begun."""
        if not hasattr(resource, "prlimit"):
            return
        for kind, most in (
            (resource.RLIMIT_CPU, self.cpu_s),
            (resource.RLIMIT_AS, self.memory_bytes),
            (resource.RLIMIT_FSIZE, self.file_bytes),
            (resource.RLIMIT_CORE, 0),
        ):
            _, hard = resource.prlimit(pid, kind)
            if hard != resource.RLIM_INFINITY:  # what binds us already, nobody may raise
                most = min(most, hard)
            resource.prlimit(pid, kind, (most, most))


USUAL = Bounds()


class Late(Exception):
    """The deadline has passed."""


class Output(io.RawIOBase):
    """What a process writes, until its deadline."""

    def __init__(self, pipe: int, until: float):
        self.pipe, self.until = pipe, until
        self.poll = select.poll()
        self.poll.register(pipe, select.POLLIN)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:  # type: ignore[no-untyped-def]  # any writable buffer
        if not self.poll.poll(max(0, self.until - time.monotonic()) * 1000):
            raise Late
        return os.readv(self.pipe, [buffer])


@contextmanager
def reading(
    command: Sequence[str],
    cwd: Path,
    env: Mapping[str, str],
    stdin: BinaryIO | None = None,
    stdout: BinaryIO | None = None,
    bounds: Bounds = USUAL,
) -> Iterator[BinaryIO]:
    """Start a program and yield what it writes; leaving the block early ends it, and that is no failure.

    Args:
        stdin: a file that it reads from its present place; None for nothing.
        stdout: a file that takes the output instead; nothing is left to read then.

    Raises:
        GitFailed: it cannot be started, failed, or passed a bound; carries its own words.
        OSError: the disk is full.
    """
    with tempfile.TemporaryFile() as words:
        try:
            child = subprocess.Popen(
                command, cwd=cwd, env=dict(env), stdin=stdin or subprocess.DEVNULL,
                stdout=stdout or subprocess.PIPE, stderr=words, process_group=0,
            )  # fmt: skip
        except FileNotFoundError as error:
            raise GitFailed(f"{command[0]} must be installed and {cwd} must be a folder but: {error}") from error
        pipe = child.stdout.fileno() if child.stdout else os.open(os.devnull, os.O_RDONLY)
        until, is_whole, is_late = time.monotonic() + bounds.seconds, True, False
        try:
            bounds.impose(child.pid)
            with io.BufferedReader(Output(pipe, until), 1 << 16) as output:
                yield output
                is_whole = not output.peek(1)
            if is_whole:
                child.wait(max(0, until - time.monotonic()))
        except (Late, subprocess.TimeoutExpired):
            is_late = True
        finally:
            _end(child)
            child.stdout.close() if child.stdout else os.close(pipe)
        if is_whole:
            _judge(child.returncode, is_late, bounds, words)


def _end(child: subprocess.Popen) -> None:  # type: ignore[type-arg]
    """Kill the group; its number is ours as long as nobody has reaped the leader."""
    if child.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def _judge(code: int, is_late: bool, bounds: Bounds, words: BinaryIO) -> None:
    """Raise what a failed process deserves."""
    if code == 0 and not is_late:
        return
    words.seek(0)
    said = words.read(MOST_WORDS)
    if NO_SPACE in said:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    if is_late:
        raise GitFailed(f"it took longer than {bounds.seconds:g} s")
    raise GitFailed(said.decode(errors="replace").strip() or STOPPED.get(code, f"it ended with code {code}"))
