"""The only launcher: a command in its own process group, with deadlines, a bounded log and a plain environment.

It confines nothing; sandbox.py does. A process that leaves the session, empties its environment and outlives its parent
is not found. Without /proc (macOS) `ps` tells who lives, and nobody is found by the mark.
"""

import contextlib
import os
import select
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from autoresearch.sandbox import files

CONTRACT = ("CACHE", "DATASET", "SCALE", "TIME_BUDGET", "MAX_STEPS", "CHECKPOINT_STEPS")
PASSED_ON = (
    *("PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ", "TMPDIR", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "CUDA_HOME"),
    *("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "NVIDIA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES"),
    *("ROCR_VISIBLE_DEVICES", "OMP_NUM_THREADS", "CC", "CXX", "XDG_CACHE_HOME"),
    *(f"AUTORESEARCH_{name}" for name in CONTRACT),
)
MARK = "AUTORESEARCH_TRIAL_DIR"  # in the environment of every process of a trial
PROC = Path("/proc")
GRACE_S = 5.0
REMOTE_GRACE_S = 30.0  # of a client, which has to stop the work on the other machine when it is asked to end
HEAD_BYTES, TAIL_BYTES = 8 << 20, 1 << 20  # of a log
PIPE_BYTES = 1 << 20  # what a pipe can hold at most


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


@dataclass(frozen=True)
class Process:
    """A line of the machine's table of processes."""

    parent: int
    group: int
    session: int
    """The group where the table does not tell."""
    state: str
    """Z and X are dead, though their number is still taken."""
    started: str
    """In the kernel's words."""


def environment(source: Mapping[str, str], extra: Mapping[str, str], passed_on: Sequence[str] = ()) -> dict[str, str]:
    """The environment of a child: a short list of names from `source`, and `extra`."""
    return {name: source[name] for name in (*PASSED_ON, *passed_on) if name in source} | dict(extra)


class BoundedLog:
    """A file that keeps the head and the tail of what is written to it; a full disk loses text and raises nothing."""

    def __init__(self, path: Path, head_bytes: int = HEAD_BYTES, tail_bytes: int = TAIL_BYTES):
        self.file = files.create(path)
        self.head_bytes, self.tail_bytes = head_bytes, tail_bytes
        self.num_bytes = 0

    def write(self, data: bytes) -> None:
        """Add to the end; the file never grows beyond the head and two tails."""
        self.num_bytes += len(data)
        with contextlib.suppress(OSError):
            while data:
                data = data[self.file.write(data) :]
            if self.file.tell() > self.head_bytes + 2 * self.tail_bytes:
                self._shorten()

    def close(self) -> None:
        """Cut to head and tail, and flush to the disk."""
        with contextlib.suppress(OSError):
            if self.file.tell() > self.head_bytes + self.tail_bytes:
                self._shorten()
            os.fsync(self.file.fileno())
        self.file.close()

    def _shorten(self) -> None:
        """Move the tail up to the head, from the start of a line where there is one."""
        self.file.seek(-self.tail_bytes, os.SEEK_END)
        tail = self.file.read(self.tail_bytes)
        tail = tail[tail.find(b"\n") + 1 :]
        self.file.seek(self.head_bytes)
        num_lost = self.num_bytes - self.head_bytes - len(tail)
        self.file.write(f"\n... {num_lost} bytes left out ...\n".encode() + tail)
        self.file.truncate()


class Launch:
    """A running command."""

    def __init__(
        self, command: Sequence[str], cwd: Path, env: Mapping[str, str], log: Path, descriptors: Sequence[int] = ()
    ):
        """Start it, inheriting `descriptors`; its output replaces what the log held, OSError where it cannot."""
        self.begun, self.mark, self.grace_s = time.monotonic(), env.get(MARK, ""), GRACE_S
        self.log = BoundedLog(log)
        try:
            self.child = subprocess.Popen(
                list(command), cwd=cwd, env=dict(env), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, start_new_session=True, pass_fds=tuple(descriptors),
            )  # fmt: skip
        except BaseException:
            self.log.close()
            raise
        self.pid, self.started = self.child.pid, start_time(self.child.pid)
        self.is_over = threading.Event()
        self.pump = threading.Thread(target=self._copy_output, daemon=True)
        self.pump.start()

    def _copy_output(self) -> None:
        """Empty the pipe until its end, or until nobody whom we know can be holding it."""
        assert self.child.stdout
        pipe, last_bytes = self.child.stdout.fileno(), PIPE_BYTES
        poll = select.poll()
        poll.register(pipe, select.POLLIN)
        while last_bytes > 0:
            is_over = self.is_over.is_set()
            if not poll.poll(0 if is_over else 200):
                if is_over:
                    break
                continue
            data = os.read(pipe, 1 << 16)
            if not data:
                break
            self.log.write(data)
            last_bytes -= len(data) if is_over else 0
        self.log.close()

    def age_s(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.begun

    def has_ended(self) -> bool:
        """Whether the command is done; it is not reaped by this, so that nobody else can be given its number."""
        if self.child.returncode is not None:
            return True
        if not hasattr(os, "waitid"):  # macOS before Python 3.13
            return self.child.poll() is not None
        try:
            return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        except ChildProcessError:
            return True

    def wait(self, deadlines: Sequence[Deadline] = (), tick: Callable[[float], None] | None = None) -> Ended:
        """Wait for the end, calling `tick` with the seconds so far; whatever happens, nothing of it is left running."""
        timeout = ""
        try:
            while not self.has_ended():
                elapsed_s = self.age_s()
                late = next((one for one in deadlines if elapsed_s > one.seconds and not one.waits_for()), None)
                if late:
                    timeout = f"{late.name} took longer than {late.seconds:.0f} s"
                    break
                if tick:
                    tick(elapsed_s)
                time.sleep(0.02 if elapsed_s < 1 else 0.2)
        finally:
            self.stop()
        code = self.child.returncode  # None: not even SIGKILL ended it, it hangs in the kernel
        return Ended(-signal.SIGKILL if code is None else code, self.age_s(), timeout)

    def stop(self) -> None:
        """End the group and all descendants, politely first; at once when asked a second time by Ctrl-C."""
        try:
            end_group(self.pid, self.started, self.mark, self.grace_s)
        except KeyboardInterrupt:
            end_group(self.pid, self.started, self.mark, grace_s=0)
            raise
        finally:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.child.wait(GRACE_S)
            self.pump.join(1.0)  # whoever holds the pipe now is none of ours
            self.is_over.set()
            self.pump.join()
            assert self.child.stdout
            self.child.stdout.close()


def end_group(pid: int, started: str, mark: str, grace_s: float = GRACE_S) -> bool:
    """End a process, its group, and all that descends from it or carries its mark, politely first, parents first.

    Args:
        pid: leader of the group; below 2 there is none, and the mark alone counts.
        started: its `start_time`; a number that now names another process is left alone.
        mark: value of MARK in the environment of the family; finds those that left the group. Empty: none.
        grace_s: how long the polite signal is given.

    Returns:
        Whether anything had to be ended.
    """
    ended = False
    for number, patience_s in ((signal.SIGTERM, grace_s), (signal.SIGKILL, GRACE_S)):
        until = time.monotonic() + patience_s
        told: set[int] = set()
        while family := family_of(pid, started, mark):
            ended = True
            for member in sorted(family - told):  # a parent that cleans up hears of it before its children die
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(member, number)
            told |= family
            if time.monotonic() > until:
                break
            time.sleep(0.02)
        else:
            break
    return ended


def family_of(pid: int, started: str, mark: str) -> set[int]:
    """Live processes of the group and session of `pid`, below it, or marked; never this one, its ancestors or group."""
    known = processes()
    own = _with_ancestors(os.getpid(), known)
    alive = {
        other: one
        for other, one in known.items()
        if one.state not in ("Z", "X") and other > 1 and other not in own and one.group != os.getpgrp()
    }
    is_ours = pid > 1 and started != "" and pid in known and known[pid].started == started
    family = {other for other, one in alive.items() if is_ours and pid in (other, one.group, one.session)}
    # no descendant is older; as text some that are seem younger, and are read for nothing
    young = {other for other, one in alive.items() if len(one.started) > len(started) or one.started >= started}
    family |= {other for other in young - family if mark and _mark_of(other) == os.fsencode(mark)}
    while more := {other for other, one in alive.items() if one.parent in family} - family:
        family |= more
    return family


def _with_ancestors(pid: int, known: Mapping[int, Process]) -> set[int]:
    line: set[int] = set()
    while pid in known and pid not in line:
        line.add(pid)
        pid = known[pid].parent
    return line


def start_time(pid: int) -> str:
    """When a process began, in the kernel's words; empty when there is none of that number."""
    found = _read_stat(pid) if PROC.joinpath("self").exists() else processes_by_ps().get(pid)
    return found.started if found else ""


def processes() -> dict[int, Process]:
    """The processes of this machine by number, the dead that nobody reaped included."""
    if not PROC.joinpath("self").exists():
        return processes_by_ps()
    found = {int(name): _read_stat(int(name)) for name in os.listdir(PROC) if name.isdigit()}
    return {pid: one for pid, one in found.items() if one}


def processes_by_ps() -> dict[int, Process]:
    """The same from `ps`, for machines without /proc."""
    command = ["ps", "-axo", "pid=,ppid=,pgid=,stat=,lstart="]
    rows = subprocess.run(command, capture_output=True, text=True, env={"LC_ALL": "C", "TZ": "UTC0"}).stdout
    found: dict[int, Process] = {}
    for row in rows.splitlines():
        pid, parent, group, state, started = row.split(maxsplit=4)
        found[int(pid)] = Process(int(parent), int(group), int(group), state[0], started.strip())
    return found


def _read_stat(pid: int) -> Process | None:
    try:
        with open(f"{PROC}/{pid}/stat", "rb", buffering=0) as file:  # of hundreds of processes, after every trial
            fields = file.read(4096).rpartition(b")")[2].decode().split()
    except OSError:
        return None
    return Process(int(fields[1]), int(fields[2]), int(fields[3]), fields[0], fields[19])


def _mark_of(pid: int) -> bytes:
    try:
        variables = (PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:
        return b""
    return next((one.partition(b"=")[2] for one in variables if one.startswith(f"{MARK}=".encode())), b"")
