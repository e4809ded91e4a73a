"""Finds what can confine trials on this machine, by trying it."""

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from autoresearch.sandbox.confinement import Confinement, View, command

KINDS = ("bubblewrap", "landlock")
PROBE_S = 20.0
INSTALLERS = {
    "apt-get": "apt-get install bubblewrap",
    "dnf": "dnf install bubblewrap",
    "pacman": "pacman -S bubblewrap",
    "zypper": "zypper install bubblewrap",
    "apk": "apk add bubblewrap",
}
SWITCHES = {  # of user namespaces: the value that forbids them, and one that does not
    "kernel/unprivileged_userns_clone": ("0", "1"),
    "kernel/apparmor_restrict_unprivileged_userns": ("1", "0"),
    "user/max_user_namespaces": ("0", "15000"),
}
EVERYTHING = View(readable=(Path("/"),), writable=(), hidden=())


def find(kinds: Sequence[str] = KINDS, bwrap: str = "bwrap", settings: Path = Path("/proc/sys")) -> Confinement:
    """The best of `kinds` that works here; `open` when none does.

    Args:
        bwrap: name or path of bubblewrap's program.
        settings: where the kernel's switches lie.
    """
    if not sys.platform.startswith("linux"):
        return Confinement("open", "open", f"there is none for {sys.platform}")
    reasons, mend = [], ""
    if "bubblewrap" in kinds:
        found = Confinement("bubblewrap", "none", program=shutil.which(bwrap) or "")
        if found.program and not (failure := _try(found)):
            return found
        reasons.append(f"bubblewrap fails: {failure}" if found.program else "bubblewrap is not installed")
        mend = mending(settings) if found.program else next(filter(None, map(_installer, INSTALLERS)), "")
    if "landlock" in kinds:
        failure = _try(Confinement("landlock", "none"))
        if not failure:
            return Confinement("landlock", "none", "; ".join(reasons), mend)
        reasons.append(f"sockets cannot be refused: {failure}")
        if not (failure := _try(Confinement("landlock", "open"))):
            return Confinement("landlock", "open", "; ".join(reasons), mend)
        reasons[-1] = f"Landlock fails: {failure}"
    return Confinement("open", "open", "; ".join(reasons), mend)


def mending(settings: Path) -> str:
    """The command that allows user namespaces, where a switch forbids them."""
    for name, (forbids, allows) in SWITCHES.items():
        path = settings / name
        if path.exists() and path.read_text().strip() == forbids:
            return f"sysctl -w {name.replace('/', '.')}={allows}"
    return ""


def _installer(program: str) -> str:
    return INSTALLERS[program] if shutil.which(program) else ""


def _try(confinement: Confinement) -> str:
    """Run nothing, confined; why it failed, or empty."""
    words = command(confinement, EVERYTHING, [sys.executable, "-I", "-S", "-c", "pass"])
    try:
        done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, env={}, timeout=PROBE_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    said = done.stderr.decode(errors="replace").strip().splitlines()
    return "" if done.returncode == 0 else said[-1] if said else f"it left with {done.returncode}"
