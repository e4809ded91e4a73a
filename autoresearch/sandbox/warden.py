"""A program: starts a trial confined, waits for it, ends what it left, and ends as it did.

    python -I -S warden.py OPTIONS COMMAND...

It imports nothing of the package, for it is run by path from a folder of the trial. COMMAND is bubblewrap with its own
options, or the trial itself, which is then confined by Landlock and by a filter of system calls.
It stays outside and ignores polite signals: they are meant for the trial, and bubblewrap would die of them at once.
"""

import contextlib
import ctypes
import json
import os
import resource
import signal
import struct
import sys
import time
from collections.abc import Iterator

POLITE = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
CANNOT_START = 126
PATIENCE_S = 5.0

# linux/landlock.h; the system calls have the same numbers on every architecture
CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
GET_VERSION, PATH_BENEATH = 1, 1
READ = 1 << 0 | 1 << 2 | 1 << 3  # execute, read a file, list a folder
LIST = 1 << 3
MAKE_DEVICES = 1 << 6 | 1 << 11
OF_FILES = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 14 | 1 << 15  # the rights that a rule for a file may give
RIGHTS = {2: 1 << 14, 3: 1 << 15, 4: 1 << 15, 5: 1 << 16}  # all below this bit, by version; later ones as the last
LEAST_VERSION = 3  # the second lets everybody cut a file to nothing
SIGNALS_AND_ABSTRACT_SOCKETS, SCOPES_VERSION = 3, 6

# linux/prctl.h, linux/seccomp.h, linux/audit.h
SET_PDEATHSIG, SET_SECCOMP, DROP_CAPABILITY, SET_CHILD_SUBREAPER, SET_NO_NEW_PRIVS = 1, 22, 24, 36, 38
PAST_MODES_OF_FILES, NUM_CAPABILITIES = 1, 64  # root keeps only CAP_DAC_OVERRIDE: paths are Landlock's business
FILTER, ALLOW, REFUSE = 2, 0x7FFF0000, 0x00050001  # the error is EPERM
MACHINES = {"x86_64": (0xC000003E, 41), "aarch64": (0xC00000B7, 198)}  # architecture, number of socket()
IO_URING_SETUP, FOREIGN_CALLS = 425, 0x40000000  # io_uring opens sockets too; from that number on: 32 bit on 64
UNIX, NETLINK = 1, 16
LOAD, EQUAL, AT_LEAST, RETURN = 0x20, 0x15, 0x35, 0x06


def main(words: list[str]) -> None:
    """Run the command and end as it does."""
    options, command = json.loads(words[0]), words[1:]
    for folder in options["folders"]:
        os.makedirs(folder, exist_ok=True)
    call("prctl", SET_CHILD_SUBREAPER, 1, 0, 0, 0)  # who leaves its parent comes here
    for number in POLITE:
        signal.signal(number, signal.SIG_IGN)
    child = os.fork()
    if child == 0:
        try:
            if options["kind"] == "landlock":
                confine(options)
            os.execvp(command[0], command)
        except BaseException as error:
            print(f"sandbox: {command[0]}: {error}", file=sys.stderr, flush=True)
        finally:
            os._exit(CANNOT_START)
    while (ended := os.wait())[0] != child:
        pass
    status = os.waitstatus_to_exitcode(ended[1])
    end_the_rest()
    end_as(128 - status if options["kind"] == "bubblewrap" and status > 128 else status)


def call(name: str, *words: object) -> int:
    """Call the C library.

    Raises:
        OSError: it failed.
    """
    result = getattr(ctypes.CDLL(None, use_errno=True), name)(*words)
    if result < 0:
        raise OSError(ctypes.get_errno(), f"{name}{words[:1]}: {os.strerror(ctypes.get_errno())}")
    return result


def end_the_rest() -> None:
    """Kill what the trial left behind: all of it becomes a child of this process, one generation after the other."""
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        for pid in children():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.001)


def children() -> Iterator[int]:
    """Processes whose parent is this one."""
    for name in os.listdir("/proc"):
        with contextlib.suppress(OSError, ValueError), open(f"/proc/{int(name)}/stat", "rb") as file:
            if int(file.read().rpartition(b")")[2].split()[1]) == os.getpid():
                yield int(name)


def end_as(status: int) -> None:
    """Exit with a code, or if it is negative by that signal, without a second core file."""
    if status < 0:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        with contextlib.suppress(OSError, ValueError):  # KILL, or no signal at all
            signal.signal(-status, signal.SIG_DFL)
        if -status not in (signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU):
            with contextlib.suppress(OSError):
                os.kill(os.getpid(), -status)
        status = 128 - status
    os._exit(status)


def confine(options: dict) -> None:
    """Restrict this process and all that come from it, for ever.

    Raises:
        OSError: the kernel has no Landlock that is new enough, or forbids it.
    """
    call("prctl", SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    for number in POLITE:
        signal.signal(number, signal.SIG_DFL)
    for capability in {*range(NUM_CAPABILITIES)} - {PAST_MODES_OF_FILES}:
        with contextlib.suppress(OSError):  # this user has none anyway, or the kernel knows no such number
            call("prctl", DROP_CAPABILITY, capability, 0, 0, 0)
    call("prctl", SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    version = call("syscall", CREATE_RULESET, None, 0, GET_VERSION)
    if version < LEAST_VERSION:
        raise OSError(f"Landlock must have version {LEAST_VERSION} but has {version} (Linux 6.2 or newer is needed)")
    rights = RIGHTS[min(version, max(RIGHTS))] - 1
    scopes = SIGNALS_AND_ABSTRACT_SOCKETS if version >= SCOPES_VERSION else 0
    attributes = struct.pack("QQQ", rights, 0, scopes)  # an older kernel takes zeros that it does not know
    ruleset = call("syscall", CREATE_RULESET, attributes, len(attributes), 0)
    hidden = frozenset(options["hidden"])
    for path in options["readable"]:
        for part, right in readable_parts(path, hidden):
            allow(ruleset, part, right)
    for path in (*options["folders"], *options["devices"]):
        allow(ruleset, path, rights & ~MAKE_DEVICES)
    call("syscall", RESTRICT_SELF, ruleset, 0)
    os.close(ruleset)
    if options["network"] == "none":
        refuse_sockets()


def readable_parts(path: str, hidden: frozenset[str]) -> Iterator[tuple[str, int]]:
    """What to allow of `path` so that nothing hidden is read: Landlock gives rights downwards and takes none away."""
    if path in hidden:
        return
    if not any(one.startswith(f"{path}/") for one in hidden):
        yield path, READ
        return
    yield path, LIST
    for entry in os.scandir(path):
        if not entry.is_symlink():  # the rule would be for what it leads to
            yield from readable_parts(entry.path, hidden)


def allow(ruleset: int, path: str, rights: int) -> None:
    """Add a rule; what is not there needs none."""
    try:
        beneath = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        rule = struct.pack("=Qi", rights if os.path.isdir(path) else rights & OF_FILES, beneath)
        call("syscall", ADD_RULE, ruleset, PATH_BENEATH, rule, 0)
    finally:
        os.close(beneath)


def refuse_sockets() -> None:
    """Leave only Unix and netlink sockets; for processes of the kernel's own architecture alone.

    Raises:
        OSError: an architecture whose numbers are not known here, or filters are forbidden.
    """
    machine = os.uname().machine
    if machine not in MACHINES:
        raise OSError(f"sockets can be refused on {', '.join(MACHINES)} but this is {machine}")
    architecture, socket = MACHINES[machine]
    rows = [  # operation, number, how many rows to skip if it is so, and if not
        (LOAD, 4, 0, 0),
        (EQUAL, architecture, 0, 7),
        (LOAD, 0, 0, 0),
        (AT_LEAST, FOREIGN_CALLS, 5, 0),
        (EQUAL, IO_URING_SETUP, 4, 0),
        (EQUAL, socket, 0, 4),
        (LOAD, 16, 0, 0),  # the first argument, the family
        (EQUAL, UNIX, 2, 0),
        (EQUAL, NETLINK, 1, 0),
        (RETURN, REFUSE, 0, 0),
        (RETURN, ALLOW, 0, 0),
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", row[0], *row[2:], row[1]) for row in rows))
    program = struct.pack("HxxxxxxQ", len(rows), ctypes.addressof(code))
    call("prctl", SET_SECCOMP, FILTER, program, 0, 0)


if __name__ == "__main__":
    main(sys.argv[1:])
