"""What confines a trial, what it may see, and the command line that makes it so."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from autoresearch.records import Network, Sealed

WARDEN = Path(__file__).with_name("warden.py")
DEVICES = tuple(Path("/dev", name) for name in ("null", "zero", "full", "random", "urandom"))
SHARED_MEMORY = Path("/dev/shm")  # multiprocessing keeps its locks there
PROC = Path("/proc")
# the warden ignores the polite signals, so that bubblewrap outlives them; the trial must not
POLITE_AGAIN = """import os, sys, signal
for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
    signal.signal(number, signal.SIG_DFL)
os.execvp(sys.argv[1], sys.argv[1:])
"""


@dataclass(frozen=True)
class Confinement:
    """What confines trials on this machine."""

    kind: Sealed
    network: Network
    reason: str = ""
    """Why it is nothing better."""
    mend: str = ""
    """The command that mends that; empty where there is none."""
    program: str = ""
    """Path of bubblewrap's program."""

    def __str__(self) -> str:
        """One line for a person."""
        said = f"{self.kind}, network {self.network}"
        if self.kind == "open":
            said = "nothing confines a trial (sealed: open)"
        return said + (f": {self.reason}" if self.reason else "") + (f"; `{self.mend}`" if self.mend else "")


OPEN = Confinement("open", "open", "not asked for")
REMOTE = Confinement("remote", "open", "autoresearch.toml says `network = true`")


@dataclass(frozen=True)
class View:
    """What a trial sees of the machine; all paths are real ones, and where two say different things the deeper wins."""

    readable: tuple[Path, ...]
    writable: tuple[Path, ...]
    hidden: tuple[Path, ...]
    """Not to be read, though they lie below what is readable."""
    devices: tuple[Path, ...] = ()
    """Of GPUs."""
    links: Mapping[Path, Path] = field(default_factory=dict)
    """Other spellings of paths, and where they lead."""
    env: Mapping[str, str] = field(default_factory=dict)
    """The whole environment."""
    shares_memory: bool = True
    """Whether it may use the machine's /dev/shm where it has none of its own."""


def command(confinement: Confinement, view: View, argv: Sequence[str]) -> list[str]:
    """The command line that runs `argv` confined; to be started with `view.env`, in a folder that `view` shows.

    Exit status, polite signals and inherited descriptors are as without it, but that an exit code above 128 may come
    back as the signal of that number, as a shell means it.
    """
    if confinement.kind in ("open", "remote"):
        return [*argv]
    folders = [*map(str, view.writable), *(view.env[name] for name in ("TMPDIR",) if name in view.env)]
    options: dict[str, object] = {"kind": confinement.kind, "folders": folders}
    if confinement.kind == "bubblewrap":
        inner = [sys.executable, "-I", "-S", "-c", POLITE_AGAIN, *argv]
        argv = [*bubblewrap(confinement.program, view), "--", *inner]
    else:
        options |= {
            "network": confinement.network,
            "readable": [str(path) for path in (*view.readable, PROC)],
            "hidden": [str(path) for path in view.hidden],
            "devices": [str(path) for path in (*DEVICES, *[SHARED_MEMORY] * view.shares_memory, *view.devices)],
        }
    return [sys.executable, "-I", "-S", "-B", str(WARDEN), json.dumps(options), *argv]


def bubblewrap(program: str, view: View) -> list[str]:
    """bubblewrap's own options."""
    words = [program, "--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL"]
    words += ["--hostname", "localhost"]  # torchrun looks for its processes under the machine's name
    words += ["--proc", "/proc", "--dev", "/dev", "--tmpfs", str(SHARED_MEMORY)]
    for path in view.devices:
        words += ["--dev-bind", str(path), str(path)]
    mounts = {path: ["--ro-bind", str(path), str(path)] for path in view.readable}
    mounts |= {path: ["--bind", str(path), str(path)] for path in view.writable}
    for path in view.hidden:
        mounts[path] = ["--tmpfs", str(path)] if path.is_dir() else ["--ro-bind", "/dev/null", str(path)]
    for path in sorted(mounts, key=lambda path: len(path.parts)):
        words += mounts[path]
    for name, target in view.links.items():
        words += ["--symlink", str(target), str(name)]
    for path in (*view.hidden, Path("/dev"), Path("/")):  # not before all that lies in them is mounted
        words += ["--remount-ro", str(path)] if path.is_dir() else []
    return words
