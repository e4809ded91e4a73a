"""The only launcher: a command in its own process group, with deadlines, a bounded log and a plain environment.

It confines nothing; that is sandbox.py's task.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

PASSED_ON = (
    *("PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ", "TMPDIR", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "CUDA_HOME"),
    *("CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "CC", "CXX", "XDG_CACHE_HOME"),
)
MARK = "AUTORESEARCH_TRIAL_DIR"  # in the environment of every process of a trial
GRACE_S = 5.0
HEAD_BYTES = 8 << 20
TAIL_BYTES = 1 << 20


@dataclass(frozen=True)
class Deadline:
    """A limit on a command."""

    name: str
    """For the message: what took too long."""
    seconds: float
    """Since the start."""
    waits_for: Callable[[], bool] = lambda: False
    """Once true, the deadline no longer counts."""


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    exit_code: int
    """Negative for a signal."""
    seconds: float
    timeout: str = ""
    """The deadline that ended it, in words; empty if none did."""


def environment(source: Mapping[str, str], extra: Mapping[str, str], passed_on: Sequence[str] = ()) -> dict[str, str]:
    """The environment of a child: a short list of names from `source`, and `extra`."""
    names = [*PASSED_ON, *passed_on, *(name for name in source if name.startswith("AUTORESEARCH_"))]
    return {name: source[name] for name in names if name in source} | dict(extra)


class Launch:
    """A running command."""

    def __init__(self, command: Sequence[str], cwd: Path, env: Mapping[str, str], log: Path):
        self.begun, self.log = time.monotonic(), log
        self.mark = env.get(MARK, "")
        self.child = subprocess.Popen(
            list(command), cwd=cwd, env=dict(env), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        self.pid, self.started = self.child.pid, start_time(self.child.pid)
        self.pump = threading.Thread(target=self._copy_output, daemon=True)
        self.pump.start()

    def _copy_output(self) -> None:
        """Head and tail of the output, whatever its length; memory stays flat."""
        assert self.child.stdout
        tail: deque[bytes] = deque()
        head, kept, dropped = HEAD_BYTES, 0, 0
        with open(self.log, "ab", buffering=0) as file:
            while data := self.child.stdout.read1(1 << 16):  # type: ignore[attr-defined]
                now, data = data[:head], data[head:]
                head -= len(now)
                with contextlib.suppress(OSError):  # a full disk must not stop the reading, or the child would hang
                    file.write(now)
                if data:
                    tail.append(data)
                    kept += len(data)
                while kept > TAIL_BYTES:
                    gone = tail.popleft()
                    kept, dropped = kept - len(gone), dropped + len(gone)
            with contextlib.suppress(OSError):
                if dropped:
                    file.write(f"\n... {dropped} bytes left out ...\n".encode())
                file.write(b"".join(tail))
                os.fsync(file.fileno())

    def wait(self, deadlines: Sequence[Deadline] = (), tick: Callable[[float], None] | None = None) -> Ended:
        """Wait for the end, calling `tick` with the seconds so far; whatever happens, nothing of it is left running."""
        timeout = ""
        try:
            while self.child.poll() is None:
                elapsed_s = time.monotonic() - self.begun
                late = next((one for one in deadlines if elapsed_s > one.seconds and not one.waits_for()), None)
                if late:
                    timeout = f"{late.name} took longer than {late.seconds:.0f} s"
                    break
                if tick:
                    tick(elapsed_s)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self.child.wait(0.05 if elapsed_s < 2 else 0.2)
        finally:
            self.stop()
        return Ended(self.child.returncode, time.monotonic() - self.begun, timeout)

    def stop(self) -> None:
        """End the group and all descendants, politely first."""
        end_group(self.pid, self.started, self.mark, lambda: self.child.poll() is None)
        self.child.wait()
        self.pump.join(GRACE_S)


def end_group(pid: int, started: str, mark: str, is_alive: Callable[[], bool] | None = None) -> bool:
    """End a process, its group, and all that descends from it or carries its mark, politely first.

    A number that now names another process is left alone.

    Args:
        pid: leader of the group.
        started: its `start_time`.
        mark: value of MARK in the environment of the family; finds those that left the group.
        is_alive: tells whether the leader lives; without one, /proc does.

    Returns:
        Whether anything had to be ended.
    """
    is_alive = is_alive or (lambda: started != "" and start_time(pid) == started)
    ended = False
    for number in (signal.SIGTERM, signal.SIGKILL):
        until = time.monotonic() + GRACE_S
        told: set[int] = set()
        while (family := family_of(pid, started, mark)) or is_alive():
            ended = True
            for member in family - told:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(member, number)
            told |= family
            if not family and is_alive() and pid not in told:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(pid, number)
                told.add(pid)
            if time.monotonic() > until:
                break
            time.sleep(0.02)
        else:
            break
    return ended


def start_time(pid: int) -> str:
    """When a process began, in the kernel's words; empty when it is gone or a zombie."""
    return _stat(pid).get("started", "")


def _stat(pid: int) -> dict[str, str]:
    """Parent, group and start of a live process; empty when there is none."""
    if sys.platform != "linux":
        found = subprocess.run(["ps", "-o", "ppid=,pgid=,lstart=", "-p", str(pid)], capture_output=True, text=True)
        fields = found.stdout.split(maxsplit=2)
        return dict(zip(("parent", "group", "started"), fields, strict=False))
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return {}
    return {} if fields[0] in "ZX" else {"parent": fields[1], "group": fields[2], "started": fields[19]}


def family_of(pid: int, started: str, mark: str) -> set[int]:
    """Live processes of the group of `pid`, below it, or marked; never this process."""
    known = {int(entry.name): _stat(int(entry.name)) for entry in Path("/proc").glob("[0-9]*")}
    if not known:  # no /proc: the leader alone, whose group is signalled
        return {pid} if _stat(pid).get("started") == started != "" else set()
    ours = known.get(pid, {}).get("started", started) == started  # else the number was taken by somebody else
    family = {other for other, stat in known.items() if stat and ours and stat["group"] == str(pid)}
    family |= {other for other, stat in known.items() if stat and mark and _mark_of(other) == mark}
    while more := {other for other, stat in known.items() if stat and int(stat["parent"]) in family} - family:
        family |= more
    return family - {os.getpid()}


def _mark_of(pid: int) -> str:
    try:
        variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return ""
    return next((one.partition(b"=")[2].decode() for one in variables if one.startswith(f"{MARK}=".encode())), "")
