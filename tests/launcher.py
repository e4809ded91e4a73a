"""Real processes that start in milliseconds: forked from a clean server that has torch, but not prepare, imported."""

import multiprocessing
import os
import runpy
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    ["pytest", "torch", "torch._dynamo", "tiktoken", "rustbpe", "pyarrow.parquet", "requests", "filelock"]
)


@dataclass(frozen=True)
class Ended:
    """A process that is over."""

    code: int
    """Exit code; negative for a signal."""
    text: str
    """What it printed, on both streams."""


class Child:
    """A script that runs as a process of its own, with the given environment only.

    With `die_at` = (audit event, end of a path) it gets SIGKILL just before it does that to such a path.
    """

    def __init__(
        self, words: list[str | Path], environment: dict[str, str], log: Path, die_at: tuple[str, str] | None = None
    ):
        self.log = log
        arguments = ([str(word) for word in words], environment, log, die_at)
        self.process = _CONTEXT.Process(target=_run_script, args=arguments, daemon=True)
        self.process.start()

    def kill_when(self, ready: Callable[[], object]) -> Ended:
        """Send SIGKILL as soon as `ready()` is true."""
        self._signal_when(ready, signal.SIGKILL)
        return self.wait()

    def stop_when(self, ready: Callable[[], object]) -> None:
        """Halt it as soon as `ready()` is true, until `go_on`."""
        self._signal_when(ready, signal.SIGSTOP)

    def go_on(self) -> None:
        """Undo `stop_when`."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self.process.pid
        os.kill(self.process.pid, number)

    def _signal_when(self, ready: Callable[[], object], number: signal.Signals, timeout_s: float = 60) -> None:
        deadline = time.monotonic() + timeout_s
        while not ready():
            assert self.process.is_alive() and time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.0005)
        self._signal(number)

    def wait(self, timeout_s: float = 120) -> Ended:
        """Wait for its end; past the time-out it is killed."""
        self.process.join(timeout_s)
        if self.process.exitcode is None:
            self.process.kill()
            self.process.join()
        assert self.process.exitcode is not None
        return Ended(self.process.exitcode, self.log.read_text(errors="replace"))


def run(words: list[str | Path], environment: dict[str, str], log: Path) -> Ended:
    """Run a script to its end."""
    return Child(words, environment, log).wait()


def _run_script(words: list[str], environment: dict[str, str], log: Path, die_at: tuple[str, str] | None) -> None:
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w", buffering=1)
    os.environ.clear()
    os.environ.update(environment)
    if die_at:
        sys.addaudithook(lambda event, arguments: _die(event, arguments, *die_at))
    sys.argv = words
    sys.path.insert(0, str(Path(words[0]).parent))
    try:
        runpy.run_path(words[0], run_name="__main__")
    finally:
        sys.stdout.flush()


def _die(event: str, arguments: tuple[object, ...], wanted: str, ending: str) -> None:
    if event == wanted and any(str(argument).endswith(ending) for argument in arguments[:2]):
        os.kill(os.getpid(), signal.SIGKILL)
