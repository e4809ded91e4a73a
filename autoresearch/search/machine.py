"""What this machine has: GPUs, and a fingerprint by which scores of other machines are told apart."""

import hashlib
import os
import platform
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

DEVICES = Path("/dev")
QUERY = ("nvidia-smi", "--query-gpu=name", "--format=csv,noheader")


@dataclass(frozen=True)
class Machine:
    """Found once, when a campaign starts."""

    devices: tuple[str, ...]
    """GPUs as CUDA_VISIBLE_DEVICES names them, those that are visible here."""
    fingerprint: str
    """12 hex digits of processor, number of cores, and GPUs."""


def find(variables: Mapping[str, str]) -> Machine:
    """Look at the machine."""
    found = [path.name.removeprefix("nvidia") for path in DEVICES.glob("nvidia*")]
    numbers = sorted((name for name in found if name.isdigit()), key=int)
    shown = variables.get("CUDA_VISIBLE_DEVICES")
    visible = numbers if shown is None or not numbers else _shown(shown)
    return Machine(tuple(visible), fingerprint(_gpu_names() if visible else ""))


def _shown(variable: str) -> list[str]:
    """Names in CUDA_VISIBLE_DEVICES, which ends at the first -1."""
    names = [one.strip() for one in variable.split(",") if one.strip()]
    return names[: names.index("-1")] if "-1" in names else names


def fingerprint(gpus: str) -> str:
    """12 hex digits that change with the processor, its cores, or the GPUs."""
    facts = [platform.machine(), _processor(), str(os.cpu_count()), gpus]
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:12]


def _gpu_names() -> str:
    try:
        return subprocess.run(QUERY, capture_output=True, text=True, timeout=20).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor()
    found = re.search(r"^model name\s*:\s*(.*)$", text, re.MULTILINE)
    return found[1] if found else platform.processor()
